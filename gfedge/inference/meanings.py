"""What a word comes near by meaning: `sabre` to sword, `castle` to stone wall; from thesaurus.txt, which a person read."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import NamedTuple

TABLE = "thesaurus.txt"


class Row(NamedTuple):
    """A line of the table."""

    instead: tuple[str, ...]
    """Words or phrases to say instead, best first."""
    alike: tuple[str, ...]
    """Words that mean about that."""


def nearest(word: str, known: Callable[[str], bool]) -> tuple[str, ...]:
    """What may be said instead, best first: words or phrases of which every word is known."""
    rows = table().get(word, ())
    instead = [phrase for row in rows for phrase in row.instead]
    alike = [other for row in rows for other in row.alike]
    for candidates in (instead, alike):
        if found := [one for one in candidates if one != word and all(map(known, one.split()))]:
            return tuple(dict.fromkeys(found))
    return ()


@cache
def table() -> dict[str, tuple[Row, ...]]:
    """The rows of each word: those where it is a meaning, then those where it is said instead."""
    text = files(__package__).joinpath(TABLE).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    rows = [_row(line) for line in lines]
    found: dict[str, tuple[Row, ...]] = {}
    for side in ("alike", "instead"):
        for row in rows:
            for word in getattr(row, side):
                found[word] = (*found.get(word, ()), row)
    return found


def _row(line: str) -> Row:
    instead, _, alike = line.partition(":")
    return Row(tuple(phrase.strip() for phrase in instead.split(",")), tuple(alike.split()))
