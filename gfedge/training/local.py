"""The backend `local`: declared entry points as child processes of this server, one after the other.

A trainer outlives a server that is killed. The next server finds it, ends it, and starts it again from its checkpoint:
what nobody watches has no limits, no pause and no log (docs/decisions says more).
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from gfedge import errors
from gfedge.registry.registry import Registry
from gfedge.settings import Settings
from gfedge.tasks import Tasks
from gfedge.tracking.types import Source
from gfedge.training import entry_points, process, versions
from gfedge.training.creation import Plan
from gfedge.training.entry_points import Declared
from gfedge.training.jobs import TrainingJobs
from gfedge.training.live import Live
from gfedge.training.secrets import JobSecrets
from gfedge.training.types import Outcome, TrainingCreate, TrainingError
from gfedge.training.watch import Watch

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 20
"""Starts of one job; what brings the server down each time must not do so for ever."""
GIT_SECONDS = 5.0


class Local:
    """Runs trainers in order; a few side by side, where the setting says so."""

    def __init__(
        self, settings: Settings, jobs: TrainingJobs, secrets: JobSecrets, registry: Registry
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._jobs = jobs
        self._secrets = secrets
        self._tasks = Tasks()
        self._waiting: deque[Live] = deque()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self.busy: Callable[[], int] = lambda: 0
        """How many AI jobs wait; whoever has the queue sets it."""

    async def close(self) -> None:
        """Gives trainers their grace to write a checkpoint; they go on at the next start."""
        self._stopping = True
        self._waiting.clear()
        grace = min(self._settings.train_grace, self._settings.shutdown_grace)
        for job_id in self._running:
            if (live := self._jobs.live(job_id)) is not None:
                self._tasks.spawn(f"stop {job_id}", self._end(live, grace))
        if self._running:
            await asyncio.wait(list(self._running.values()))
        await self._tasks.stop()

    # What a backend does

    async def plan(self, wanted: TrainingCreate) -> Plan:
        entry, plan = await asyncio.to_thread(self._plan, wanted)
        params = await versions.named(self._registry, entry, plan.params)
        return plan._replace(params=params)

    def submit(self, live: Live) -> None:
        self._waiting.append(live)
        self._dispatch()

    async def recover(self, live: Live) -> None:
        record = live.record
        found = await asyncio.to_thread(
            process.lost, live.id, record.pid, record.process_started_at
        )
        if found:
            log.warning("training job %s still ran without its server and is ended", live.id)
            await asyncio.to_thread(process.end, found, self._settings.train_grace)
        if record.cancel_requested_at is not None:
            await self._jobs.settle(live, Outcome(status="cancelled"))
        elif record.state == "queued" and not record.attempt:
            self.submit(live)
        elif problem := self._cannot_resume(live):
            await self._jobs.fail(live, "interrupted", problem)
        else:
            await self._jobs.change(live, state="queued", reason="goes on after a restart")
            self.submit(live)

    async def cancel(self, live: Live) -> None:
        if live in self._waiting:
            self._waiting.remove(live)
            await self._jobs.settle(live, Outcome(status="cancelled"))
        elif live.id in self._running:
            self._tasks.spawn(f"cancel {live.id}", self._end(live, self._settings.train_grace))

    def position(self, live: Live) -> int | None:
        return self._waiting.index(live) + 1 if live in self._waiting else None

    # Running

    def _dispatch(self) -> None:
        while self._waiting and len(self._running) < self._settings.train_max_running:
            if self._stopping:
                return
            live = self._waiting.popleft()
            self._running[live.id] = self._tasks.spawn(f"train {live.id}", self._run(live))

    async def _run(self, live: Live) -> None:
        try:
            outcome = await self._attempt(live)
            if outcome is not None:
                await self._jobs.settle(live, outcome)
        except Exception as failure:
            if self._stopping:
                raise
            log.exception("training job %s failed in the server", live.id)
            await self._jobs.fail(live, "internal", f"the server failed at it: {failure}")
        finally:
            self._running.pop(live.id, None)
            self._dispatch()

    async def _attempt(self, live: Live) -> Outcome | None:
        """One start of the trainer, to its end; None where it goes on at the next start of the server."""
        if live.record.cancel_requested_at is not None:
            return Outcome(status="cancelled")
        try:
            entry = await asyncio.to_thread(
                entry_points.find, self._settings, live.record.entry_point
            )
            child = await self._start(live, entry)
        except (errors.ApiError, OSError) as error:
            return _failed("not_started", f"it cannot be started: {error}")
        try:
            code = await Watch(self._settings, self._jobs, live, entry, child, self.busy).wait()
        finally:
            await asyncio.to_thread(process.sweep, child.pid, live.id)
        return await self._outcome(live, entry, code)

    async def _start(self, live: Live, entry: Declared) -> asyncio.subprocess.Process:
        record, resumed = live.record, live.record.attempt > 0
        places = await asyncio.to_thread(self._places, live, entry)
        given = {name: value for name, value in record.params.items() if name in entry.params}
        params = await asyncio.to_thread(entry_points.checked, entry, given)
        params = await versions.placed(
            self._registry, self._jobs.exports, entry, params, Path(places["work"])
        )
        arguments = entry_points.command(entry, params, places, resumed=resumed)
        if resumed:
            live.log.append([f"gfedge: attempt {record.attempt + 1}, from the last checkpoint"])
        run = await self._jobs.runs.find(record.run_id)
        replayed = {key: step for key, (step, _) in run.reported.items()} if resumed else {}
        environment = {**entry.env, **self._environment(live, entry, places, resumed=resumed)}
        cwd = Path(places["cwd"])
        nice = self._settings.train_nice if entry.nice is None else entry.nice
        child = await process.start(arguments, cwd, environment, live.log.path, nice)
        live.begin()
        try:
            await self._jobs.change(
                live,
                state="running",
                reason="",
                attempt=record.attempt + 1,
                started_at=record.started_at or time.time(),
                pid=child.pid,
                process_started_at=process.started_at(child.pid),
                replayed=replayed,
            )
        except BaseException:
            await asyncio.to_thread(process.sweep, child.pid, live.id)
            await child.wait()
            raise
        return child

    def _places(self, live: Live, entry: Declared) -> dict[str, str]:
        """The folders of a job, made."""
        work = self._jobs.work(live.id)
        places = {"checkpoints": str(work / "checkpoints"), "export": str(work / entry.export)}
        for folder in places.values():
            Path(folder).mkdir(parents=True, exist_ok=True)
        cwd = str(Path(entry.cwd).expanduser() if entry.cwd else work)
        return {
            **places,
            "work": str(work),
            "cwd": cwd,
            "python": entry_points.python(self._settings),
        }

    def _environment(
        self, live: Live, entry: Declared, places: dict[str, str], *, resumed: bool
    ) -> dict[str, str]:
        """How a trainer finds its job; `gfedge.report` reads it."""
        memory = int(entry.gpu_memory_gb * (1 << 30)) or self._settings.train_gpu_memory
        return {
            process.MARK: live.id,
            "GFEDGE_JOB_URL": f"{_own_address(self._settings)}/api/v1/ml-platform/training-jobs/{live.id}",
            "GFEDGE_JOB_SECRET": self._secrets.of(live.id),
            "GFEDGE_JOB_PARAMS": json.dumps(live.record.params),
            "GFEDGE_JOB_CHECKPOINTS": places["checkpoints"],
            "GFEDGE_JOB_EXPORT": places["export"],
            "GFEDGE_JOB_RESUMED": "1" if resumed else "",
            "GFEDGE_JOB_GPU_MEMORY": str(memory) if memory else "",
            "PYTHONUNBUFFERED": "1",
        }

    async def _outcome(self, live: Live, entry: Declared, code: int) -> Outcome | None:
        """What an exit means."""
        record = live.record
        await self._jobs.change(live, exit_code=code, quiet=True)
        if record.cancel_requested_at is not None:
            return Outcome(status="cancelled")
        if live.stop is not None:
            return Outcome(status="failed", error=live.stop)
        reported = live.record.reported
        if self._stopping and (reported is None or reported.status != "succeeded"):
            return None  # it was asked to end; a good exit says only that it heard
        if code != 0 or (reported is not None and reported.status != "succeeded"):
            said = reported.error.detail if reported and reported.error else ""
            return _failed("training_failed", said or _why(code, live))
        if reported is not None and reported.model:
            return reported
        folder = self._jobs.work(live.id) / entry.export
        try:
            measured = await asyncio.to_thread(versions.outcome, entry, record.params, folder)
        except errors.ApiError as error:
            return _failed("evaluation_refused", error.detail)
        if measured is not None:
            return measured
        try:
            model = await self._jobs.exports.keep(record.run_id, folder)
        except (errors.ApiError, OSError) as error:
            return _failed("model_refused", f"what it exported cannot be kept: {error}")
        return Outcome(status="succeeded", model=model)

    async def _end(self, live: Live, grace: float) -> None:
        if (pid := live.record.pid) is not None:
            await asyncio.to_thread(process.end_all, pid, live.id, grace)

    def _cannot_resume(self, live: Live) -> str:
        record = live.record
        if record.attempt >= MAX_ATTEMPTS:
            return f"it was started {record.attempt} times and never got to its end"
        try:
            entry = entry_points.find(self._settings, record.entry_point)
        except errors.ApiError as error:
            return f"the server stopped while it ran, and it cannot go on: {error}"
        if entry.resume is None:
            return (
                "the server stopped while it ran, and its entry point declares no `resume`: "
                "start it again, or add `resume` where the trainer can go on from a checkpoint"
            )
        return ""

    def _plan(self, wanted: TrainingCreate) -> tuple[Declared, Plan]:
        entry = entry_points.find(self._settings, wanted.entry_point)
        if not entry.command:
            raise errors.Invalid(
                f"entry_point: {wanted.entry_point!r} declares no `command`: take backend vastai",
                code="wrong_backend",
                field="entry_point",
            )
        params = entry_points.checked(entry, wanted.params)
        if problem := entry_points.missing(self._settings, wanted.entry_point, entry):
            raise errors.Unavailable(problem, code="trainer_not_installed")
        return entry, Plan(params=params, source=_source(wanted.entry_point, entry))


# Inside


def _failed(code: str, detail: str) -> Outcome:
    return Outcome(status="failed", error=TrainingError(code=code, detail=detail))


def _why(code: int, live: Live) -> str:
    """An exit code in words, with the last line of the log."""
    last = next((line for line in reversed(live.log.tail()) if line.strip()), "")
    how = f"signal {_signal(-code)}" if code < 0 else f"exit code {code}"
    return f"the trainer ended with {how}{f': {last:.500}' if last else ''}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _own_address(settings: Settings) -> str:
    """Where a process of this machine reaches the server; a certificate is for the server's public name."""
    if settings.tls_cert:
        return settings.address
    host = "127.0.0.1" if settings.host in ("", "0.0.0.0", "::", "localhost") else settings.host  # noqa: S104
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _source(name: str, entry: Declared) -> Source:
    """The git commit of the folder that a trainer runs in, marked where it has changes."""
    folder = entry.cwd or entry.env.get("PYTHONPATH", "").partition(":")[0]
    commit = _git(folder, "rev-parse", "HEAD") if folder else ""
    if commit and _git(folder, "status", "--porcelain", "--untracked-files=no"):
        commit += "-dirty"
    return Source(commit=commit, entry_point=name)


def _git(folder: str, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", folder, "-c", "core.fsmonitor=false", *arguments],
            capture_output=True,
            text=True,
            check=True,
            stdin=subprocess.DEVNULL,
            timeout=GIT_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
