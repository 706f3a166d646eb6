"""The exporter of a running server: when asked, and by the clock where `export_hours` is set."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gfedge import errors, metrics
from gfedge.db import Database
from gfedge.export.exporter import Exporter
from gfedge.export.types import Archive, Export, ExportRequest
from gfedge.settings import Settings
from gfedge.tasks import Tasks

log = logging.getLogger(__name__)

CHECK_SECONDS = 15.0
RETRY_SECONDS = 600.0
"""After an export by the clock that failed."""
CLOCK = "the server"


class Exports:
    """Runs exports in the background and knows when the next one is due."""

    def __init__(self, db: Database, settings: Settings, tasks: Tasks) -> None:
        self._settings = settings
        self._tasks = tasks
        self._began_at, self._failed_at = time.time(), 0.0
        self.exporter = Exporter(db, settings.exports)

    def begin(self, wanted: ExportRequest, by: str) -> Export:
        """Starts an export and tells of it; Conflict where one runs."""
        begun = self.exporter.begin(wanted, by)
        self._tasks.spawn("export", self._run(wanted))
        return begun

    async def check(self) -> None:
        """Starts an export where it is time."""
        due, now = self.next_at, time.time()
        running = self.exporter.current is not None and self.exporter.current.state == "running"
        if due is not None and due <= now and not running:
            self.begin(ExportRequest(), CLOCK)

    @property
    def next_at(self) -> float | None:
        """When the next one by the clock is due; None where there is no clock."""
        hours = self._settings.export_hours
        if not hours:
            return None
        made_at = self.exporter.folder.made_at
        due = self._began_at if made_at is None else made_at + hours * 3600
        return max(due, self._failed_at + RETRY_SECONDS) if self._failed_at else due

    @property
    def archive(self) -> Archive:
        folder = self.exporter.folder
        return Archive(
            folder=str(folder.root),
            every_hours=self._settings.export_hours,
            keep_days=self._settings.export_keep_days,
            made_at=folder.made_at,
            next_at=self.next_at,
            export=self.exporter.current,
            tables=dict(sorted(folder.tables.items())),
        )

    async def _run(self, wanted: ExportRequest) -> None:
        live = self._settings
        try:
            done = await self.exporter.run(wanted, live.export_keep_days, live.min_free_disk)
        except (errors.ApiError, OSError) as failure:
            self._failed(getattr(failure, "detail", str(failure)))
        except Exception:
            self._failed("")
            raise
        else:
            self._failed_at = 0.0
            metrics.exports_total.labels("done").inc()
            log.info(
                "exported %d files, %d rows, %d bytes to %s",
                done.files,
                done.rows,
                done.bytes,
                live.exports,
            )

    def _failed(self, text: str) -> None:
        self._failed_at = time.time()
        metrics.exports_total.labels("failed").inc()
        if text:
            log.warning("the export failed: %s", text)


@asynccontextmanager
async def opened(db: Database, settings: Settings) -> AsyncIterator[Exports]:
    """The exports of a server, until it stops."""
    tasks = Tasks()
    exports = Exports(db, settings, tasks)
    if settings.exports.exists():
        try:
            await asyncio.to_thread(exports.exporter.folder.open)
        except (errors.ApiError, OSError) as failure:
            log.warning("the archive cannot be used: %s", failure)
    tasks.every("look whether an export is due", CHECK_SECONDS, exports.check)
    try:
        yield exports
    finally:
        exports.exporter.stop()
        await tasks.stop()
