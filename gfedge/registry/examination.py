"""The examination of model folders from the server's side: a child process that is given little and trusted less."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import sys
from pathlib import Path

import msgspec

import gfedge
from gfedge import errors
from gfedge.inference.examine import Verdict
from gfedge.inference.types import ModelFolder

WALL_SECONDS = 60.0
"""A verdict takes about a second; the CPU limit of the child ends the hostile ones before this does."""
MAX_ANSWER = 1 << 20


_known: dict[str, Verdict] = {}
"""What this process has examined already, by all that a verdict depends on."""


async def examine(path: Path, known: ModelFolder | None = None) -> Verdict:
    """What a process of its own finds in a folder. Raises Invalid with the reason where it cannot be taken.

    A folder that was read already (`known`) is examined once in the life of this process.
    """
    key = _key(known) if known is not None else ""
    if key not in _known or not key:
        _known[key] = _verdict(*await _ask(path))
    return _known[key]


def _key(folder: ModelFolder) -> str:
    parts = [folder.digest, folder.kind, folder.inputs, folder.pipeline]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


async def _ask(folder: Path) -> tuple[int, bytes]:
    """(exit code, answer) of the process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "gfedge.inference.examine",
        str(folder),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=_environment(),
        cwd=folder.anchor,
        limit=MAX_ANSWER,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(WALL_SECONDS):
            answer = await process.stdout.read()
            code = await process.wait()
    except TimeoutError:
        raise refused(f"its examination took longer than {WALL_SECONDS:g} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    return code, answer


def refused(why: str) -> errors.Invalid:
    return errors.Invalid(f"the model is refused: {why}", code="model_refused")


def _verdict(code: int, answer: bytes) -> Verdict:
    if code:
        raise refused(_ending(code))
    found = msgspec.json.decode(answer, type=Verdict)
    if found.refused:
        raise refused(found.refused)
    return found


def _ending(code: int) -> str:
    """How a process ended that gave no verdict."""
    if code in (-signal.SIGKILL, -getattr(signal, "SIGXCPU", 0)):
        return "it took too much processor time or memory to load and run once"
    if code < 0:
        return f"loading it crashed the process that examined it ({signal.Signals(-code).name})"
    return "the process that examined it failed: it took too much memory, or the file is broken"


def _environment() -> dict[str, str]:
    """Nothing of the server's own environment but what Python and its libraries need to start."""
    kept = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "VIRTUAL_ENV")
    unpacked = {n: v for n, v in os.environ.items() if n.startswith("_PYI_")}  # the single binary
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        **unpacked,
        "PYTHONPATH": str(Path(gfedge.__file__).parent.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": "/nonexistent",  # ONNX Runtime makes a folder there
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
