"""`gfedge train sprites`: the sprite trainer, as a job of the server or here, without one."""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from gfedge.cli import dataset, registry, train
from gfedge.cli.client import Server
from gfedge.cli.errors import FAILED, UNUSABLE, CommandError
from gfedge.training.entry_points import TOOLS

PARAMS = ("steps", "batch", "rate", "seed", "channels")
JUDGING = ("judge", "judge_minutes")


def run(args: argparse.Namespace) -> int:
    for option, (idle, instead) in _idle(args).items():
        if idle:
            raise CommandError(f"{option} does nothing here: {instead}", UNUSABLE)
    return here(args) if args.out else at_the_server(args)


def at_the_server(args: argparse.Namespace) -> int:
    """A training job; its model tells the server what it was trained on."""
    data = _built(args).name if _is_art(args) else f"{args.data.removesuffix('.npz')}.npz"
    body = {
        "entry_point": "sprites",
        "params": {"data": data, "device": args.device, **_given(args), **_judging(args)},
        "model": args.model or "sprite",
    }
    with Server.of(args) as server:
        return train.begun(server, body, follow=args.follow)


def here(args: argparse.Namespace) -> int:
    """Trains and exports in this terminal; stopped, it goes on with --resume."""
    out = Path(args.out)
    if out.exists():
        raise CommandError(f"{out} exists: versions never change, name the next one", UNUSABLE)
    work = out.with_name(f"{out.name}.run")
    if (work / "checkpoint.pt").exists() and not args.resume:
        text = f"{work} holds a training that was stopped: --resume goes on with it, or remove it"
        raise CommandError(text, UNUSABLE)
    if args.judge and not (Path(args.judge) / "judge.onnx").is_file():
        text = f"--judge with --out is a folder with judge.onnx and judge.json, and {args.judge} is none"
        raise CommandError(text, UNUSABLE)
    python = os.environ.get("GFEDGE_TRAIN_PYTHON") or sys.executable
    art = _is_art(args)
    data = None if art else _found(args.data)
    _check(python)
    if args.register:
        with Server.of(args) as server:
            server.get(registry.MODELS)  # better now than after an hour
    data = data or _built(args)
    options = [text for name, value in _given(args).items() for text in (f"--{name}", str(value))]
    if "--steps" not in options:
        options += ["--steps", "6600"]
    places = ("--data", str(data), "--run", str(work), "--device", args.device)
    _tool(python, "train", *places, *options)
    _tool(python, "export", "--run", str(work), "--out", str(out))
    if not args.no_evaluate:
        _judge(python, out, data, args)
    return _finished(out, args)


def _finished(out: Path, args: argparse.Namespace) -> int:
    if not args.register:
        print(f"{out}: look at {out / 'sheet.png'}, then `gfedge models register {out}`")
        return 0
    with Server.of(args, registry.PATIENCE_SECONDS) as server:
        version = registry.register(server, out, args.model)
    print(f"{out}: look at {out / 'sheet.png'}; it is {version['id']}, in {version['stage']}")
    return 0


def _idle(args: argparse.Namespace) -> dict[str, tuple[bool, str]]:
    """Options that would be passed over, and what to do instead."""
    at_server, recipe = not args.out, args.data.endswith(".toml")
    known = "the recipe names the licence of each source" if recipe else "the set has its licences"
    return {
        "--resume": (at_server and args.resume, "a job goes on by itself; it belongs to --out"),
        "--register": (at_server and args.register, "a job registers its model by itself"),
        "--follow": (not at_server and args.follow, "with --out the training is in view anyway"),
        "--model": (
            not at_server and bool(args.model) and not args.register,
            "with --out the model is named as its folder, models/NAME/VERSION, or add --register",
        ),
        "--no-evaluate": (
            args.no_evaluate and any(getattr(args, name) is not None for name in JUDGING),
            "--judge and --judge-minutes are of the evaluation that it leaves out",
        ),
        "--licence": (bool(args.licence) and (recipe or not Path(args.data).is_dir()), known),
    }


def _is_art(args: argparse.Namespace) -> bool:
    """Whether a set has to be built first; a folder's name may be that of a set that was built of it."""
    path = Path(args.data)
    if path.suffix == ".toml":
        return True
    if not path.is_dir() or args.licence:
        return path.is_dir()
    if earlier := dataset.place(path.name).is_file() and path.name == args.data:
        text = f"trains on the set {args.data} as it was built; --licence SPDX builds it of the folder again"
        print(text, file=sys.stderr)
    return not earlier


def _built(args: argparse.Namespace) -> Path:
    """The set of a folder or a recipe, as `gfedge dataset build` makes it."""
    recipe, root = dataset.recipe_of(Path(args.data), args.licence)
    path = dataset.place(recipe.name)
    with contextlib.redirect_stdout(sys.stderr):  # what is printed is the job
        dataset.register(dataset.make(recipe, root, path), path, args)
    return path


def _found(data: str) -> Path:
    """A set by its file, or by its name."""
    known = dataset.place(data.removesuffix(".npz"))
    found = next((path for path in (Path(data), known) if path.is_file()), None)
    if found is None:
        text = f"there is no {data}, nor {known}: `gfedge dataset build` makes it, or name a folder"
        raise CommandError(text, UNUSABLE)
    return found


def _check(python: str) -> None:
    if not (TOOLS / "sprites").is_dir():
        text = (
            "the trainer is in the source tree (tools/sprites), which an installed gfedge has not"
        )
        raise CommandError(text, UNUSABLE)
    found = subprocess.run([python, "-c", "import torch"], capture_output=True, check=False)
    if found.returncode:
        text = f"{python} has no torch: install the extra `train`, or name another Python in GFEDGE_TRAIN_PYTHON"
        raise CommandError(text, UNUSABLE)


def _given(args: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name in PARAMS if (value := getattr(args, name)) is not None}


def _judging(args: argparse.Namespace) -> dict[str, Any]:
    """What a job is told of the evaluation at its end."""
    given = {name: value for name in JUDGING if (value := getattr(args, name)) is not None}
    return given | ({"evaluate": False} if args.no_evaluate else {})


def _judge(python: str, out: Path, data: Path, args: argparse.Namespace) -> None:
    """Gives the model here its score; one that gets none is said why and kept."""
    options = ["--model", str(out), "--data", str(data), "--write"]
    if args.judge:
        options += ["--judge", args.judge]
    if args.judge_minutes is not None:
        options += ["--minutes", str(args.judge_minutes)]
    environment = {**os.environ, "PYTHONPATH": str(TOOLS.parent)}
    command = [python, "-m", "gfedge.evaluation", *options]
    if subprocess.run(command, env=environment, check=False).returncode:
        print(f"{out} has no score; it is whole all the same", file=sys.stderr)


def _tool(python: str, module: str, *arguments: str) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{TOOLS}:{TOOLS.parent}"}
    done = subprocess.run(
        [python, "-m", f"sprites.{module}", *arguments], env=environment, check=False
    )
    if done.returncode:
        raise CommandError(f"sprites.{module} ended with exit code {done.returncode}", FAILED)
