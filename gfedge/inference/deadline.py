"""The longest that one run of a graph may take: a thread asks ONNX Runtime to end those that take longer.

It ends loops and large graphs between operators, within milliseconds; not one operator that never returns. For that
there is an engine in a process of its own (isolated.py).
"""

from __future__ import annotations

import threading
import time
from typing import Any

from gfedge.inference.device import onnxruntime
from gfedge.inference.types import EngineError

LOOK_SECONDS = 0.5
ENDED = "terminate flag"
"""What ONNX Runtime's message has in it then."""
CLOSED = "the engine is closed"


class Deadline:
    """Runs graphs for at most `seconds` each. Thread-safe."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._running: dict[int, tuple[float, Any]] = {}
        self._changed = threading.Condition()
        self._watch: threading.Thread | None = None
        self._closed = threading.Event()

    def run(self, session: Any, feed: dict[str, Any]) -> Any:
        """The graph's first output. Raises EngineError where it took too long, and whatever ONNX Runtime raises."""
        options = onnxruntime().RunOptions()
        key = id(options)
        with self._changed:
            if self._closed.is_set():
                raise EngineError(CLOSED)
            self._running[key] = (time.monotonic(), options)
            if self._watch is None:
                self._watch = threading.Thread(
                    target=self._look, name="engine-deadline", daemon=True
                )
                self._watch.start()
        try:
            return session.run(None, feed, options)[0]
        except Exception as error:
            if ENDED in str(error).lower():
                late = f"a run took longer than {self.seconds:g} s and was ended"
                raise EngineError(CLOSED if self._closed.is_set() else late) from error
            raise
        finally:
            del self._running[key]

    def close(self) -> None:
        """Ends what runs, and whatever would run from now on: nobody waits for it any more."""
        with self._changed:
            self._closed.set()
            for _, options in list(self._running.values()):
                options.terminate = True

    def _look(self) -> None:
        """Lives as long as anything runs, and a little longer."""
        idle = 0
        while True:
            time.sleep(LOOK_SECONDS)
            late = time.monotonic() - self.seconds
            for began, options in list(self._running.values()):
                if began < late:
                    options.terminate = True
            idle = 0 if self._running else idle + 1
            with self._changed:
                if idle >= 20 and not self._running:
                    self._watch = None
                    return
