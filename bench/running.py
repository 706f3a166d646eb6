"""A real server in a process of its own, for the measurements."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
"""ONNX Runtime tells its maker of sessions and runs; the server has that off, so the peers have."""


@dataclass(frozen=True)
class Server:
    host: str
    port: int
    pid: int
    started: float
    """Seconds from starting the process to its first 200."""

    def cpu_seconds(self) -> float:
        """User and system time of the process so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def tree_cpu_seconds(self) -> float:
        """The same of the process and all that it started."""
        total = 0.0
        for one in self._tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                total += sum(one.cpu_times()[:2])
        return total

    def tree_bytes(self) -> int:
        """Memory of all its processes; what some of them share counts once (PSS, so ask while nothing else shares it)."""
        total = 0
        for one in self._tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                total += one.memory_full_info().pss
        return total

    def _tree(self) -> list[psutil.Process]:
        first = psutil.Process(self.pid)
        return [first, *first.children(recursive=True)]

    def resident_bytes(self) -> int:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf(
            "SC_PAGE_SIZE"
        )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def get(host: str, port: int, path: str = "/health") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@contextlib.contextmanager
def server(*command: str, port: int | None = None, path: str = "/health") -> Iterator[Server]:
    """Starts `command` (by default `gfedge serve` on a new data folder) and waits for its first 200."""
    port = port or free_port()
    with tempfile.TemporaryDirectory() as data:
        line = command or (
            *(sys.executable, "-m", "gfedge", "serve"),
            *("--port", str(port), "--data", data),
        )
        began = time.perf_counter()
        # Compiled once, as installed packages are.
        environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        process = subprocess.Popen(line, stderr=subprocess.DEVNULL, env=environ)
        try:
            while True:
                with contextlib.suppress(OSError):
                    if get("127.0.0.1", port, path)[0] == 200:
                        break
                if process.poll() is not None:
                    raise SystemExit(f"the server ended with {process.returncode}")
                time.sleep(0.002)
            yield Server("127.0.0.1", port, process.pid, time.perf_counter() - began)
        finally:
            family = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            process.wait(30)
            for one in family:  # what it left behind
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()


def wait_until_ready(found: Server) -> None:
    """Until the model folders are read and every model is loaded."""
    waiting = (b'"device":"starting"', b'"registered"', b'"loading"')
    while any(state in get(found.host, found.port)[1] for state in waiting):
        time.sleep(0.05)
