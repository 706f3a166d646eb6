"""The history of metrics in the database: functions of a cursor."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from gfedge.rows import Cursor, Row, append, rows

HELD = {"BASE_TABLE": "blocks", "IN_MEMORY_TABLE": "recent"}
"""What DuckDB calls the blocks of its file that it has at hand, and the rows that came since its last checkpoint."""


class SeriesRow(msgspec.Struct, kw_only=True, frozen=True):
    """A series that was ever sampled."""

    table: ClassVar[str] = "metric_series"

    id: int
    labels: dict[str, str]
    kind: str


class BlockRow(msgspec.Struct, kw_only=True, frozen=True):
    """A block of samples or of a rollup of them; times are those of the first and the last sample."""

    table: ClassVar[str] = "metric_blocks"

    resolution_seconds: int
    aggregate: str
    started_at: float
    ended_at: float
    samples: int
    size_bytes: int
    data: bytes


class TailRow(msgspec.Struct, kw_only=True, frozen=True):
    """What was sampled in about a minute, since the last block."""

    table: ClassVar[str] = "metric_tail"

    started_at: float
    ended_at: float
    data: bytes


class Entry(msgspec.Struct, kw_only=True, frozen=True):
    """What a stored block holds."""

    resolution_seconds: int
    aggregate: str
    started_at: float
    ended_at: float
    samples: int
    size_bytes: int


def all_series(cursor: Cursor) -> list[tuple[int, str, str]]:
    """(id, labels as JSON, kind) in the order of their ids."""
    return cursor.execute("select id, labels, kind from metric_series order by id").fetchall()


def tail(cursor: Cursor) -> list[bytes]:
    found = cursor.execute("select data from metric_tail order by started_at").fetchall()
    return [data for (data,) in found]


def add(cursor: Cursor, more: list[Row], whole_until: float | None) -> None:
    """Writes rows; the tail goes up to the time until which blocks hold everything now."""
    waiting: dict[type, list[Row]] = {}
    for row in more:
        waiting.setdefault(type(row), []).append(row)
    append(cursor, waiting)
    if whole_until is not None:
        cursor.execute("delete from metric_tail where ended_at <= $1", [whole_until])


def blocks(
    cursor: Cursor, resolution_seconds: int, aggregate: str, starts: list[float]
) -> list[tuple[float, bytes]]:
    """(start, data) of the blocks that begin at these times, oldest first."""
    return cursor.execute(
        """
        select started_at, data from metric_blocks
        where resolution_seconds = $1 and aggregate = $2 and started_at in (select unnest($3::double[]))
        order by started_at
        """,
        [resolution_seconds, aggregate, starts],
    ).fetchall()


def catalogue(cursor: Cursor) -> list[Entry]:
    """Every block that is stored, oldest first."""
    found = rows(cursor, "select * exclude (data) from metric_blocks order by started_at")
    return [Entry(**row) for row in found]


def prune(cursor: Cursor, before: float, keep_bytes: int) -> int:
    """Removes blocks that ended before a time, then those for which there is no room; gives how many.

    Samples go before their rollups, and the oldest first.
    """
    found = cursor.execute(
        """
        delete from metric_blocks where rowid in (
            select number from (
                select rowid as number, ended_at < $1 as old,
                       sum(size_bytes) over (order by resolution_seconds desc, ended_at desc, rowid) > $2 as over
                from metric_blocks
            ) where old or over
        ) returning 1
        """,
        [before, keep_bytes],
    ).fetchall()
    return len(found)


def memory(cursor: Cursor) -> dict[str, float]:
    """Bytes that DuckDB holds: blocks of its file, rows since its last checkpoint, what statements work with."""
    held = dict.fromkeys((*HELD.values(), "work"), 0.0)
    found = cursor.execute("select tag, memory_usage_bytes from duckdb_memory()").fetchall()
    for tag, size in found:
        held[HELD.get(tag, "work")] += size
    return held
