"""The C library's memory: how many heaps the threads of a process have."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from gfedge import malloc

HEAPS = """
import ctypes, sys, threading
from gfedge import malloc
print(malloc.few_arenas())
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
ready = threading.Barrier(8)
def work():
    ready.wait()
    for _ in range(100):
        libc.malloc(50_000)
    ready.wait()
threads = [threading.Thread(target=work) for _ in range(8)]
for one in threads: one.start()
for one in threads: one.join()
sys.stdout.flush()
libc.fdopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, file)
libc.fflush(file)
"""


def heaps(**environ: str) -> tuple[str, int]:
    """What `few_arenas` said, and the heaps that eight threads then have."""
    clean = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    done = subprocess.run(
        [sys.executable, "-c", HEAPS], env=clean | environ, check=True, capture_output=True, text=True
    )  # fmt: skip
    return done.stdout.split("\n", 1)[0], done.stdout.count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_threads_share_two_heaps_unless_the_environment_says_how_many() -> None:
    assert heaps() == ("True", malloc.ARENAS)
    assert heaps(MALLOC_ARENA_MAX="6") == ("False", 6)
    assert heaps(GLIBC_TUNABLES="glibc.malloc.arena_max=5") == ("False", 5)
