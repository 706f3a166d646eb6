"""An inference process: `python -m gfedge.inference.worker FD`, started and supervised by isolated.py.

It holds an engine, takes orders from its socket and ends with it. It has no secrets in its environment and no core
dumps, and the system kills it before the server when memory runs out.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

from gfedge.inference import messages
from gfedge.inference.engine import Engine
from gfedge.inference.messages import Line
from gfedge.inference.types import Cancel, Cancelled, Pixels, Result

PREVIEW_SECONDS = 0.2


class Worker:
    """The engine of this process, as its orders come."""

    def __init__(self, line: Line, begin: messages.Begin) -> None:
        self.line = line
        self.engine = Engine(begin.options)
        self.cancels: dict[int, Cancel] = {}

    def run(self) -> None:
        self.engine.start()
        self.tell_device()
        while (order := self.line.order()) is not None:
            match order:
                case messages.Load(id, model):
                    self.engine.load(model).add_done_callback(partial(self.ended, id))
                case messages.Keep(model, seconds):
                    self.engine.keep(model, seconds)
                case messages.Generate():
                    self.generate(order)
                case messages.Upscale():
                    self.upscale(order)
                case messages.Cancel(id):
                    if id in self.cancels:
                        self.cancels[id].cancel()
        self.engine.close()

    def tell_device(self) -> None:
        """At the start, and when it was lost."""
        self.told = self.engine.device
        self.line.send(messages.Ready(self.told, self.engine.surroundings))

    def generate(self, order: messages.Generate) -> None:
        cancel = self.cancels[order.id] = Cancel()
        preview = self.preview(order.id) if order.previews else None
        self.call(
            order.id,
            lambda: self.engine.generate(
                order.model, order.request, partial(self.moved, order.id), cancel, preview
            ),
        )

    def upscale(self, order: messages.Upscale) -> None:
        cancel = self.cancels[order.id] = Cancel()
        image = messages.take(order.image)
        self.call(
            order.id,
            lambda: self.engine.upscale(
                order.model, image, order.request, partial(self.moved, order.id), cancel
            ),
        )

    def call(self, number: int, begin: Callable[[], Future[Result]]) -> None:
        try:
            begin().add_done_callback(partial(self.ended, number))
        except ValueError as error:
            self.line.send(messages.Failed(number, str(error)))

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
            self.line.send(self.outcome(number, future))

    def outcome(self, number: int, future: Future[Any]) -> messages.Done | messages.Failed:
        if future.cancelled() or isinstance(error := future.exception(), Cancelled):
            return messages.Failed(number, "", cancelled=True)
        if error is not None:
            return messages.Failed(number, str(error))
        found, loaded = future.result(), self.engine.loaded()
        if not isinstance(found, Result):
            return messages.Done(number, loaded, seconds=found)
        facts = messages.Facts(*(getattr(found, name) for name in messages.Facts.__struct_fields__))
        return messages.Done(
            number, loaded, None, [messages.share(one) for one in found.images], facts
        )


def confine() -> None:
    """No core dumps; the first to go when memory runs out; gone when the server is."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("900")
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C is the server's, which ends this process by its socket


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    confine()
    line = Line(socket.socket(fileno=int(sys.argv[1])))
    begin = line.order()
    if isinstance(begin, messages.Begin):
        Worker(line, begin).run()


if __name__ == "__main__":
    main()
