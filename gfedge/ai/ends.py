"""How jobs ended: recorded in the database, and the latest of them in memory for the clients that still look at them."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection

from gfedge import errors
from gfedge.ai import record, store
from gfedge.ai.types import EndedJob
from gfedge.db import Database
from gfedge.tracking.types import RunRecord

log = logging.getLogger(__name__)

REMEMBERED = 1000
"""Ended jobs kept in memory."""
RECORD_AGAIN_SECONDS = (0.25, 5.0)
"""First and longest wait before an end that could not be recorded is tried again."""


class Ends:
    """The ends of this server's jobs."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._stopping = False
        self.latest: OrderedDict[str, EndedJob] = OrderedDict()
        """By id; whoever remembers one here has recorded it, or given it up."""
        self.recorded: Callable[[RunRecord], None] = lambda run: None
        """Whoever reads runs hears of each that will be written."""

    async def open(self) -> None:
        """Takes up what follows from ends and was not written before a crash."""
        for job in await self._db.read(store.unrecorded):
            self._defer(job)

    def stop(self) -> None:
        """From now on what cannot be recorded is not tried again."""
        self._stopping = True

    async def record(self, job: EndedJob) -> None:
        """Commits how a job ended; its run and lineage follow from that row."""
        await self._insert(job)
        self._defer(job)

    async def _insert(self, job: EndedJob) -> None:
        """Tries until it is done: a full disk or a failing database holds the job up, it does not lose it."""
        pause, longest = RECORD_AGAIN_SECONDS
        while True:
            try:
                return await self._db.insert(store.job_row(job))
            except (errors.NoSpace, errors.Unavailable) as failure:
                if self._stopping:
                    raise
                log.error("job %s cannot be recorded and is tried again: %s", job.id, failure)
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)

    def _defer(self, job: EndedJob) -> None:
        """Writes later what follows from the job's own row; who looks for its run finds it at once."""
        self._db.defer(*record.rows(job))
        self.recorded(record.ended_run(job))

    def remember(self, job: EndedJob) -> None:
        self.latest[job.id] = job
        if len(self.latest) > REMEMBERED:
            self.latest.popitem(last=False)

    async def find(self, job_id: str) -> EndedJob:
        """The job as it ended; NotFound where none did."""
        job = self.latest.get(job_id) or await self._db.read(store.find_job, job_id)
        if job is None:
            raise errors.NotFound(f"no job {job_id!r} is here", code="job_not_found")
        return job

    def forget(self, job_ids: Collection[str]) -> None:
        """Jobs that were removed."""
        for job_id in job_ids:
            self.latest.pop(job_id, None)
