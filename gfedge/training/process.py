"""A training process and all that it starts: begun apart from the server, watched, paused, stopped, found again.

It leads a session of its own, so that one signal reaches all of it; what left the group is reached through its parents.
Every process of a job has the job's id in its environment, by which a restarted server finds those that it lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

from gfedge import outside
from gfedge.training.types import Usage

MARK = "GFEDGE_JOB_ID"
SAME_SECONDS = 2.0
"""How far two readings of one process' start may be apart, where somebody sets the clock."""
LEFT_SECONDS = 0.02
"""Between looks whether a process is gone."""
INHERITED = (
    *(
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "TZ",
        "TMPDIR",
        "TEMP",
        "TMP",
    ),
    *("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_HOME", "SYSTEMROOT", "SSL_CERT_FILE"),
)
"""What a trainer gets of the server's environment; everything else may be a secret."""
OOM_SCORE = 500
"""Where memory runs out, the kernel ends a trainer before the server."""


async def start(
    arguments: list[str], cwd: Path, environment: Mapping[str, str], log: Path, nice: int
) -> asyncio.subprocess.Process:
    """Starts a trainer; its output goes to the end of the file `log`. OSError where it cannot be started."""
    environ = outside.environment()
    kept = {name: environ[name] for name in INHERITED if name in environ}
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            cwd=cwd,
            env={**kept, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    _step_back(process.pid, nice)
    return process


def _step_back(pid: int, nice: int) -> None:
    """Lower priority than the server's: for the CPU, and where memory runs out."""
    with contextlib.suppress(psutil.Error, OSError):
        psutil.Process(pid).nice(getattr(psutil, "BELOW_NORMAL_PRIORITY_CLASS", nice))  # Windows
    # A session of its own is a scheduling group of its own on many Linux systems, with a niceness of its own.
    for name, value in (("autogroup", nice), ("oom_score_adj", OOM_SCORE)):
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid}/{name}").write_text(str(value))


def started_at(pid: int) -> float | None:
    """When a process began, which with its id says which one it is."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None


def members(pid: int) -> list[psutil.Process]:
    """A trainer, all that it started, and what else is in its session."""
    found: dict[int, psutil.Process] = {}
    with contextlib.suppress(psutil.Error):
        leader = psutil.Process(pid)
        found = {one.pid: one for one in (leader, *leader.children(recursive=True))}
    for one in psutil.process_iter() if hasattr(os, "getsid") else ():
        with contextlib.suppress(OSError):
            if one.pid not in found and os.getsid(one.pid) == pid:
                found[one.pid] = one
    return list(found.values())


def lost(job_id: str, pid: int | None, began_at: float | None) -> list[psutil.Process]:
    """What still runs of a job whose server died: by the mark in the environment, or by id and start."""
    found = []
    for one in psutil.process_iter():
        try:
            marked = one.environ().get(MARK) == job_id
        except (psutil.Error, OSError):
            marked = False
        if marked or (one.pid == pid and _same(one, began_at)):
            found.append(one)
    return found


def _same(process: psutil.Process, began_at: float | None) -> bool:
    with contextlib.suppress(psutil.Error):
        return began_at is not None and abs(process.create_time() - began_at) < SAME_SECONDS
    return False


def signal_all(processes: Iterable[psutil.Process], number: int) -> None:
    """Sends a signal to each; psutil makes sure that an id was not given to another meanwhile."""
    for one in processes:
        with contextlib.suppress(psutil.Error, ValueError):
            one.send_signal(number)


def terminate(processes: list[psutil.Process]) -> None:
    """Asks to end; what is paused must go on to hear it."""
    signal_all(processes, signal.SIGTERM)
    resume(processes)


def kill(processes: Iterable[psutil.Process]) -> None:
    for one in processes:
        with contextlib.suppress(psutil.Error):
            one.kill()


def pause(processes: Iterable[psutil.Process]) -> None:
    for one in processes:
        with contextlib.suppress(psutil.Error):
            one.suspend()


def resume(processes: Iterable[psutil.Process]) -> None:
    for one in processes:
        with contextlib.suppress(psutil.Error):
            one.resume()


def end(processes: list[psutil.Process], grace: float) -> None:
    """SIGTERM, time to write a checkpoint, SIGKILL; returns when all are gone. Blocks."""
    terminate(processes)
    left = _left(processes, grace)
    kill(left)
    _left(left, grace)


def _left(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that still run when the time is over. psutil's own waiting would take the exit code from the event loop."""
    give_up_at = time.monotonic() + seconds
    while processes := [one for one in processes if _runs(one)]:
        if time.monotonic() > give_up_at:
            break
        time.sleep(LEFT_SECONDS)
    return processes


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def end_all(pid: int, job_id: str, grace: float) -> None:
    """Ends a trainer and everything that bears its mark. Blocks."""
    end(_everything(pid, job_id), grace)


def sweep(pid: int, job_id: str) -> None:
    """Kills what a trainer that is gone left running. Blocks."""
    kill(_everything(pid, job_id))


def _everything(pid: int, job_id: str) -> list[psutil.Process]:
    """The tree, the session, and who bears the mark; a process that left both still has its environment."""
    return list({one.pid: one for one in (*members(pid), *lost(job_id, None, None))}.values())


class Meter:
    """What the processes of a job use, from one look to the next."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[psutil.Process, float]] = {}
        self._at = 0.0

    def read(self, pid: int, now: float) -> Usage:
        """Use since the last look; the first one has no CPU figure yet."""
        seconds, cpu, rss = now - self._at, 0.0, 0
        seen: dict[int, tuple[psutil.Process, float]] = {}
        for one in members(pid):
            with contextlib.suppress(psutil.Error):
                with one.oneshot():
                    times = one.cpu_times()
                    rss += one.memory_info().rss
                total = times.user + times.system
                before = self._seen.get(one.pid)
                known = before is not None and before[0] == one
                cpu += total - before[1] if known and before else 0.0
                seen[one.pid] = one, total
        self._seen, self._at = seen, now
        memory, busy = gpu(set(seen))
        return Usage(
            processes=len(seen),
            cpu_ratio=round(max(0.0, cpu / seconds), 3) if seconds > 0 else 0.0,
            rss_bytes=rss,
            gpu_memory_bytes=memory,
            gpu_ratio=busy,
        )


def gpu(pids: set[int]) -> tuple[int | None, float | None]:
    """(bytes of GPU memory of these processes, how busy their GPU is); None where NVML has no answer."""
    if not _nvml():
        return None, None
    import pynvml

    memory, busy = 0, 0.0
    try:
        for index in range(pynvml.nvmlDeviceGetCount()):
            device = pynvml.nvmlDeviceGetHandleByIndex(index)
            used = [
                one.usedGpuMemory or 0
                for one in pynvml.nvmlDeviceGetComputeRunningProcesses(device)
                if one.pid in pids
            ]
            if used:
                memory += sum(used)
                busy = max(busy, pynvml.nvmlDeviceGetUtilizationRates(device).gpu / 100)
    except pynvml.NVMLError:
        return None, None
    return memory, busy


_nvml_state: list[bool] = []


def _nvml() -> bool:
    """Whether NVML can be asked; found out once."""
    if not _nvml_state:
        try:
            import pynvml

            pynvml.nvmlInit()
            _nvml_state.append(True)
        except Exception:  # no driver, no library: there is no GPU to ask about
            _nvml_state.append(False)
    return _nvml_state[0]
