"""What a reference to a model means: `sprite`, `sprite@3`, `sprite@prod`, `sprite@winter`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gfedge.registry.types import STAGES, ModelVersionRow

LATEST = "latest"
RESERVED = frozenset({*STAGES, LATEST})
"""What no version and no alias may be called."""


def split(reference: str) -> tuple[str, str]:
    """(name, label); the label is empty where only the name was said."""
    name, _, label = reference.partition("@")
    return name, label


def resolve(versions: Iterable[ModelVersionRow], label: str) -> ModelVersionRow | None:
    """Which of a model's versions a label means; None where it means none.

    Without a label it is the one in prod, else the newest that came with the server. A version's own name goes
    before an alias; of a stage with several versions, the newest is meant.
    """
    ordered = newest_first(versions)
    if not label:
        prod = [row for row in ordered if row.stage == "prod"]
        return next(
            iter([*prod, *(r for r in ordered if r.bundled and r.stage != "archived")]), None
        )
    if label == LATEST:
        return next(iter(ordered), None)
    if label in STAGES:
        return next((row for row in ordered if row.stage == label), None)
    exact = (row for row in ordered if row.version == label)
    return next(exact, next((row for row in ordered if label in row.aliases), None))


def newest_first(versions: Iterable[ModelVersionRow]) -> list[ModelVersionRow]:
    return sorted(versions, key=lambda row: natural(row.version), reverse=True)


def next_version(taken: Iterable[str]) -> str:
    """The number after the highest."""
    return str(max((int(v) for v in taken if v.isascii() and v.isdigit()), default=0) + 1)


def natural(version: str) -> list[tuple[int, str]]:
    """Sorts 10 after 9."""
    return [
        (int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", version)
    ]
