"""The C library's memory, where that is glibc."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from contextlib import suppress

ARENA_MAX = -8
"""M_ARENA_MAX of mallopt(3)."""
ARENAS = 2


def few_arenas(environ: Mapping[str, str] = os.environ) -> bool:
    """Has threads share two heaps, before they are begun; whether that could be had.

    By default there are eight for each core, and none gives another what it has free: after 93,000 jobs that was 67 MiB
    instead of 20, for the same CPU. Who set the number in the environment keeps it.
    """
    if "MALLOC_ARENA_MAX" in environ or "arena_max" in environ.get("GLIBC_TUNABLES", ""):
        return False
    with suppress(OSError, AttributeError, TypeError):  # another C library
        return bool(ctypes.CDLL(None).mallopt(ARENA_MAX, ARENAS))
    return False
