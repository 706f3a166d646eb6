"""`gfedge settings`: every setting that a server started here would have, in the form of a gfedge.toml."""

from __future__ import annotations

import argparse
import json
import os
from typing import TYPE_CHECKING, Any

import gfedge
from gfedge.cli.errors import UNUSABLE, CommandError
from gfedge.cli.serve import flags

if TYPE_CHECKING:
    from gfedge.configuration import Shown

HEAD = """\
# The settings of gfedge {version}: {file}, then the environment, then flags; the later wins.
# A name behind a # has its default. What is marked "live" is read again at SIGHUP or POST /admin/reload.
"""


def run(args: argparse.Namespace) -> int:
    """Print all of them."""
    from gfedge.configuration import shown
    from gfedge.parsing import SettingsError

    try:
        found = shown(flags(args), config=args.config)
    except SettingsError as error:
        raise CommandError(str(error), UNUSABLE) from None
    if args.json:
        print(json.dumps([as_json(one) for one in found], indent=2))
    else:
        print("\n".join(readable(found, _file(args))))
    return 0


def _file(args: argparse.Namespace) -> str:
    """The file that counts, for the first line."""
    from gfedge.configuration import load
    from gfedge.sources import FILE, file_of

    data = load(flags(args), config=args.config).data
    file = file_of(args.config, os.environ, data)
    return str(file) if file else f"{data / FILE} (not there)"


def as_json(one: Shown) -> dict[str, Any]:
    from gfedge.settings import SECRETS
    from gfedge.sources import LIVE

    return {**one._asdict(), "live": one.name in LIVE, "secret": one.name in SECRETS}


def readable(found: list[Shown], file: str) -> list[str]:
    """TOML, so that what is printed is a file to begin with: a line each with where it came from and what it is."""
    lines = [(_assignment(one), _remark(one)) for one in found]
    width = min(44, max(len(first) for first, _ in lines))
    head = HEAD.format(version=gfedge.__version__, file=file)
    return [head, *(f"{first:<{width}}  # {second}" for first, second in lines)]


def _assignment(one: Shown) -> str:
    from gfedge.settings import SECRETS

    quiet = one.source == "default" or one.name in SECRETS
    return f"{'#' if quiet else ''}{one.name} = {json.dumps(one.value, ensure_ascii=False)}"


def _remark(one: Shown) -> str:
    from gfedge.sources import LIVE

    source = "" if one.source == "default" else f"[{one.source}] "
    return f"{source}{one.help}{' (live)' if one.name in LIVE else ''}"
