"""Lanes: jobs that share a model, handed out to the engine's threads one unit of work at a time.

`take` and all it calls run under the engine's lock and only choose; a unit runs without it and never raises. A lane
opens its model with its first unit and gives it back when no job is left.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Generic, TypeVar

import msgspec

from gfedge.inference.jobs import Job, settle_cancelled
from gfedge.inference.sessions import Model, Sessions, reason
from gfedge.inference.types import EngineError, EngineOptions, ModelFolder

Unit = Callable[[], None]
AnyJob = TypeVar("AnyJob", bound=Job)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where units run."""

    options: EngineOptions
    sessions: Sessions
    workers: int
    on_gpu: bool


class Lane(ABC, Generic[AnyJob]):
    """Jobs that share what they run on."""

    def __init__(self, lock: threading.Condition) -> None:
        self.lock = lock
        self.jobs: list[AnyJob] = []
        self.in_flight = 0
        """Units handed out and not yet done; the engine counts them."""

    def take(self, place: Place) -> Unit | None:
        """The next unit of work, or None if there is nothing to do right now."""
        over = [job for job in self.jobs if job.over()]
        if over:
            self.jobs = [job for job in self.jobs if job not in over]
            self.forget(over)
            return partial(settle_cancelled, over)
        return self.next_unit(place)

    def add(self, job: AnyJob) -> None:
        self.jobs.append(job)

    def forget(self, jobs: Sequence[AnyJob]) -> None:
        """Drop what is kept for jobs that are over."""

    @abstractmethod
    def next_unit(self, place: Place) -> Unit | None:
        """A unit of the lane's own work."""

    def idle(self) -> bool:
        return not (self.jobs or self.in_flight)

    def close(self, sessions: Sessions) -> None:
        """Give back what the lane holds."""

    def move(self) -> None:
        """Forget what is open on a device that was lost; under the engine's lock."""

    def abandon(self, outcome: Exception) -> None:
        """Settle all jobs this way. Call it without the engine's lock."""
        for job in list(self.jobs):
            job.settle(outcome)


class ModelLane(Lane[AnyJob]):
    """Jobs of one model."""

    def __init__(self, folder: ModelFolder, lock: threading.Condition) -> None:
        super().__init__(lock)
        self.folder = folder
        self.loads: list[Future[float]] = []
        self.model: Model | None = None
        self.opening = False

    def next_unit(self, place: Place) -> Unit | None:
        if self.model is None:
            return self._take_opening(place)
        if self.loads:
            loads, self.loads = self.loads, []
            return partial(settle_loads, loads, self.model.load_seconds)
        return self.take_work(self.model, place)

    @abstractmethod
    def take_work(self, model: Model, place: Place) -> Unit | None:
        """A unit of the pipeline's work on its model."""

    def idle(self) -> bool:
        return super().idle() and not (self.loads or self.opening)

    def close(self, sessions: Sessions) -> None:
        if self.model is not None:
            sessions.release(self.model)
            self.model = None

    def move(self) -> None:
        self.model = None

    def abandon(self, outcome: Exception) -> None:
        with self.lock:
            loads, self.loads = self.loads, []
        settle_loads(loads, outcome)
        super().abandon(outcome)

    def _take_opening(self, place: Place) -> Unit | None:
        if self.opening or not (self.jobs or self.loads):
            return None
        self.opening = True
        return partial(self._open, place)

    def _open(self, place: Place) -> None:
        started = time.perf_counter()
        try:
            model = place.sessions.acquire(self.folder)
        except EngineError as error:
            self._opening_failed(error)
            return
        seconds = time.perf_counter() - started
        with self.lock:
            self.model, self.opening = model, False
            for job in self.jobs:
                job.load_seconds = seconds

    def _opening_failed(self, error: EngineError) -> None:
        with self.lock:
            self.opening = False
        self.abandon(error)

    def failure(self, error: Exception) -> EngineError:
        """What a job is told about a graph call that failed."""
        return EngineError(f"{self.folder.name}/{self.folder.version} failed: {reason(error)}")


def settle_loads(futures: list[Future[float]], outcome: float | Exception) -> None:
    """Tell those who asked for a model to be loaded how long it took, or why it cannot be."""
    for future in futures:
        if not future.set_running_or_notify_cancel():
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


def distinct(jobs: Iterable[AnyJob]) -> list[AnyJob]:
    """Each job once, in order."""
    return list({id(job): job for job in jobs}.values())
