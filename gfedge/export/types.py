"""Exports on the wire, and the archive's own file of contents."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

TableName = Annotated[str, Meta(max_length=40, examples=["runs"])]


class File(msgspec.Struct, kw_only=True, frozen=True):
    """One Parquet file of the archive."""

    table: str
    date: str | None
    """UTC, of a table that has a file for each day."""
    rows: int
    bytes: int
    sha256: str
    version: int
    """Of the table's columns."""
    state: str
    """What the database held of it when it was written."""
    written_at: float


class TableEntry(msgspec.Struct, kw_only=True, frozen=True):
    """What a table of the archive holds."""

    about: str
    version: int
    by_day: bool
    columns: dict[str, str]
    """Names and types, as SQL has them."""
    files: int = 0
    rows: int = 0
    bytes: int = 0
    first_date: str | None = None
    last_date: str | None = None


class Contents(msgspec.Struct, kw_only=True, frozen=True):
    """`archive.json`, written last: all that is whole in the folder."""

    format: Literal[1] = 1
    gfedge: str
    """Version that made it."""
    made_at: float
    rows: dict[str, int]
    """Of each table."""
    tables: dict[str, TableEntry]
    files: dict[str, File]
    """By path within the folder, with slashes."""


class ExportRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What to export."""

    tables: Annotated[
        list[TableName], Meta(max_length=100, description="Left out or empty: all of them.")
    ] = []
    since: Annotated[
        str,
        Meta(
            pattern=r"^(\d{4}-\d{2}-\d{2})?$(?!\n)",
            description="Only days (UTC) from this one on are looked at; empty: all.",
            examples=["2026-11-01"],
        ),
    ] = ""


class Export(msgspec.Struct, kw_only=True, frozen=True):
    """An export that runs or ran: what changed since the one before is written."""

    id: str
    state: Literal["running", "done", "failed"]
    by: Annotated[str, Meta(description="Who asked for it; `the server` for one by the clock.")]
    started_at: float
    ended_at: float | None = None
    table: Annotated[str, Meta(description="Being written now.")] = ""
    files: Annotated[int, Meta(description="Written so far.")] = 0
    files_total: Annotated[int, Meta(description="To write; known when all tables are read.")] = 0
    files_unchanged: Annotated[int, Meta(description="As they were, so left alone.")] = 0
    rows: int = 0
    bytes: int = 0
    removed: Annotated[int, Meta(description="Files that `export_keep_days` let go.")] = 0
    error: str = ""


class Archive(msgspec.Struct, kw_only=True, frozen=True):
    """The archive of this server."""

    folder: Annotated[str, Meta(description="On the server's machine.")]
    every_hours: Annotated[float, Meta(description="0: only when asked.")]
    keep_days: Annotated[float, Meta(description="0: for ever.")]
    made_at: Annotated[float | None, Meta(description="When the last export was complete.")]
    next_at: float | None
    export: Annotated[Export | None, Meta(description="The one that runs, or the last.")]
    tables: dict[str, TableEntry]
