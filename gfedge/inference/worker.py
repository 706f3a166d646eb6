"""A worker: an engine that takes orders by letter and reports so; `python -m gfedge.inference.worker FD` is one for a server
on this machine (isolated.py), an actor holds one for a cluster (actor.py).

As a process of its own it has no secrets in its environment and no core dumps, and the system kills it before the
server when memory runs out.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from gfedge.inference import messages, vitals
from gfedge.inference.engine import Engine
from gfedge.inference.messages import Arrays, Letter, Line
from gfedge.inference.node_files import NodeFiles
from gfedge.inference.types import Cancel, Cancelled, ModelFolder, ModelRefused, Pixels, Result

PREVIEW_SECONDS = 0.2
PULSE_SECONDS = 5.0
Asked: TypeAlias = messages.Load | messages.Generate | messages.Upscale


class Post(Protocol):
    """Where letters come from and go to."""

    def letter(self) -> Letter | None:
        """The next one; None at the end."""

    def send(self, message: messages.Report, arrays: Arrays = ()) -> None:
        """Raises OSError where nobody is there to read it."""


class Worker:
    """The engine of this process, as its orders come."""

    def __init__(self, line: Post, begin: messages.Begin) -> None:
        self.line = line
        self.engine = Engine(begin.options)
        self.cancels: dict[int, Cancel] = {}
        self.files = NodeFiles(Path(begin.cache)) if begin.cache else None
        self.waiting: list[tuple[Asked, Arrays]] = []
        """Orders whose models are on their way."""
        self.over = threading.Event()

    def run(self) -> None:
        self.engine.start()
        self.engine.looked.wait()
        self.tell_device()
        threading.Thread(target=self.pulse, name="pulse", daemon=True).start()
        while (letter := self.line.letter()) is not None:
            self.take(messages.read_order(letter.message), letter.arrays)
        self.over.set()
        self.engine.close()

    def take(self, order: messages.Order, arrays: Arrays) -> None:
        match order:
            case messages.Keep(model, seconds):
                self.engine.keep(model, seconds)
            case messages.Cancel(id):
                self.cancel(id)
            case messages.File(sha256, problem):
                self.arrived(sha256, problem, arrays)
            case messages.Load() | messages.Generate() | messages.Upscale():
                self.begin(order, arrays)

    def tell_device(self) -> None:
        """At the start, and when it was lost."""
        self.told = self.engine.device
        self.line.send(messages.Ready(self.told, self.engine.surroundings))

    def pulse(self) -> None:
        """Says every few seconds what is used, and so that this process lives."""
        with contextlib.suppress(OSError):
            while True:
                self.line.send(messages.Alive(vitals.read(self.engine.device)))
                if self.over.wait(PULSE_SECONDS):
                    return

    # What is asked for

    def begin(self, order: Asked, arrays: Arrays) -> None:
        """Runs an order, once the files of its model are here."""
        if self.files is not None and order.model is not None:
            if missing := self.files.missing(order.model):
                self.waiting.append((order, arrays))
                self.ask(order.model, missing)
                return
            order.model = self.files.folder(order.model)
        self.call(order.id, partial(self.ordered, order, arrays))

    def ordered(self, order: Asked, arrays: Arrays) -> Future[Any]:
        if isinstance(order, messages.Load):
            return self.engine.load(order.model)
        moved = partial(self.moved, order.id)
        cancel = self.cancels[order.id] = Cancel()
        if isinstance(order, messages.Upscale):
            return self.engine.upscale(order.model, arrays[0], order.request, moved, cancel)
        preview = self.preview(order.id) if order.previews else None
        return self.engine.generate(order.model, order.request, moved, cancel, preview)

    def call(self, number: int, begin: Callable[[], Future[Any]]) -> None:
        try:
            begin().add_done_callback(partial(self.ended, number))
        except ValueError as error:
            self.line.send(messages.Failed(number, str(error)))

    def cancel(self, number: int) -> None:
        if number in self.cancels:
            self.cancels[number].cancel()
        elif self.drop(lambda order: order.id == number):
            self.line.send(messages.Failed(number, "", cancelled=True))

    # Files of models

    def ask(self, model: ModelFolder, names: list[str]) -> None:
        """Asks for files, each once at a time."""
        assert self.files is not None
        if wanted := self.files.wanted(model, names):
            self.line.send(messages.Missing(model, wanted))

    def arrived(self, sha256: str, problem: str, arrays: Arrays) -> None:
        """A file that was asked for: what waits for it goes on, or fails where it could not be had."""
        assert self.files is not None
        try:
            if problem:
                raise ModelRefused(problem)
            self.files.put(sha256, arrays[0])
        except (ModelRefused, OSError) as error:
            self.files.asked.discard(sha256)
            for order, _ in self.drop(
                lambda order: order.model is not None and sha256 in order.model.files.values()
            ):
                self.line.send(messages.Failed(order.id, f"a file of its model: {error}"))
        waiting, self.waiting = self.waiting, []
        for order, given in waiting:
            self.begin(order, given)

    def drop(self, which: Callable[[Asked], bool]) -> list[tuple[Asked, Arrays]]:
        dropped = [one for one in self.waiting if which(one[0])]
        self.waiting = [one for one in self.waiting if one not in dropped]
        return dropped

    # What is reported

    def moved(self, number: int, done: int, units: int) -> None:
        self.line.send(messages.Moved(number, done, units))

    def preview(self, number: int) -> Callable[[int, Callable[[], Pixels]], None]:
        last: dict[int, float] = {}

        def send(index: int, make: Callable[[], Pixels]) -> None:
            now = time.monotonic()
            if now - last.get(index, 0.0) >= PREVIEW_SECONDS:
                last[index] = now
                pixels = make()
                self.line.send(messages.Preview(number, index, pixels.shape[0], pixels.tobytes()))

        return send

    def ended(self, number: int, future: Future[Any]) -> None:
        self.cancels.pop(number, None)
        with contextlib.suppress(OSError):  # the server is gone, and this process follows
            if self.engine.device != self.told:
                self.tell_device()
            self.line.send(*self.outcome(number, future))

    def outcome(self, number: int, future: Future[Any]) -> tuple[messages.Report, Arrays]:
        if future.cancelled() or isinstance(error := future.exception(), Cancelled):
            return messages.Failed(number, "", cancelled=True), ()
        if error is not None:
            return messages.Failed(number, str(error)), ()
        found, loaded = future.result(), self.engine.loaded()
        if not isinstance(found, Result):
            return messages.Done(number, loaded, seconds=found), ()
        facts = messages.Facts(*(getattr(found, name) for name in messages.Facts.__struct_fields__))
        return messages.Done(number, loaded, None, facts), found.images


def confine() -> None:
    """No core dumps; the first to go when memory runs out; gone when the server is."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("900")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the server's, which ends this process by its socket


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    confine()
    line = Line(socket.socket(fileno=int(sys.argv[1])))
    letter = line.letter()
    if letter and isinstance(begin := messages.read_order(letter.message), messages.Begin):
        Worker(line, begin).run()


if __name__ == "__main__":
    main()
