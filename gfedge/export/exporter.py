"""Exporting: what changed since the last export is written to the archive, file by file, while the server serves."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from gfedge import __version__, errors
from gfedge.db import Database, new_id
from gfedge.export import store
from gfedge.export.folder import Folder, date_of, day_of, name_of
from gfedge.export.tables import NAMES, TABLES, Table
from gfedge.export.types import Contents, Export, ExportRequest, File, TableEntry

log = logging.getLogger(__name__)

GUESSED_ROW_BYTES = 100.0
"""On the disk, of a table of which nothing was written yet."""


class Todo(NamedTuple):
    """A file to write."""

    table: Table
    name: str
    found: store.Found


class Exporter:
    """Makes one archive of one database, one export at a time."""

    def __init__(self, db: Database, root: Path) -> None:
        self._db = db
        self.folder = Folder(root)
        self.current: Export | None = None
        self._stopping = False

    def stop(self) -> None:
        """The export that runs ends after the file that it writes."""
        self._stopping = True

    def begin(self, wanted: ExportRequest, by: str) -> Export:
        """Takes the turn; Conflict where an export runs already. `run` must follow."""
        _check(wanted)
        if self.current is not None and self.current.state == "running":
            raise errors.Conflict(
                f"an export is running since {time.strftime('%H:%M:%S', time.gmtime(self.current.started_at))} UTC: "
                "wait for it (GET /admin/exports)",
                code="export_running",
                headers={"Retry-After": "5"},
            )
        self.current = Export(id=new_id(), state="running", by=by, started_at=time.time())
        return self.current

    async def run(self, wanted: ExportRequest, keep_days: float, min_free: int) -> Export:
        """Does what was begun; how it ended stands in `current` too, and what it raises is raised on."""
        try:
            await self._run(wanted, keep_days, min_free)
        except BaseException as error:
            self._tell(state="failed", ended_at=time.time(), table="", error=_said(error))
            raise
        return self._tell(state="done", ended_at=time.time(), table="")

    def _tell(self, **changed: object) -> Export:
        assert self.current is not None
        self.current = msgspec.structs.replace(self.current, **changed)
        return self.current

    async def _run(self, wanted: ExportRequest, keep_days: float, min_free: int) -> None:
        await asyncio.to_thread(self._open)
        tables = [table for table in TABLES if not wanted.tables or table.name in wanted.tables]
        oldest = int((time.time() - keep_days * 86_400) // 86_400) if keep_days else 0
        since = max(oldest, day_of(wanted.since) if wanted.since else 0)
        todo, known = await self._plan(tables, since)
        for one in todo:
            await self._write(one, min_free)
        await asyncio.to_thread(self._finish, known, date_of(oldest))

    def _open(self) -> None:
        self.folder.open()
        self.folder.begin()

    async def _plan(
        self, tables: Sequence[Table], since: int
    ) -> tuple[list[Todo], dict[str, TableEntry]]:
        """The files that are not as the database is, and what is known of the tables."""
        todo: list[Todo] = []
        known: dict[str, TableEntry] = {}
        for table in tables:
            self._go_on(table.name)
            columns = await self._db.aside(store.columns, table)
            known[table.name] = TableEntry(
                about=table.about, version=table.version, by_day=table.by_day, columns=columns
            )
            found = await self._db.aside(store.days, table, since) or self._empty(table)
            changed = await asyncio.to_thread(self._changed, table, found)
            todo += changed
            unchanged = self._now.files_unchanged + len(found) - len(changed)
            self._tell(files_total=len(todo), files_unchanged=unchanged)
        return todo, known

    def _empty(self, table: Table) -> list[store.Found]:
        """A file without rows for a table that has no other, so that it can be asked from the first day on."""
        if any(one.table == table.name for one in self.folder.files.values()):
            return []
        return [
            store.Found(
                day=int(time.time() // store.DAY_SECONDS) if table.by_day else 0, rows=0, state="0"
            )
        ]

    def _changed(self, table: Table, found: Sequence[store.Found]) -> list[Todo]:
        named = [
            Todo(table, name_of(table.name, date_of(one.day) if table.by_day else None), one)
            for one in found
        ]
        return [
            one for one in named if not self.folder.has(one.name, table.version, one.found.state)
        ]

    @property
    def _now(self) -> Export:
        assert self.current is not None
        return self.current

    def _go_on(self, table: str) -> None:
        if self._stopping:
            raise errors.Unavailable("the server is stopping: the next export goes on from here")
        self._tell(table=table)

    async def _write(self, one: Todo, min_free: int) -> None:
        """Writes one file, beside its place first."""
        self._go_on(one.table.name)
        part = await asyncio.to_thread(self._make_room, one, min_free)
        before = path if (path := self.folder.root / one.name).is_file() else None
        rows = await self._db.aside(store.write, one.table, one.found.day, part, before)
        file = File(
            table=one.table.name,
            date=date_of(one.found.day) if one.table.by_day else None,
            rows=rows,
            bytes=0,
            sha256="",
            version=one.table.version,
            state=one.found.state,
            written_at=time.time(),
        )
        placed = await asyncio.to_thread(self.folder.place, one.name, file)
        now = self._now
        self._tell(files=now.files + 1, rows=now.rows + rows, bytes=now.bytes + placed.bytes)

    def _make_room(self, one: Todo, min_free: int) -> Path:
        """Where to write; NoSpace where the disk would come too near to full."""
        part = self.folder.part(one.name)
        part.unlink(missing_ok=True)
        free, needed = shutil.disk_usage(part.parent).free, self._bytes_of(one)
        if free - needed < min_free:
            raise errors.NoSpace(
                f"{free >> 20} MiB are free under {self.folder.root}, {one.name} may need {(needed >> 20) + 1} MiB, and "
                f"{min_free >> 20} MiB must stay (setting min_free_disk): free some space, or set export_keep_days"
            )
        return part

    def _bytes_of(self, one: Todo) -> int:
        """What a file may take, by what the table took so far."""
        entry = self.folder.tables.get(one.table.name)
        row = entry.bytes / entry.rows if entry and entry.rows else GUESSED_ROW_BYTES
        return int(row * one.found.rows)

    def _finish(self, known: dict[str, TableEntry], oldest: str) -> None:
        """Writes the contents, without the days before the oldest that is kept."""
        kept = {
            name: one
            for name, one in self.folder.files.items()
            if not (one.date and one.date < oldest)
        }
        self._tell(removed=len(self.folder.files) - len(kept))
        entries = self.folder.entries(known, kept)
        self.folder.finish(
            Contents(
                gfedge=__version__,
                made_at=time.time(),
                rows={name: entry.rows for name, entry in entries.items()},
                tables=entries,
                files=dict(sorted(kept.items())),
            ),
            oldest,
        )


def _check(wanted: ExportRequest) -> None:
    if unknown := sorted(set(wanted.tables) - set(NAMES)):
        raise errors.Invalid(
            f"no table is called {unknown[0]!r}; there are {', '.join(NAMES)}", field="tables"
        )
    try:
        day_of(wanted.since or "1970-01-01")
    except ValueError:
        raise errors.Invalid(
            f"{wanted.since!r} is no date: write it as 2026-11-23", field="since"
        ) from None


def _said(error: BaseException) -> str:
    if isinstance(error, errors.ApiError):
        return error.detail
    if isinstance(error, OSError):
        return f"{error.filename or 'the archive'}: {error.strerror or error}"
    if isinstance(error, asyncio.CancelledError):
        return "the server stopped: the next export goes on from here"
    return f"{type(error).__name__}: {error}".splitlines()[0]
