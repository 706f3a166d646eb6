"""Calls on their way to workers elsewhere: which goes where, and what a death says about those that were there.

A call goes to the worker with the least to do, of those that have its model in memory if they have not much more. One
under suspicion runs by itself on one worker, while the others go on with the rest. Its owner locks.
"""

from __future__ import annotations

import itertools
import time
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any

import msgspec

from gfedge.inference.evidence import ALONE, POISONOUS
from gfedge.inference.messages import Arrays, Generate, Load, Upscale
from gfedge.inference.types import (
    Cancel,
    Device,
    LoadedModel,
    OnPreview,
    PoisonousJob,
    Progress,
    Vitals,
    WorkerState,
)

COLD = 2.0
"""Calls that another worker may have more before one is chosen that must load the model first."""
FORGET_SECONDS = 600.0
"""How long a worker that went is told of."""


class Call(msgspec.Struct, eq=False, kw_only=True):
    """Something that was asked of a worker."""

    id: int
    order: Load | Generate | Upscale
    arrays: Arrays = ()
    future: Future[Any]
    cancel: Cancel
    progress: Progress = lambda done, units: None
    on_preview: OnPreview | None = None
    only: int | None = None
    """The worker that it is for; it ends with that one."""
    evidence: int = 0
    at: Worker | None = None
    told: bool = False
    """The worker knows that it is cancelled."""
    moved_at: float = 0.0

    @property
    def alone(self) -> bool:
        return self.evidence >= ALONE

    def settle(self, outcome: Any) -> None:
        settle(self.future, outcome)


class Worker(msgspec.Struct, eq=False, kw_only=True):
    """A worker that answers."""

    number: int
    name: str
    device: Device
    surroundings: dict[str, str]
    calls: OrderedDict[int, Call] = msgspec.field(default_factory=OrderedDict)
    loaded: list[LoadedModel] = []

    @property
    def threads(self) -> int:
        return int(self.surroundings.get("threads") or 1)

    def has(self, digest: str) -> bool:
        return any(model.digest == digest for model in self.loaded)


class Tally(msgspec.Struct, eq=False, kw_only=True):
    """What is counted of a worker by its name, whatever process it is."""

    worker: Worker | None = None
    left_at: float = 0.0
    restarts: int = 0
    calls: int = 0
    inference_seconds: float = 0.0
    vitals: Vitals = Vitals()
    cpu_before: float = 0.0
    """Of the processes that this one followed."""

    def state(self, name: str) -> WorkerState:
        worker = self.worker
        return WorkerState(
            name=name,
            up=worker is not None,
            provider=worker.device.provider if worker is not None else "",
            note=worker.device.note if worker is not None else "it does not answer",
            calls=len(worker.calls) if worker is not None else 0,
            calls_total=self.calls,
            inference_seconds=self.inference_seconds,
            cpu_seconds=self.cpu_before + self.vitals.cpu_seconds,
            restarts=self.restarts,
            loaded=list(worker.loaded) if worker is not None else [],
            vitals=self.vitals,
        )


class Tallies:
    """Of all workers that are known, by their names."""

    def __init__(self) -> None:
        self._all: dict[str, Tally] = {}

    def of(self, worker: Worker) -> Tally:
        return self._all[worker.name]

    def came(self, worker: Worker) -> bool:
        """Notes that it is there; whether one of that name was there before."""
        again = worker.name in self._all
        tally = self._all.setdefault(worker.name, Tally())
        tally.worker, tally.left_at = worker, 0.0
        tally.restarts += again
        return again

    def left(self, worker: Worker) -> None:
        tally = self.of(worker)
        tally.worker, tally.left_at = None, time.monotonic()
        tally.cpu_before += tally.vitals.cpu_seconds
        tally.vitals = Vitals()

    def states(self) -> list[WorkerState]:
        """All of them, but for those that went long ago."""
        late = time.monotonic() - FORGET_SECONDS
        for name in [name for name, tally in self._all.items() if 0 < tally.left_at < late]:
            del self._all[name]
        return [tally.state(name) for name, tally in sorted(self._all.items())]


class Calls:
    """The calls that have not ended, and the workers that there are for them."""

    def __init__(self) -> None:
        self.all: OrderedDict[int, Call] = OrderedDict()
        self.workers: dict[int, Worker] = {}

    def assign(self) -> Iterator[Call]:
        """Gives workers to the calls that wait, as far as that may be; those that are to be sent now."""
        waiting = [call for call in self.all.values() if call.at is None]
        if not waiting or not self.workers:
            return
        free, alone = self._free([call for call in waiting if call.alone])
        if alone is not None:
            yield alone
        for call in waiting:
            if call.alone or not free:
                continue
            worker = min(free, key=partial(_cost, call))
            if call.only is not None:
                worker = self.workers[call.only]
                if worker not in free:
                    continue
            yield _given(call, worker)

    def _free(self, suspects: list[Call]) -> tuple[list[Worker], Call | None]:
        """The workers that take anything, and the call that now runs by itself.

        For those under suspicion one worker is kept free at a time, the one that is done first.
        """
        workers = list(self.workers.values())
        kept = [w for w in workers if any(call.alone for call in w.calls.values())]
        found = None
        if suspects and not kept:
            kept = [min(workers, key=lambda worker: len(worker.calls))]
            if not kept[0].calls:
                found = _given(suspects[0], kept[0])
        return [worker for worker in workers if worker not in kept], found

    def over(self, call: Call) -> None:
        """It has ended."""
        self.all.pop(call.id, None)
        if call.at is not None:
            call.at.calls.pop(call.id, None)

    def lose(self, worker: Worker, weight: int) -> list[Call]:
        """The worker is no more: its calls wait again. Gives those that do not, because it is one time too many."""
        self.workers.pop(worker.number, None)
        lost = [call for call in self.all.values() if call.only == worker.number]
        for call in worker.calls.values():
            call.at, call.told = None, False
            call.evidence += weight
            if call.evidence >= POISONOUS and call not in lost:
                lost.append(call)
        for call in lost:
            self.all.pop(call.id, None)
        worker.calls.clear()
        return lost


def _given(call: Call, worker: Worker) -> Call:
    call.at = worker
    worker.calls[call.id] = call
    return call


def _cost(call: Call, worker: Worker) -> tuple[float, int]:
    model = call.order.model
    cold = 0.0 if model is None or worker.has(model.digest) else COLD
    return (len(worker.calls) + cold) / worker.threads, worker.number


def settle(future: Future[Any], outcome: Any) -> None:
    """Hands a result or an exception over; only the first one counts."""
    if future.done() or not future.set_running_or_notify_cancel():
        return
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def settle_together(whole: Future[float], seconds: float, parts: list[Future[float]]) -> None:
    """Settles a load when all its parts have ended: with the most seconds, or a failure but that of a worker that died."""
    left = itertools.count(len(parts), -1)

    def ended(_: Future[float] | None = None) -> None:
        if next(left):
            return
        failures = [error for part in parts if (error := part.exception()) is not None]
        failures = [error for error in failures if not isinstance(error, PoisonousJob)]
        done = [part.result() for part in parts if part.exception() is None]
        settle(whole, failures[0] if failures else max([seconds, *done]))

    for part in parts:
        part.add_done_callback(ended)
    ended()
