"""The archive's part in the database: which days of a table changed, and writing one. Functions of a cursor."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from gfedge.db import Cursor
from gfedge.export import samples
from gfedge.export.tables import MACROS, Table

DAY_SECONDS = 86_400
COMPRESSION = "format parquet, compression zstd"


class Found(NamedTuple):
    """What the database holds of a day of a table."""

    day: int
    """Since 1970; 0 for a table without days."""
    rows: int
    state: str
    """Differs when a row was added, changed or removed."""


def days(cursor: Cursor, table: Table, since: int) -> list[Found]:
    """What there is of a table, by day, from a day on; one pass over what shows changes."""
    _prepare(cursor)
    if table.rollups:
        return [Found(*found) for found in samples.days(cursor, since)]
    found = cursor.execute(
        f"""
        select floor("at" / {DAY_SECONDS})::integer as day, count(*), count(*) || ':' || sum(hash({table.watch}))::varchar
        from ({table.select}) t where "at" >= $1 group by day order by day
        """,  # noqa: S608 - constants of `tables`
        [since * DAY_SECONDS if table.by_day else 0],
    )
    return [Found(*row) for row in found.fetchall()]


def columns(cursor: Cursor, table: Table) -> dict[str, str]:
    """The columns of a table's files and their types."""
    _prepare(cursor)
    found = cursor.execute(f"describe {table.select}").fetchall()
    return {name: kind for name, kind, *_ in found if name != "at"}


def write(cursor: Cursor, table: Table, day: int, target: Path, before: Path | None) -> int:
    """Writes one day of a table to a new Parquet file; returns its number of rows.

    Of the file `before` it takes the rows that the database let go meanwhile (retention), so that the archive keeps them.
    """
    if table.rollups:
        samples.fill(cursor, day)
    content = "from now" if before is None else _with_gone(columns(cursor, table), table, before)
    start = day * DAY_SECONDS
    written = cursor.execute(
        f"""
        copy (
            with now as not materialized (
                select * exclude ("at") from ({table.select}) t where "at" >= $1 and "at" < $2
            )
            {content}
        ) to {_quoted(target)}
        ({COMPRESSION}, row_group_size {table.group_rows}, kv_metadata {{gfedge_table: '{table.name}', gfedge_version: '{table.version}'}})
        """,  # noqa: S608 - constants of `tables`, and paths of the server's own
        [start, start + DAY_SECONDS],
    )
    return int(written.fetchall()[0][0])


def _with_gone(names: Iterable[str], table: Table, before: Path) -> str:
    chosen = ", ".join(f'"{name}"' for name in names)
    return f"""
        select {chosen} from (
            from now union all by name
            select o.* from read_parquet({_quoted(before)}, hive_partitioning = false) o where {table.gone}
        )
    """  # noqa: S608 - constants of `tables`, and a path of the server's own


def _prepare(cursor: Cursor) -> None:
    """Makes what the tables' SQL stands on, in this cursor's own schema; cheap where it is there."""
    for statement in (*MACROS, samples.MADE):
        cursor.execute(statement)


def _quoted(path: Path) -> str:
    """A path as an SQL literal: COPY takes no parameter there."""
    return "'" + str(path).replace("'", "''") + "'"
