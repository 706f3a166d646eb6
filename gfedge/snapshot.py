"""Copies of the whole database while it is written to: one consistent state, without the writer waiting."""

from __future__ import annotations

from pathlib import Path

from gfedge.rows import Cursor

FOLDER = "backups"
"""The folder beside the database, the only one that DuckDB may write files to."""


def folder(cursor: Cursor) -> Path:
    """Where copies of this cursor's database may be written."""
    found = cursor.execute(
        "select path from duckdb_databases() where database_name = current_database()"
    )
    return Path(found.fetchall()[0][0]).parent / FOLDER


def copy_database(cursor: Cursor, target: Path) -> dict[str, int]:
    """Writes the state of this moment to a new database file under FOLDER; returns the rows of each table.

    Blocks: call it in a reader thread.
    """
    source = str(cursor.execute("select current_database()").fetchall()[0][0])
    cursor.execute(f"attach {_quoted(target)} as snapshot")
    try:
        cursor.execute(f'copy from database "{source}" to snapshot')
        return {table: _count(cursor, table) for table in tables(cursor)}
    finally:
        cursor.execute("detach snapshot")


def _count(cursor: Cursor, table: str) -> int:
    return int(cursor.execute(f'select count(*) from snapshot."{table}"').fetchall()[0][0])  # noqa: S608


def tables(cursor: Cursor, *, filled: bool = False) -> list[str]:
    """The names of all tables in order, or of those that hold anything."""
    found = cursor.execute(
        """
        select table_name from duckdb_tables()
        where database_name = current_database() and estimated_size >= ? order by 1
        """,
        [int(filled)],
    )
    return [str(name) for (name,) in found.fetchall()]


def read_through(cursor: Cursor) -> tuple[int, dict[str, str]]:
    """Reads every block of every table, which checks their checksums; returns how many tables, and what failed in which."""
    found = tables(cursor, filled=True)
    return len(found), {table: text for table in found if (text := _fault(cursor, table))}


def _fault(cursor: Cursor, table: str) -> str:
    try:
        cursor.execute(f'select bit_xor(hash(t)) from "{table}" t').fetchall()  # noqa: S608
    except Exception as error:  # whatever DuckDB says of a damaged block
        return str(error).split("\n", 1)[0]
    return ""


def _quoted(path: Path) -> str:
    """A path as an SQL literal: ATTACH and COPY take no parameters. The paths are our own."""
    return "'" + str(path).replace("'", "''") + "'"
