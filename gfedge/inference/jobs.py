"""One request on its way through the engine: its future, its cancel flag, its progress and its times."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future

from gfedge.inference.types import Cancel, Cancelled, Pixels, Progress, Result

log = logging.getLogger(__name__)


class Job:
    """What the engine keeps about a request, whatever its kind."""

    def __init__(self, progress: Progress, cancel: Cancel) -> None:
        self.future: Future[Result] = Future()
        self.progress = progress
        self.cancel = cancel
        self.done = 0
        self.units = 1
        """Units of work done and in all; written under the engine's lock."""
        self.load_seconds = 0.0
        self.first_call = 0.0
        self.last_call = 0.0
        self.calls = 0
        self.items = 0
        self.settled = False
        self.lock = threading.Lock()

    def over(self) -> bool:
        """Whether nothing more is to be done: finished, failed, or cancelled by its owner or through the future."""
        return self.settled or self.cancel.raised or self.future.cancelled()

    def settle(self, outcome: Result | Exception) -> None:
        """Hand the outcome over; only the first one counts. Call it without the engine's lock."""
        with self.lock:
            if self.settled:
                return
            self.settled = True
        if not self.future.set_running_or_notify_cancel():
            return
        if isinstance(outcome, Exception):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)

    def tell(self) -> None:
        """Report how far the job is. An error in the owner's callback is logged and goes no further."""
        with self.lock:
            if not self.settled:
                careful(self.progress, self.done, self.units)

    def count_call(self, started: float, items: int) -> None:
        """Note a graph call that had `items` images or tiles, of this job and others."""
        with self.lock:
            self.first_call = min(self.first_call or started, started)
            self.last_call = time.perf_counter()
            self.calls += 1
            self.items += items

    def result(
        self,
        images: list[Pixels],
        *,
        tiles: int = 0,
        unknown_words: tuple[str, ...] = (),
        undocumented_words: tuple[str, ...] = (),
        suggestions: dict[str, tuple[str, ...]] | None = None,
        dropped_words: tuple[str, ...] = (),
    ) -> Result:
        return Result(
            images=images,
            load_seconds=self.load_seconds,
            inference_seconds=self.last_call - self.first_call,
            batch_size=self.items / max(1, self.calls),
            tiles=tiles,
            unknown_words=unknown_words,
            undocumented_words=undocumented_words,
            suggestions=suggestions or {},
            dropped_words=dropped_words,
        )


def careful(callback: Callable[..., None], *args: object) -> None:
    """Call into code that is not the engine's."""
    try:
        callback(*args)
    except Exception:
        log.exception("a callback of a job failed")


def settle_cancelled(jobs: Iterable[Job]) -> None:
    for job in jobs:
        job.settle(Cancelled())
