"""An engine in processes elsewhere: whatever kills or hangs one ends jobs, not the server.

It looks like `Engine` to its callers. One child process is started, supervised and started again with a growing pause:
that is a worker itself (`isolated`), or a hub that has workers in a cluster (`cluster`). Calls that were at a worker when
it ended run again; what a death says about them is weighed as evidence, and a call that ended its worker twice fails as
poisonous.
"""

from __future__ import annotations

import itertools
import logging
import os
import socket
import subprocess
import threading
import time
from concurrent.futures import Future
from functools import partial
from typing import Any

import msgspec
import numpy as np

from gfedge.inference import messages
from gfedge.inference.calls import Call, Calls, Tallies, Worker, settle, settle_together
from gfedge.inference.child import Child, ended
from gfedge.inference.deadline import CLOSED
from gfedge.inference.device import on_cpu
from gfedge.inference.evidence import CRASH, KILL
from gfedge.inference.folder import graph_bytes
from gfedge.inference.jobs import careful
from gfedge.inference.messages import Arrays, Letter, Line, Order
from gfedge.inference.types import (
    Cancel,
    Cancelled,
    Device,
    EngineError,
    GenerateRequest,
    LoadedModel,
    ModelFolder,
    ModelRefused,
    OnPreview,
    Pixels,
    PoisonousJob,
    Progress,
    Result,
    UpscaleRequest,
    WorkerState,
)

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
STEADY_SECONDS = 60.0
"""A process that lived so long starts again without a pause when it dies."""
LOOK_SECONDS = 0.05
"""Between looks for cancelled and hanging calls."""
SILENT_SECONDS = 60.0
FAILING_SECONDS = 5.0
"""So long without any worker is worth a word; one that is started again is there sooner."""


class SupervisedEngine:
    """Runs requests on the models of this machine, in other processes."""

    def __init__(self, child: Child, *, hang_seconds: float = 120.0) -> None:
        self._child = child
        self._hang_seconds = hang_seconds
        self._numbers = itertools.count(1)
        self._calls = Calls()
        self._tallies = Tallies()
        self._names: dict[int, str] = {}
        self._folders: dict[str, ModelFolder] = {}
        """Of models that were asked for, by digest."""
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Line | None = None
        self._heard_at = 0.0
        self._closing = threading.Event()
        self._told = f"starting {child.called}"
        self._last = on_cpu(self._told)
        self._ran_on: dict[str, str] = {}
        self._without_since = time.monotonic()
        self._thread = threading.Thread(target=self._supervise, name="engine-supervisor")
        self._looking = threading.Thread(target=self._look, name="engine-watch")
        self.restarts = 0

    @property
    def device(self) -> Device:
        with self._lock:
            workers = list(self._calls.workers.values())
        if self.failure or not self._ran_on:
            return on_cpu(self._told)
        if len(workers) < 2:
            return self._last
        note = f"{len(workers)} workers: {self._last.note}"
        return msgspec.structs.replace(self._last, note=note)

    @property
    def surroundings(self) -> dict[str, str]:
        return {**self._ran_on, **self._child.ran_on}

    @property
    def failure(self) -> str:
        with self._lock:
            if self._calls.workers:
                return ""
            late = time.monotonic() - self._without_since > FAILING_SECONDS
            return f"no worker answers: {self._told}" if late else ""

    def workers(self) -> list[WorkerState]:
        with self._lock:
            return self._tallies.states()

    def start(self) -> None:
        messages.sweep_dead()
        self._thread.start()
        self._looking.start()

    def close(self) -> None:
        """Cancels every call, lets the process end and kills it where it does not."""
        self._closing.set()
        with self._lock:
            calls = list(self._calls.all.values())
            self._calls.all.clear()
            if self._line is not None:
                self._line.connection.shutdown(socket.SHUT_RDWR)
        for call in calls:
            call.settle(Cancelled())
        self._thread.join()
        self._looking.join()

    def load(self, model: ModelFolder) -> Future[float]:
        """On one worker, and when that went well on all the others that there are then."""
        whole: Future[float] = Future()
        first = self._ask(messages.Load(0, model))
        first.add_done_callback(partial(self._load_others, model, whole))
        return whole

    def _load_others(self, model: ModelFolder, whole: Future[float], first: Future[float]) -> None:
        if (error := first.exception()) is not None:
            return settle(whole, error)
        with self._lock:
            others = [w for w in self._calls.workers.values() if not w.has(model.digest)]
            parts = [self._ask(messages.Load(0, model), only=w.number) for w in others]
        return settle_together(whole, first.result(), parts)

    def keep(self, model: ModelFolder, seconds: float) -> None:
        with self._lock:
            for number in self._calls.workers:
                self._send(messages.Keep(model, seconds), worker=number)

    def loaded(self) -> list[LoadedModel]:
        """What any of them has in memory; busy where it is so at one."""
        with self._lock:
            found = [model for w in self._calls.workers.values() for model in w.loaded]
        by_digest = {model.digest: model for model in found}
        by_digest |= {model.digest: model for model in found if model.busy}
        return list(by_digest.values())

    def generate(
        self,
        model: ModelFolder,
        request: GenerateRequest,
        progress: Progress,
        cancel: Cancel,
        on_preview: OnPreview | None = None,
    ) -> Future[Result]:
        order = messages.Generate(0, model, request, on_preview is not None)
        return self._ask(order, progress=progress, cancel=cancel, on_preview=on_preview)

    def upscale(
        self,
        model: ModelFolder | None,
        image: Pixels,
        request: UpscaleRequest,
        progress: Progress,
        cancel: Cancel,
    ) -> Future[Result]:
        order = messages.Upscale(0, model, request)
        return self._ask(order, (image,), progress=progress, cancel=cancel)

    def _ask(
        self,
        order: messages.Load | messages.Generate | messages.Upscale,
        arrays: Arrays = (),
        *,
        cancel: Cancel | None = None,
        **more: Any,
    ) -> Future[Any]:
        order.id = next(self._numbers)
        call = Call(
            id=order.id,
            order=order,
            arrays=arrays,
            future=Future(),
            cancel=cancel or Cancel(),
            **more,
        )
        with self._lock:
            if self._closing.is_set():
                call.settle(EngineError(CLOSED))
            else:
                self._calls.all[call.id] = call
                if order.model is not None:
                    self._folders[order.model.digest] = order.model
                self._send_waiting()
        return call.future

    # What is sent, and when

    def _send_waiting(self) -> None:
        """Under the lock."""
        for call in self._calls.assign():
            assert call.at is not None
            call.moved_at = time.monotonic()
            self._send(call.order, call.arrays, call.at.number)

    def _send(self, order: Order, arrays: Arrays = (), worker: int = 0) -> None:
        if (line := self._line) is None:
            return
        try:
            line.send(order, arrays, worker)
        except OSError:
            log.debug("the inference process is gone", exc_info=True)

    def _look(self) -> None:
        """Passes cancellations on, and ends a worker in which a call no longer moves."""
        while not self._closing.wait(LOOK_SECONDS):
            with self._lock:
                for call in list(self._calls.all.values()):
                    self._cancel(call)
                for worker in [w for w in self._calls.workers.values() if self._hangs(w)]:
                    log.error("worker %s hangs and is ended", worker.name)
                    self._end(worker)
                if self._process and self._heard_at < time.monotonic() - SILENT_SECONDS:
                    log.error("the inference process hangs and is killed")
                    self._kill()

    def _hangs(self, worker: Worker) -> bool:
        late = time.monotonic() - self._hang_seconds
        return any(call.moved_at < late for call in worker.calls.values())

    def _end(self, worker: Worker) -> None:
        if not worker.number:
            return self._kill()
        for call in worker.calls.values():
            call.moved_at = time.monotonic()  # once is enough
        return self._send(messages.End(worker.number, "it hung", CRASH))

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None

    def _cancel(self, call: Call) -> None:
        if call.told or not (call.cancel.raised or call.future.cancelled()):
            return
        call.told = True
        if call.at is not None:
            self._send(messages.Cancel(call.id), worker=call.at.number)
        else:
            self._calls.over(call)
            call.settle(Cancelled())

    # The process and what it says

    def _supervise(self) -> None:
        """Starts the process, listens to it, and starts it again when it dies."""
        pause = FIRST_PAUSE
        while not self._closing.is_set():
            began = time.monotonic()
            self._listen(*self._child.spawn())
            if self._closing.is_set():
                break
            pause = FIRST_PAUSE if time.monotonic() - began > STEADY_SECONDS else pause
            self._closing.wait(pause)
            pause = min(LONGEST_PAUSE, 2 * pause)
            self.restarts += 1

    def _listen(self, process: subprocess.Popen[bytes], line: Line) -> None:
        """Serves one process from its start to its death."""
        with self._lock:
            self._process, self._line, self._heard_at = process, line, time.monotonic()
            self._send(self._child.begin)
        while not self._closing.is_set() and (letter := line.letter()) is not None:
            self._heard_at = time.monotonic()
            self._hear(letter)
        with self._lock:
            self._process, self._line = None, None
        line.close()
        how = f"{self._child.called} ended ({ended(process)})"
        messages.sweep(process.pid)
        if not self._closing.is_set():
            log.error("%s and is started again", how)
            messages.sweep(os.getpid())
            with self._lock:
                self._told = f"{how} and is started again"
                for worker in list(self._calls.workers.values()):
                    self._lose(worker, how, self._child.weight)

    def _hear(self, letter: Letter) -> None:
        number, report = letter.worker, messages.read_report(letter.message)
        worker = self._calls.workers.get(number)
        match report:
            case messages.State(text):
                if text != self._told:
                    log.info("%s", text)
                self._told = text
            case messages.Known(name):
                self._names[number] = name
            case messages.Ready():
                self._ready(number, report)
            case _ if worker is None:
                return
            case messages.Gone(how, weight):
                log.error("worker %s ended and is started again: %s", worker.name, how)
                self._lose(worker, how, weight)
            case messages.Alive(vitals):
                self._tallies.of(worker).vitals = vitals
            case messages.Missing(model, names):
                give = partial(self._give, number, model, names)
                threading.Thread(target=give, name="engine-files", daemon=True).start()
            case _:
                self._hear_of(worker, report, letter.arrays)

    def _hear_of(self, worker: Worker, report: messages.Report, arrays: Arrays) -> None:
        call = worker.calls.get(getattr(report, "id", 0))
        if call is None:
            return
        call.moved_at = time.monotonic()
        match report:
            case messages.Moved(_, done, units):
                careful(call.progress, done, units)
            case messages.Preview(_, index, side, pixels) if call.on_preview is not None:
                picture = np.frombuffer(pixels, np.uint8).reshape(side, side, 4)
                careful(call.on_preview, index, lambda: picture)
            case messages.Done():
                worker.loaded = report.loaded
                self._over(call, self._outcome(worker, report, arrays))
            case messages.Failed() if worker.number and worker.device.lost:
                log.warning("%s: %s; another worker runs it again", worker.name, report.text)
            case messages.Failed(_, text, cancelled):
                self._over(call, Cancelled() if cancelled else EngineError(text))

    def _outcome(self, worker: Worker, report: messages.Done, arrays: Arrays) -> Any:
        if report.facts is None:
            return report.seconds
        tally = self._tallies.of(worker)
        tally.calls += 1
        tally.inference_seconds += report.facts.inference_seconds
        ran_on = {**worker.surroundings, **self._child.ran_on}
        if worker.number:
            ran_on["worker"] = worker.name
        facts = msgspec.structs.asdict(report.facts)
        return Result(images=list(arrays), ran_on=ran_on, **facts)

    def _over(self, call: Call, outcome: Any) -> None:
        with self._lock:
            self._calls.over(call)
            self._send_waiting()
        call.settle(outcome)

    # Workers that come and go

    def _ready(self, number: int, report: messages.Ready) -> None:
        """A worker is there, or says something new of its device."""
        with self._lock:
            self._last, self._ran_on = report.device, report.surroundings
            if (known := self._calls.workers.get(number)) is not None:
                known.device = report.device
                if number and report.device.lost:
                    self._send(messages.End(number, report.device.note, KILL))
                return
            name = self._names.get(number, self._child.name)
            worker = Worker(
                number=number,
                name=name,
                device=report.device,
                surroundings=report.surroundings,
            )
            again = self._tallies.came(worker)
            others = not again and bool(self._calls.workers)
            self._calls.workers[number] = worker
            if others:
                self._warm(worker)
            self._send_waiting()

    def _warm(self, worker: Worker) -> None:
        """A new one loads what others have, before anybody waits for it; one that died loads what it is asked for."""
        for model in self.loaded():
            if (folder := self._folders.get(model.digest)) is not None:
                self._ask(messages.Load(0, folder), only=worker.number)

    def _lose(self, worker: Worker, how: str, weight: int) -> None:
        with self._lock:
            lost = self._calls.lose(worker, weight)
            self._tallies.left(worker)
            if not self._calls.workers:
                self._without_since = time.monotonic()
            self._send_waiting()
        for call in lost:
            often = "twice" if call.evidence == 2 * CRASH else "too often"
            text = f"the process ended {often} while it ran this ({how}): it is not tried again"
            call.settle(PoisonousJob(text))

    def _give(self, number: int, model: ModelFolder, names: list[str]) -> None:
        """Sends files that a worker has not got."""
        for name in names:
            try:
                data = np.frombuffer(graph_bytes(model, name), np.uint8)
            except ModelRefused as error:
                self._send(messages.File(model.files[name], str(error)), worker=number)
            else:
                self._send(messages.File(model.files[name]), (data,), number)
