"""A worker in a Ray actor: its letters come as calls, and its reports are fetched by a call that waits for some.

Ray runs `order` and `reports` in a thread each. The module is imported on every node, so gfedge is installed there.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from pathlib import Path

from gfedge import __version__
from gfedge.inference import messages
from gfedge.inference.messages import Arrays, Letter
from gfedge.inference.types import EngineOptions
from gfedge.inference.worker import PULSE_SECONDS, Worker

GROUPS = {"orders": 1, "reports": 1}
"""Threads, by the names of Ray's concurrency groups."""


class Mailbox:
    """Letters in and out; any thread."""

    def __init__(self) -> None:
        self.orders: queue.SimpleQueue[Letter | None] = queue.SimpleQueue()
        self.reports: queue.SimpleQueue[tuple[bytes, Arrays]] = queue.SimpleQueue()

    def letter(self) -> Letter | None:
        return self.orders.get()

    def send(self, message: messages.Report, arrays: Arrays = ()) -> None:
        self.reports.put((messages.encode(message), arrays))


class Actor:
    """What a node holds: one engine on one GPU, or on some of its cores."""

    def __init__(self, version: str, begin: bytes) -> None:
        if version != __version__:
            raise RuntimeError(f"gfedge is {__version__} here and {version} where the server runs")
        order = messages.read_order(begin)
        assert isinstance(order, messages.Begin)
        order.cache = order.cache or cache_folder()
        self.failure = ""
        self.mailbox = Mailbox()
        self.worker = Worker(self.mailbox, order)
        _no_core_dumps()
        threading.Thread(target=self._run, name="worker", daemon=True).start()
        self._check_device(order.options)

    def order(self, message: bytes, *arrays: messages.Array) -> None:
        self.mailbox.orders.put(Letter(0, message, arrays))

    def reports(self) -> list[tuple[bytes, Arrays]]:
        """What there is to say, or nothing after a while."""
        found = []
        with contextlib.suppress(queue.Empty):
            found.append(self.mailbox.reports.get(timeout=2 * PULSE_SECONDS))
            while True:
                found.append(self.mailbox.reports.get_nowait())
        if self.failure:
            raise RuntimeError(self.failure)
        return found

    def _check_device(self, options: EngineOptions) -> None:
        """Refuses a GPU on which nothing runs: a slow worker would be worse than none."""
        self.worker.engine.looked.wait()
        device = self.worker.engine.device
        wanted = options.device == "cuda" and not options.cpu_fallback
        if wanted and device.provider == "CPUExecutionProvider":
            why = "; ".join(device.missing) or device.note
            raise RuntimeError(f"CUDA cannot be used there: {why}")

    def _run(self) -> None:
        try:
            self.worker.run()
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}"
            raise


def cache_folder() -> str:
    """Where this node keeps files of models."""
    root = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return str(Path(root) / "gfedge" / "models")


def _no_core_dumps() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
