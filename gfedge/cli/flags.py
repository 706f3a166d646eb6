"""Flags that no parser declares: every setting is one of `gfedge serve` and `gfedge settings`; others are refused."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence

from gfedge.cli.errors import UNUSABLE, CommandError

OF_SETTINGS = ("serve", "settings")


def undeclared(args: argparse.Namespace, words: Sequence[str]) -> dict[str, str]:
    """The settings that these words give, by name; raises CommandError, with the name that was perhaps meant."""
    from gfedge.settings import SECRETS, Settings

    names = Settings.__struct_fields__ if args.command in OF_SETTINGS else ()
    settings = {_flag(name): name for name in names}
    found = {}
    for flag, text in _pairs(words):
        if (name := settings.get(flag)) is None:
            raise CommandError(_unknown(args, flag, settings), UNUSABLE)
        if name in SECRETS:
            where = f"gfedge.toml, or GFEDGE_{name.upper()}"
            text = f"{flag}: others on this machine see flags, so put it into {where}"
            raise CommandError(text, UNUSABLE)
        if text is None:
            raise CommandError(f"{flag} needs a value", UNUSABLE)
        found[name] = text
    return found


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """`--name value` and `--name=value`."""
    left = list(words)
    while left:
        flag, equals, text = left.pop(0).partition("=")
        if not equals and left and not left[0].startswith("--"):
            yield flag, left.pop(0)
        else:
            yield flag, text if equals else None


def _unknown(args: argparse.Namespace, flag: str, settings: Iterable[str]) -> str:
    from gfedge.sources import close

    command = " ".join(filter(None, ("gfedge", args.command, getattr(args, "action", None))))
    declared = vars(args).keys() - {"command", "action"}
    near = close(flag, [*settings, *map(_flag, sorted(declared))])
    return f"{command} has no {flag}: " + (
        f"did you mean {near}?" if near else f"`{command} --help` lists what it takes"
    )
