"""The history of the server's own metrics as rows: blocks of rollups, unpacked into a table of the cursor's own."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from gfedge.arrays import np
from gfedge.db import Cursor
from gfedge.monitoring.blocks import unpack

log = logging.getLogger(__name__)

RESOLUTION_SECONDS = 300
MADE = """
create temp table if not exists rollup_samples (series integer, aggregate varchar, "at" double, value double)
"""
COLUMNS = ("series", "aggregate", "at", "value")
Row = tuple[int, str, float, float]


def days(cursor: Cursor, since: int) -> list[tuple[int, int, str]]:
    """(day, samples, state) of each day that a block has samples of."""
    return cursor.execute(
        """
        with pieces as (
            select unnest(range(floor(started_at / 86400)::bigint, floor(ended_at / 86400)::bigint + 1)) as day,
                   samples, hash(aggregate, started_at, ended_at, size_bytes) as state
            from metric_blocks where resolution_seconds = $1
        )
        select day::integer, sum(samples)::bigint, count(*) || ':' || sum(state)::varchar
        from pieces where day >= $2 group by day order by day
        """,
        [RESOLUTION_SECONDS, since],
    ).fetchall()


def fill(cursor: Cursor, day: int) -> None:
    """Puts the samples of one day into the table, which must be there (MADE); block by block, so that one is in memory at a time."""
    cursor.execute("delete from rollup_samples")
    start, end = day * 86_400.0, (day + 1) * 86_400.0
    found = cursor.execute(
        """
        select aggregate, started_at from metric_blocks
        where resolution_seconds = $1 and ended_at >= $2 and started_at < $3 order by started_at
        """,
        [RESOLUTION_SECONDS, start, end],
    ).fetchall()
    for aggregate, started_at in found:
        data = cursor.execute(
            "select data from metric_blocks where resolution_seconds = $1 and aggregate = $2 and started_at = $3",
            [RESOLUTION_SECONDS, aggregate, started_at],
        ).fetchall()
        for (block,) in data[:1]:
            rows = list(_rows(block, aggregate, round(start * 1000), round(end * 1000)))
            cursor.append("rollup_samples", COLUMNS, rows)


def _rows(data: bytes, aggregate: str, start: int, end: int) -> Iterator[Row]:
    """The samples of a block within `start <= time < end`, which are milliseconds; none of one that cannot be read."""
    try:
        block = unpack(data).within(start, end - 1)
    except ValueError:
        log.exception("a block of the history cannot be read and is left out of the export")
        return
    rows, columns = np.nonzero(~np.isnan(block.values))
    yield from zip(
        block.ids[rows].tolist(),
        [aggregate] * len(rows),
        (block.times[columns] / 1000).tolist(),
        block.values[rows, columns].tolist(),
        strict=True,
    )
