"""A job that has not ended, in memory: its record, its log, and what changes too often for the database."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec

from gfedge.tracking.types import Status
from gfedge.training.logs import Log
from gfedge.training.types import (
    Progress,
    State,
    TrainingError,
    TrainingJob,
    TrainingRecord,
    Usage,
    facts,
)

RUN_STATUS: dict[State, Status] = {
    "queued": "scheduled",
    "starting": "scheduled",
    "running": "running",
    "paused": "running",
    "lost": "running",
    "succeeded": "finished",
    "failed": "failed",
    "cancelled": "killed",
}
"""What the run of a job in each state is."""


class Live:
    """One unended job."""

    def __init__(self, record: TrainingRecord, log: Log) -> None:
        self.record = record
        self.log = log
        self.lock = asyncio.Lock()
        self.ended = asyncio.Event()
        self.heard_at: float | None = None
        self._heard_since = time.monotonic()
        self.heard: dict[str, int] = {}
        """The last `seq` of each session of its trainer."""
        self.usage: Usage | None = None
        self.stop: TrainingError | None = None
        """Why the server stops it, where it does."""
        self.unsaved = False
        self._clock = Clock()

    @property
    def id(self) -> str:
        return self.record.id

    def hear(self) -> None:
        """A sign of life of its trainer."""
        self.heard_at, self._heard_since = time.time(), time.monotonic()

    @property
    def silent_seconds(self) -> float:
        """Since its trainer was heard of, on a clock that nobody sets; 0 before the first time."""
        return time.monotonic() - self._heard_since if self.heard_at is not None else 0.0

    def advance(self, progress: Progress, now: float) -> None:
        """Takes up how far it is."""
        self.record = msgspec.structs.replace(self.record, progress=progress)
        self.unsaved = True
        if progress.fraction is not None:
            self._clock.note(progress.fraction, now)

    def begin(self) -> None:
        """A new attempt: what it did before says nothing of its pace."""
        self._clock = Clock()

    def hold(self, now: float) -> None:
        self._clock.stop(now)

    def go_on(self, now: float) -> None:
        self._clock.start(now)

    @property
    def eta_seconds(self) -> float | None:
        return self._clock.left(time.time()) if self.record.state == "running" else None


class Clock:
    """The pace of an attempt, its pauses left out."""

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None
        self._last: tuple[float, float] | None = None
        self._paused_at: float | None = None

    def note(self, fraction: float, now: float) -> None:
        self._first = self._first or (fraction, now)
        self._last = (fraction, now)

    def stop(self, now: float) -> None:
        self._paused_at = now

    def start(self, now: float) -> None:
        paused = now - (self._paused_at if self._paused_at is not None else now)
        self._paused_at = None
        if self._first:
            self._first = (self._first[0], self._first[1] + paused)
        if self._last:
            self._last = (self._last[0], self._last[1] + paused)

    def left(self, now: float) -> float | None:
        """Seconds to the end at the pace so far; None where there is none yet."""
        if self._first is None or self._last is None or self._last[0] <= self._first[0]:
            return None
        pace = (self._last[0] - self._first[0]) / max(1e-9, self._last[1] - self._first[1])
        return max(0.0, (1 - self._last[0]) / pace - (now - self._last[1]))


def wire(record: TrainingRecord, live: Live | None, **more: Any) -> TrainingJob:
    """A job as clients see it."""
    values = facts(record)
    if live is not None:
        more = {
            "eta_seconds": live.eta_seconds,
            "heard_at": live.heard_at,
            "usage": live.usage,
            **more,
        }
    return TrainingJob(
        **values,
        url=f"/api/v1/ml-platform/training-jobs/{record.id}",
        progress_ratio=1.0 if record.state == "succeeded" else record.progress.fraction,
        **more,
    )
