"""A child process that runs graphs or knows who does: how it is started, what it is told, and how it ended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import msgspec

from gfedge.inference.evidence import CRASH
from gfedge.inference.messages import Begin, Connect, Line

END_SECONDS = 10.0


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """What is started, and what is known of it."""

    module: str
    """That runs with the number of its end of the socket."""
    begin: Begin | Connect
    """The first that it is told."""
    name: str
    """Of its worker, where it is one itself."""
    called: str = "the inference process"
    kept: tuple[str, ...]
    """Of the environment, what its names begin with: no secrets."""
    added: dict[str, str] = {}
    """To the environment, where it has no other."""
    ran_on: dict[str, str] = {}
    """What its results are said to depend on besides."""
    weight: int = CRASH
    """How much its end says against the calls that it had."""

    def spawn(self) -> tuple[subprocess.Popen[bytes], Line]:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", self.module, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=self.environment(),
            )
        return process, Line(ours)

    def environment(self) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if name.startswith(self.kept)}
        return self.added | kept


def ended(process: subprocess.Popen[bytes]) -> str:
    """Waits for the end of a process that has closed its socket, and says how it was."""
    try:
        code = process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    return f"signal {-code}" if code < 0 else f"exit code {code}"
