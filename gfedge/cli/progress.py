"""Waiting for a job: asking for it, a bar on a terminal, and Ctrl-C that cancels it."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import Any, TextIO

from gfedge.cli.client import NoServer, Refused, Server
from gfedge.cli.errors import FAILED, INTERRUPTED, CommandError

JOBS = "/api/v1/ml-platform/ai-jobs"
FIRST_PAUSE_SECONDS = 0.03
LONGEST_PAUSE_SECONDS = 0.4
GONE_SECONDS = 60.0
"""How long a server may be away in the middle of a job: jobs are durable, it goes on after a restart."""
BAR_WIDTH = 24
UNITS = {"superres": "tile"}


class Bar:
    """One line on a terminal that is written over; silent where nobody looks."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._live = out.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = 0

    def show(self, text: str) -> None:
        if not self._live:
            return
        text = text[: shutil.get_terminal_size().columns - 1]
        self._out.write("\r" + text.ljust(self._shown))
        self._out.flush()
        self._shown = len(text)

    def clear(self) -> None:
        if self._live and self._shown:
            self._out.write("\r" + " " * self._shown + "\r")
            self._out.flush()
            self._shown = 0

    def close(self, text: str) -> None:
        """Take the bar away and leave one line in its place, on a terminal or not."""
        self.clear()
        print(text, file=self._out, flush=True)


def finish(server: Server, job: dict[str, Any]) -> dict[str, Any]:
    """Wait for the end of a job; gives it when it succeeded, and raises CommandError when it did not."""
    bar = Bar(sys.stderr)
    try:
        job = _wait(server, job, bar)
    except KeyboardInterrupt:
        bar.clear()
        raise CommandError(_cancel(server, job), INTERRUPTED) from None
    finally:
        bar.clear()
    if job["status"] != "succeeded":
        raise CommandError(f"job {job['id']} {_why(job)}", FAILED)
    bar.close(_took(job))
    return job


def _wait(server: Server, job: dict[str, Any], bar: Bar) -> dict[str, Any]:
    pause = FIRST_PAUSE_SECONDS
    while job.get("status") in ("queued", "running"):
        bar.show(line(job))
        time.sleep(pause)
        pause = min(pause * 1.3, LONGEST_PAUSE_SECONDS)
        job = _ask(server, str(job["id"]), bar)
    return job


def _ask(server: Server, job_id: str, bar: Bar) -> dict[str, Any]:
    """The job as it is now; a server that is away for a while (a restart) is waited for."""
    give_up_at = time.monotonic() + GONE_SECONDS
    while True:
        try:
            return server.get(f"{JOBS}/{job_id}").json()
        except NoServer as gone:
            if time.monotonic() > give_up_at:
                text = f"{gone}; job {job_id} is kept and goes on when the server is back"
                raise NoServer(text, gone.exit_code) from None
            bar.show("the server is away; the job goes on when it is back")
            time.sleep(LONGEST_PAUSE_SECONDS)


def _cancel(server: Server, job: dict[str, Any]) -> str:
    """Cancel a job; says what has become of it."""
    path = f"{JOBS}/{job['id']}"
    try:
        with Server(server.address, timeout=5.0, token=server.token) as anew:
            try:
                now = anew.delete(path).json()
            except Refused:  # it has ended meanwhile
                now = anew.get(path).json()
    except CommandError as error:
        return f"interrupted; job {job['id']} could not be cancelled: {error}"
    return f"interrupted; job {job['id']} {_after_cancel(now)}"


def _after_cancel(job: dict[str, Any]) -> str:
    match job.get("status"):
        case "cancelled":
            return "is cancelled"
        case "queued" | "running":
            return "is still running and will stop within a step"
        case "succeeded":
            return f"has succeeded already: the server keeps it (gfedge trace {job.get('id')})"
        case _:
            return _why(job)


def _why(job: dict[str, Any]) -> str:
    error = job.get("error")
    if isinstance(error, dict):
        error = error.get("detail") or error.get("title") or error.get("code")
    status = str(job.get("status"))
    if status == "cancelled":
        return "was cancelled" + (f": {error}" if error else "")
    return f"{status}: {error or 'the server gave no reason'}"


def _took(job: dict[str, Any]) -> str:
    created, started, finished = (
        job.get(f"{name}_at") for name in ("created", "started", "finished")
    )
    if not isinstance(created, int | float) or not isinstance(finished, int | float):
        return f"job {job['id']} done"
    waited = started - created if isinstance(started, int | float) else 0.0
    queued = f", {waited:.1f} s of it in the queue" if waited >= 0.1 else ""
    return f"job {job['id']} done in {finished - created:.1f} s{queued}"


def line(job: dict[str, Any]) -> str:
    """What the bar says about a job."""
    if job.get("status") == "queued":
        return _queued(job.get("queue_position"))
    found = job.get("progress")
    progress: dict[str, Any] = found if isinstance(found, dict) else {}
    step, steps = int(progress.get("step") or 0), int(progress.get("steps") or 0)
    if steps < 1:
        return "starting"
    unit = UNITS.get(str(job.get("kind")), "step")
    stage = f" ({progress['stage']})" if progress.get("stage") else ""
    filled = round(BAR_WIDTH * min(float(progress.get("ratio") or step / steps), 1.0))
    return f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {unit} {step} of {steps}{stage}"


def _queued(position: object) -> str:
    return f"queued, number {position} in line" if isinstance(position, int) else "queued"
