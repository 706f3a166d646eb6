"""`gfedge train sprites`: the sprite trainer, as a job of the server or here, without one."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from gfedge.cli import train
from gfedge.cli.client import Server
from gfedge.cli.errors import FAILED, UNUSABLE, CommandError
from gfedge.training.entry_points import TOOLS

PARAMS = ("steps", "batch", "rate", "seed")


def run(args: argparse.Namespace) -> int:
    return here(args) if args.out else at_the_server(args)


def at_the_server(args: argparse.Namespace) -> int:
    """A training job; its model tells the server what it was trained on."""
    name = args.data.removesuffix(".npz")
    with Server.of(args) as server:
        body = {
            "entry_point": "sprites",
            "params": {"data": f"{name}.npz", "device": args.device, **_given(args)},
            "model": args.model,
        }
        reply = server.post(
            train.JOBS,
            json.dumps(body).encode(),
            media_type="application/json",
            key=str(uuid.uuid4()),
        )
        job = reply.json()
        print(job["id"], flush=True)
        return train.log(server, job["id"], follow=True) if args.follow else 0


def here(args: argparse.Namespace) -> int:
    """Trains and exports in this terminal; stopped, it goes on with --resume."""
    out = Path(args.out)
    if out.exists():
        raise CommandError(f"{out} exists: versions never change, name the next one", UNUSABLE)
    work = out.with_name(f"{out.name}.run")
    if (work / "checkpoint.pt").exists() and not args.resume:
        text = f"{work} holds a training that was stopped: --resume goes on with it, or remove it"
        raise CommandError(text, UNUSABLE)
    python = os.environ.get("GFEDGE_TRAIN_PYTHON") or sys.executable
    _check(python, args)
    options = [text for name, value in _given(args).items() for text in (f"--{name}", str(value))]
    if "--steps" not in options:
        options += ["--steps", "6600"]
    _tool(
        python, "train", "--data", args.data, "--run", str(work), "--device", args.device, *options
    )
    _tool(python, "export", "--run", str(work), "--out", str(out))
    print(f"{out}: look at {out / 'sheet.png'}, then `gfedge models register {out}`")
    return 0


def _check(python: str, args: argparse.Namespace) -> None:
    if not (TOOLS / "sprites").is_dir():
        text = (
            "the trainer is in the source tree (tools/sprites), which an installed gfedge has not"
        )
        raise CommandError(text, UNUSABLE)
    if not Path(args.data).is_file():
        raise CommandError(f"there is no {args.data}: `gfedge dataset build` makes it", UNUSABLE)
    found = subprocess.run([python, "-c", "import torch"], capture_output=True, check=False)
    if found.returncode:
        text = f"{python} has no torch: install the extra `train`, or name another Python in GFEDGE_TRAIN_PYTHON"
        raise CommandError(text, UNUSABLE)


def _given(args: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name in PARAMS if (value := getattr(args, name)) is not None}


def _tool(python: str, module: str, *arguments: str) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{TOOLS}:{TOOLS.parent}"}
    done = subprocess.run(
        [python, "-m", f"sprites.{module}", *arguments], env=environment, check=False
    )
    if done.returncode:
        raise CommandError(f"sprites.{module} ended with exit code {done.returncode}", FAILED)
