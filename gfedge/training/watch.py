"""What watches one attempt of a local trainer: what it uses, its limits, and that inference goes first."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from gfedge import errors
from gfedge.settings import Settings
from gfedge.tasks import Tasks
from gfedge.tracking.types import LogBatch, Point
from gfedge.training import process
from gfedge.training.entry_points import Declared
from gfedge.training.jobs import TrainingJobs
from gfedge.training.live import Live
from gfedge.training.types import TrainingError, Usage

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""How often a trainer is looked at."""
MEASURE_SECONDS = 10.0
"""How often its use of the machine goes into its run."""


class Watch:
    """One attempt: until the process is gone, holds it to its limits and lets inference go first."""

    def __init__(
        self,
        settings: Settings,
        jobs: TrainingJobs,
        live: Live,
        entry: Declared,
        child: asyncio.subprocess.Process,
        busy: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._jobs = jobs
        self._live = live
        self._child = child
        self._busy = busy
        self._meter = process.Meter()
        self._active = 0.0
        self._looked_at = time.monotonic()
        self._measured_at = 0.0
        self._max_seconds = entry.max_seconds or settings.train_max_seconds
        self._max_memory = int(entry.max_memory_gb * (1 << 30)) or settings.train_memory

    async def wait(self) -> int:
        """The exit code; a negative one is the signal that ended it."""
        tasks = Tasks()
        gone = tasks.spawn(f"wait for {self._live.id}", self._child.wait())
        while not (await asyncio.wait([gone], timeout=LOOK_SECONDS))[0]:
            try:
                await self._look()
            except (errors.NoSpace, errors.Unavailable) as failure:
                log.warning("training job %s: %s", self._live.id, failure)
        code: int = gone.result()
        return code

    async def _look(self) -> None:
        now = time.monotonic()
        if self._live.record.state == "running":
            self._active += now - self._looked_at
        self._looked_at = now
        usage = await asyncio.to_thread(self._meter.read, self._child.pid, now)
        self._live.usage = usage
        await asyncio.to_thread(self._live.log.cut)
        await self._measure(usage, now)
        await self._limit(usage)
        await self._yield()

    async def _measure(self, usage: Usage, now: float) -> None:
        if now - self._measured_at < MEASURE_SECONDS:
            return
        self._measured_at = now
        values = {
            "system/cpu_ratio": usage.cpu_ratio,
            "system/rss_bytes": float(usage.rss_bytes),
            "system/gpu_memory_bytes": usage.gpu_memory_bytes,
            "system/gpu_ratio": usage.gpu_ratio,
        }
        step = self._live.record.progress.step
        points = [
            Point(key=k, value=float(v), step=step) for k, v in values.items() if v is not None
        ]
        await self._jobs.runs.log(self._live.record.run_id, LogBatch(metrics=points), time.time())
        self._jobs.tell(
            "job.usage",
            self._live,
            {"job_id": self._live.id, "usage": usage},
            f"usage {self._live.id}",
        )

    async def _limit(self, usage: Usage) -> None:
        """Ends what takes more time or memory than it may."""
        if self._live.stop is not None or self._live.record.cancel_requested_at is not None:
            return
        if self._max_seconds and self._active > self._max_seconds:
            self._live.stop = TrainingError(
                code="time_limit", detail=f"it ran longer than {self._max_seconds:g} s"
            )
        elif self._max_memory and usage.rss_bytes > self._max_memory:
            self._live.stop = TrainingError(
                code="memory_limit",
                detail=f"it used {usage.rss_bytes >> 20} MiB of memory, more than {self._max_memory >> 20} MiB",
            )
        if self._live.stop is not None:
            grace = self._settings.train_grace
            await asyncio.to_thread(process.end_all, self._child.pid, self._live.id, grace)

    async def _yield(self) -> None:
        """Pauses while AI jobs wait, and goes on when none does."""
        live, waiting, most = self._live, self._busy(), self._settings.train_pause_queue
        if live.record.cancel_requested_at is not None or live.stop is not None:
            return
        if most and waiting >= most and live.record.state == "running":
            processes = await asyncio.to_thread(process.members, self._child.pid)
            await asyncio.to_thread(process.pause, processes)
            live.hold(time.time())
            await self._jobs.change(live, state="paused", reason=f"{waiting} AI jobs wait")
        elif waiting == 0 and live.record.state == "paused":
            processes = await asyncio.to_thread(process.members, self._child.pid)
            await asyncio.to_thread(process.resume, processes)
            live.go_on(time.time())
            await self._jobs.change(live, state="running", reason="")
