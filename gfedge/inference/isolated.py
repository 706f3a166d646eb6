"""An engine in a process of its own: whatever kills it or hangs it ends jobs, not the server.

It looks like `Engine` to its callers. When the process dies or a call stops moving, the process is started again with
a growing pause, and the calls that were in flight run once more, one at a time, so that the one that is to blame is
found: a call that was there at two deaths fails as poisonous.
"""

from __future__ import annotations

import itertools
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import msgspec
import numpy as np

from gfedge.inference import messages
from gfedge.inference.device import on_cpu
from gfedge.inference.jobs import careful
from gfedge.inference.messages import Line, Order
from gfedge.inference.types import (
    Cancel,
    Cancelled,
    Device,
    EngineError,
    EngineOptions,
    GenerateRequest,
    LoadedModel,
    ModelFolder,
    OnPreview,
    Pixels,
    PoisonousJob,
    Progress,
    Result,
    UpscaleRequest,
)

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
STEADY_SECONDS = 60.0
"""A process that lived so long starts again without a pause when it dies."""
LOOK_SECONDS = 0.05
"""Between looks for cancelled and hanging calls."""
START_SECONDS, END_SECONDS = 60.0, 10.0
DEATHS = 2
KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV")
KEPT_PREFIXES = ("LC_", "LD_", "CUDA_", "NVIDIA_", "OMP_", "_PYI_")
"""Of the environment: what libraries need to be found (`_PYI_`: those of the single binary), and no secrets."""


class Call(msgspec.Struct, eq=False):
    """Something that was asked of the process."""

    id: int
    order: Callable[[], Order]
    """Made when it is sent, because a picture is shared anew each time."""
    future: Future[Any]
    cancel: Cancel
    progress: Progress = lambda done, units: None
    on_preview: OnPreview | None = None
    deaths: int = 0
    sent: bool = False
    told: bool = False
    """The process knows that it is cancelled."""
    moved_at: float = 0.0

    def settle(self, outcome: Any) -> None:
        if self.future.done() or not self.future.set_running_or_notify_cancel():
            return
        if isinstance(outcome, Exception):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class IsolatedEngine:
    """Runs requests on the models of this machine, in a supervised process."""

    def __init__(self, options: EngineOptions, *, hang_seconds: float = 120.0) -> None:
        self.options = options
        self._hang_seconds = hang_seconds
        self._begin = messages.Begin(options)
        self._numbers = itertools.count(1)
        self._calls: OrderedDict[int, Call] = OrderedDict()
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Line | None = None
        self._is_ready = False
        self._began_at = 0.0
        self._closing = threading.Event()
        self._ready = messages.Ready(on_cpu("starting the inference process"), {})
        self._loaded: list[LoadedModel] = []
        self._thread = threading.Thread(target=self._supervise, name="engine-supervisor")
        self._looking = threading.Thread(target=self._look, name="engine-watch")
        self.restarts = 0

    @property
    def device(self) -> Device:
        return self._ready.device

    @property
    def surroundings(self) -> dict[str, str]:
        return {**self._ready.surroundings, "isolated": "true"}

    def start(self) -> None:
        messages.sweep_dead()
        self._thread.start()
        self._looking.start()

    def close(self) -> None:
        """Cancels every call, lets the process end and kills it where it does not."""
        self._closing.set()
        with self._lock:
            calls, self._calls = list(self._calls.values()), OrderedDict()
            if self._line is not None:
                self._line.connection.shutdown(socket.SHUT_RDWR)
        for call in calls:
            call.settle(Cancelled())
        self._thread.join()
        self._looking.join()

    def load(self, model: ModelFolder) -> Future[float]:
        return self._ask(lambda number: messages.Load(number, model))

    def keep(self, model: ModelFolder, seconds: float) -> None:
        with self._lock:
            if self._is_ready:
                self._send(messages.Keep(model, seconds))

    def loaded(self) -> list[LoadedModel]:
        return self._loaded

    def generate(
        self,
        model: ModelFolder,
        request: GenerateRequest,
        progress: Progress,
        cancel: Cancel,
        on_preview: OnPreview | None = None,
    ) -> Future[Result]:
        return self._ask(
            lambda number: messages.Generate(number, model, request, on_preview is not None),
            progress,
            cancel,
            on_preview,
        )

    def upscale(
        self,
        model: ModelFolder | None,
        image: Pixels,
        request: UpscaleRequest,
        progress: Progress,
        cancel: Cancel,
    ) -> Future[Result]:
        return self._ask(
            lambda number: messages.Upscale(number, model, messages.share(image), request),
            progress,
            cancel,
        )

    def _ask(
        self,
        order: Callable[[int], Order],
        progress: Progress = lambda done, units: None,
        cancel: Cancel | None = None,
        on_preview: OnPreview | None = None,
    ) -> Future[Any]:
        number = next(self._numbers)
        call = Call(
            number, partial(order, number), Future(), cancel or Cancel(), progress, on_preview
        )
        with self._lock:
            if self._closing.is_set():
                call.settle(EngineError("the engine is closed"))
            else:
                self._calls[number] = call
                self._send_waiting()
        return call.future

    # What is sent, and when

    def _send_waiting(self) -> None:
        """Sends what has not been sent; while calls are under suspicion, one of those alone. Under the lock."""
        if not self._is_ready:
            return
        suspects = [call for call in self._calls.values() if call.deaths]
        if suspects:
            waiting = [] if any(call.sent for call in self._calls.values()) else suspects[:1]
        else:
            waiting = [call for call in self._calls.values() if not call.sent]
        for call in waiting:
            call.sent, call.moved_at = True, time.monotonic()
            self._send(call.order())

    def _send(self, order: Order) -> None:
        assert self._line is not None
        try:
            self._line.send(order)
        except OSError:
            log.debug("the inference process is gone", exc_info=True)

    def _look(self) -> None:
        """Passes cancellations on, and ends a process in which a call no longer moves."""
        while not self._closing.wait(LOOK_SECONDS):
            with self._lock:
                calls = list(self._calls.values())
                for call in calls:
                    self._cancel(call)
                if self._process is not None and self._hangs(calls):
                    log.error("the inference process hangs and is killed")
                    self._process.kill()
                    self._process = None

    def _hangs(self, calls: list[Call]) -> bool:
        """Whether the process does not come up, or something in it has not moved for long."""
        now = time.monotonic()
        if not self._is_ready:
            return self._began_at < now - START_SECONDS
        late = now - self._hang_seconds
        return any(call.sent and call.moved_at < late for call in calls)

    def _cancel(self, call: Call) -> None:
        if call.told or not (call.cancel.raised or call.future.cancelled()):
            return
        call.told = True
        if call.sent and self._is_ready:
            self._send(messages.Cancel(call.id))
        elif not call.sent:
            del self._calls[call.id]
            call.settle(Cancelled())

    # The process and what it says

    def _supervise(self) -> None:
        """Starts the process, listens to it, and starts it again when it dies."""
        pause = FIRST_PAUSE
        while not self._closing.is_set():
            began = time.monotonic()
            self._listen(*self._spawn())
            if self._closing.is_set():
                break
            pause = FIRST_PAUSE if time.monotonic() - began > STEADY_SECONDS else pause
            self._closing.wait(pause)
            pause = min(LONGEST_PAUSE, 2 * pause)
            self.restarts += 1

    def _spawn(self) -> tuple[subprocess.Popen[bytes], Line]:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "gfedge.inference.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=_environment(),
            )
        return process, Line(ours)

    def _listen(self, process: subprocess.Popen[bytes], line: Line) -> None:
        """Serves one process from its start to its death."""
        with self._lock:
            self._process, self._line, self._began_at = process, line, time.monotonic()
            self._send(self._begin)
        while not self._closing.is_set() and (report := line.report()) is not None:
            if isinstance(report, messages.Ready):
                with self._lock:
                    self._ready, self._is_ready = report, True
                    self._send_waiting()
            else:
                self._hear(report)
        with self._lock:
            self._process, self._line, self._is_ready, self._loaded = None, None, False, []
        line.close()
        code = _ended(process)
        messages.sweep(process.pid)
        if not self._closing.is_set():
            self._died(code)

    def _hear(self, report: messages.Report) -> None:
        call = self._calls.get(report.id) if not isinstance(report, messages.Ready) else None
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
                self._loaded = report.loaded
                self._over(call, _result(report))
            case messages.Failed(_, text, cancelled):
                self._over(call, Cancelled() if cancelled else EngineError(text))

    def _over(self, call: Call, outcome: Any) -> None:
        with self._lock:
            self._calls.pop(call.id, None)
            self._send_waiting()
        call.settle(outcome)

    def _died(self, code: int) -> None:
        """Counts a death against the calls that were in flight; the second one is a call's last."""
        log.error("the inference process ended (%s) and is started again", _how(code))
        with self._lock:
            messages.sweep(os.getpid())
            poisonous = []
            for call in [call for call in self._calls.values() if call.sent]:
                call.sent = call.told = False
                call.deaths += 1
                if call.deaths >= DEATHS:
                    poisonous.append(self._calls.pop(call.id))
        for call in poisonous:
            call.settle(
                PoisonousJob(
                    f"the inference process ended twice while it ran this ({_how(code)}): it is not tried again"
                )
            )


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name in KEPT or name.startswith(KEPT_PREFIXES)
    }


def _ended(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _result(report: messages.Done) -> Any:
    if report.facts is None:
        return report.seconds
    images = [messages.take(shared) for shared in report.images]
    return Result(images=images, **msgspec.structs.asdict(report.facts))
