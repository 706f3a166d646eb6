"""Faults on demand, for tests: `GFEDGE_FAULT=segv@7` lets the call that works on a picture of seed 7 end the process.

Also `exit` and `oom` (killed, as the system does it), `hang`, `raise` (whatever a runtime may raise), `memory` (a call
with company has no room, one alone has) and `lost` (the device falls off the bus, once).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Collection


class Fault:
    """What goes wrong, and at which seed; nothing where the text is empty."""

    def __init__(self, text: str = "") -> None:
        self.kind, _, self.seed = text.partition("@")

    def strike(self, seeds: Collection[int]) -> None:
        """Called with the seeds of the pictures that a call works on."""
        if not self.kind or self.seed not in map(str, seeds):
            return
        match self.kind:
            case "segv":
                signal.pthread_kill(
                    threading.get_ident(), signal.SIGSEGV
                )  # this thread goes no further
            case "oom":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                os._exit(3)
            case "hang":
                threading.Event().wait()
            case "raise":
                raise RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : as was asked for")
            case "memory" if len(seeds) > 1:
                raise RuntimeError("bfc_arena.cc:376 Available memory of 0 is smaller than asked")
            case "lost":
                self.kind = ""
                raise RuntimeError("CUDA failure 719: unspecified launch failure ; GPU=0")
