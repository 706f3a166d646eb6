"""`gfedge dataset build`: folders of PNGs to a training set, known to the server by its digest."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, Literal

import msgspec

from gfedge.cli.client import NoServer, Server
from gfedge.cli.errors import UNUSABLE, CommandError
from gfedge.settings import Settings
from gfedge.training import sprite_set
from gfedge.training.sprite_set import Built, Recipe, Source


def run(args: argparse.Namespace) -> int:
    recipe, root = recipe_of(
        Path(args.source),
        args.licence,
        captions="" if args.captions is None else str(Path(args.captions).resolve()),
        grid=args.grid,
        margin=args.margin,
        spacing=args.spacing,
        words=args.words or "",
        name=args.name or "",
        size=args.size,
    )
    path = Path(args.out) if args.out else place(recipe.name, args.data)
    built = make(recipe, root, path)
    if not args.no_register:
        register(built, path, args)
    return 0


def recipe_of(
    path: Path, licence: str | None, *, name: str = "", size: Literal[32, 64] = 32, **source: Any
) -> tuple[Recipe, Path]:
    """From a TOML file, or of one folder, whose licence must be said; and what its folders are relative to."""
    try:
        if path.suffix == ".toml":
            return sprite_set.read_recipe(path), path.parent
    except (ValueError, OSError) as error:
        raise CommandError(str(error), UNUSABLE) from None
    if not licence:
        text = f"say under which licence the pictures in {path} are: --licence CC0-1.0"
        raise CommandError(text, UNUSABLE)
    whole = path.resolve()
    told = {"folder": whole.name, "licence": licence, **source}
    try:
        made = msgspec.convert(told, Source)
    except msgspec.ValidationError as error:
        raise CommandError(str(error), UNUSABLE) from None
    return Recipe(name=name or whole.name, sources=[made], size=size), whole.parent


def make(recipe: Recipe, root: Path, path: Path) -> Built:
    """Builds a set, writes it and says what is in it."""
    try:
        built = sprite_set.build(recipe, root)
    except (ValueError, OSError) as error:
        raise CommandError(str(error), UNUSABLE) from None
    sprite_set.save(built, path)
    _tell(built, path)
    return built


def place(name: str, data: str | None = None) -> Path:
    """Where the server of this machine looks for a set of that name; `data` is its data folder."""
    found = data or os.environ.get("GFEDGE_DATA")
    folder = (Path(found) if found else Settings().data).expanduser()
    return folder / "datasets" / f"{name}.npz"


def _tell(built: Built, path: Path) -> None:
    facts = built.profile()
    print(f"{path}  {facts['images']} images, {facts['words']} words, {built.licence}")
    for what in ("sources", "licences"):
        if len(facts[what]) > 1:
            print(f"{what}: " + ", ".join(f"{name} {count}" for name, count in facts[what].items()))
    print(f"digest {built.digest}")
    for why, count in facts["left_out"].items():
        print(f"left out: {count} ({why})", file=sys.stderr)
    for line in built.unreadable[:10]:
        print(f"  {line}", file=sys.stderr)


def register(built: Built, path: Path, args: argparse.Namespace) -> None:
    """Makes a set known to the server, if one answers."""
    body = {
        "name": built.name,
        "digest": built.digest,
        "source_type": "local",
        "source": str(path.name),
        "schema": {
            "pictures": f"uint8 {list(built.pictures[0].shape)} each",
            "notes": "path, nouns, words, licence",
        },
        "profile": built.profile() | {"licence": built.licence},
    }
    try:
        with Server.of(args) as server:
            data = json.dumps(body).encode()
            found = server.post(
                "/api/v1/ml-platform/datasets", data, media_type="application/json"
            ).json()
            if not args.out:
                _tell_elsewhere(server, path)
    except NoServer as error:
        print(f"not registered: {error}", file=sys.stderr)
        return
    print(f"dataset {found['id']} ({found['name']})")


def _tell_elsewhere(server: Server, path: Path) -> None:
    """Says so where trainings of the server, as far as it tells its data folder, look in another place."""
    data = server.get("/api/v1/monitoring/status").json()["storage"]["data"]
    if data and path.parent.resolve() != Path(data, "datasets").resolve():
        text = f"the server's trainings look in {data}/datasets: build it there with GFEDGE_DATA={data}"
        print(f"note: {text}", file=sys.stderr)
