"""`gfedge dataset build`: folders of PNGs to a training set, known to the server by its digest."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from gfedge.cli.client import NoServer, Server
from gfedge.cli.errors import UNUSABLE, CommandError
from gfedge.settings import Settings
from gfedge.training import sprite_set
from gfedge.training.sprite_set import Built, Recipe, Source


def run(args: argparse.Namespace) -> int:
    try:
        recipe, root = _recipe(args)
        built = sprite_set.build(recipe, root)
    except (ValueError, OSError) as error:
        raise CommandError(str(error), UNUSABLE) from None
    path = Path(args.out or _data_folder(args) / "datasets" / f"{recipe.name}.npz")
    sprite_set.save(built, path)
    _tell(built, path)
    if not args.no_register:
        _register(built, path, args)
    return 0


def _recipe(args: argparse.Namespace) -> tuple[Recipe, Path]:
    """From a TOML file, or of one folder by the options."""
    path = Path(args.source)
    if path.suffix == ".toml":
        return sprite_set.read_recipe(path), path.parent
    if not args.licence:
        raise ValueError("say under which licence the pictures are: --licence CC0-1.0")
    source = Source(
        folder=path.name,
        licence=args.licence,
        captions="" if args.captions is None else str(Path(args.captions).resolve()),
        grid=args.grid or 0,
        words=args.words or "",
    )
    name = args.name or path.resolve().name
    return Recipe(name=name, sources=[source], size=args.size), path.resolve().parent


def _data_folder(args: argparse.Namespace) -> Path:
    found = args.data or os.environ.get("GFEDGE_DATA")
    return (Path(found) if found else Settings().data).expanduser()


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


def _register(built: Built, path: Path, args: argparse.Namespace) -> None:
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
    except NoServer as error:
        print(f"not registered: {error}", file=sys.stderr)
        return
    print(f"dataset {found['id']} ({found['name']})")
