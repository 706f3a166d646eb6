"""The backend `external`: a trainer anywhere, which reports in; lost when it is silent too long, running when it is back."""

from __future__ import annotations

from gfedge import errors
from gfedge.settings import Settings
from gfedge.tasks import Tasks
from gfedge.training.creation import Plan
from gfedge.training.jobs import TrainingJobs
from gfedge.training.live import Live
from gfedge.training.types import Outcome, TrainingCreate


class External:
    """Watches for heartbeats that stop."""

    def __init__(self, settings: Settings, jobs: TrainingJobs) -> None:
        self._settings = settings
        self._jobs = jobs
        self._tasks = Tasks()

    def open(self) -> None:
        seconds = min(1.0, self._settings.train_lost_after / 4)
        self._tasks.every("look for lost trainers", seconds, self.look)

    async def close(self) -> None:
        await self._tasks.stop()

    async def plan(self, wanted: TrainingCreate) -> Plan:
        if wanted.entry_point:
            raise errors.Invalid(
                "entry_point: an external trainer has none; say what it runs in source.entry_point",
                field="entry_point",
            )
        return Plan(params=wanted.params, source=wanted.source)

    def submit(self, live: Live) -> None:
        """It waits for the first report."""

    async def recover(self, live: Live) -> None:
        """The trainer could not report while the server was away."""
        live.hear()

    async def cancel(self, live: Live) -> None:
        """Nobody has to be waited for: the trainer hears of it when it reports next."""
        await self._jobs.settle(live, Outcome(status="cancelled"))

    async def look(self) -> None:
        """Finds those that were silent too long."""
        longest = self._settings.train_lost_after
        for live in self._jobs.active("external"):
            if live.record.state == "running" and live.silent_seconds > longest:
                reason = f"nothing was heard of its trainer for {longest:g} s"
                await self._jobs.change(live, state="lost", reason=reason)
