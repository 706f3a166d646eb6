"""The training jobs of this server: made durable with their run, changed through the database, ended once.

What a job runs on is a backend's business (local.py, external.py, rented.py); what it is, and how it ends, is here.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from gfedge import errors, metrics
from gfedge.db import Cursor, Database
from gfedge.events import Events, StreamName
from gfedge.registry.evaluations import Evaluation
from gfedge.settings import Settings
from gfedge.tasks import Tasks
from gfedge.tracking.experiments import Experiments
from gfedge.tracking.runs import Runs
from gfedge.tracking.types import RunPatch
from gfedge.training import creation, store
from gfedge.training.creation import Plan
from gfedge.training.exported import Exports
from gfedge.training.live import RUN_STATUS, Live, wire
from gfedge.training.logs import Log
from gfedge.training.types import (
    ENDED,
    Backend,
    Outcome,
    Rental,
    TrainingCreate,
    TrainingError,
    TrainingJob,
    TrainingQuery,
    TrainingRecord,
)

log = logging.getLogger(__name__)

STREAM: StreamName = "training-jobs"
MAX_UNENDED = 1000
SAVE_SECONDS = 10.0
"""How often progress is written down; what a crash forgets of it is told again by the trainer."""
RECORD_AGAIN_SECONDS = 2.0
STATES = ("queued", "starting", "running", "paused", "lost")


Give = Callable[[str, Evaluation, str, str], Awaitable[None]]


class Runner(Protocol):
    """A backend: where jobs run."""

    async def plan(self, wanted: TrainingCreate) -> Plan:
        """Checks a request before anything is written; raises what the client is told."""

    def submit(self, live: Live) -> None:
        """Takes a job that is durable now."""

    async def recover(self, live: Live) -> None:
        """Takes up a job from before the start of the server."""

    async def cancel(self, live: Live) -> None:
        """Ends a job, at once or soon."""


class TrainingJobs:
    """All jobs; those that have not ended are in memory too."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        events: Events,
        experiments: Experiments,
        runs: Runs,
        exports: Exports,
    ) -> None:
        self.settings = settings
        self.folder = settings.data / "training"
        self.runs = runs
        self.exports = exports
        self.backends: dict[Backend, Runner] = {}
        self.place: Callable[[Live], int | None] = lambda live: None
        """The place of a job in the queue of this machine, from 1."""
        self.give: Give
        """Gives a model version the figures that an evaluation found; whoever has the registry sets it."""
        self._db = db
        self._events = events
        self._experiments = experiments
        self._live: dict[str, Live] = {}
        self._creating = asyncio.Lock()
        self._tasks = Tasks()
        self.stopping = asyncio.Event()

    # The life of it

    async def open(self) -> None:
        """Reads what has not ended; `start` takes it up."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for record in await self._db.read(store.unended):
            self._live[record.id] = Live(record, self.log_of(record.id))
        self._count()

    def start(self) -> None:
        self._tasks.spawn("recover training jobs", self._recover())
        self._tasks.every("save training progress", SAVE_SECONDS, self.save)

    async def _recover(self) -> None:
        for live in list(self._live.values()):
            try:
                if live.record.outcome is not None:
                    await self.settle(live, live.record.outcome)
                else:
                    await self.backends[live.record.backend].recover(live)
            except Exception as error:
                log.exception("training job %s cannot be taken up", live.id)
                await self.fail(live, "not_recovered", f"it could not be taken up: {error}")

    async def close(self) -> None:
        await self._tasks.stop()
        with contextlib.suppress(errors.ApiError):
            await self.save()

    async def save(self) -> None:
        """Writes down how far each job is."""
        for live in list(self._live.values()):
            if live.unsaved:
                live.unsaved = False
                await self.change(live, quiet=True)

    # What clients do

    async def create(self, wanted: TrainingCreate, key: str | None) -> tuple[TrainingRecord, bool]:
        """A job, durable, and whether an earlier request with the same key made it."""
        digest = hashlib.sha256(msgspec.json.encode(wanted)).hexdigest()
        async with self._creating:
            if key and (used := await self._db.read(store.find_by_key, key)) is not None:
                return self._replayed(used, digest), True
            if len(self._live) >= MAX_UNENDED:
                raise errors.TooBusy(
                    f"{MAX_UNENDED} training jobs have not ended: wait or cancel some"
                )
            runner = self.backends[wanted.backend]
            plan = await runner.plan(wanted)
            experiment = await self._experiments.named(
                wanted.experiment or wanted.entry_point or "training"
            )
            record = creation.record(wanted, plan, experiment.id, key, digest)
            await asyncio.to_thread(self.work(record.id).mkdir, parents=True, exist_ok=True)
            record = await creation.write(self.runs, experiment, record, wanted, plan)
        live = self._live[record.id] = Live(record, self.log_of(record.id))
        self.tell("job.created", live)
        self._count("created")
        runner.submit(live)
        return live.record, False

    async def get(self, job_id: str) -> TrainingJob:
        """One job with all that is known of it."""
        live = self._live.get(job_id)
        record = live.record if live is not None else await self._find(job_id)
        log_ = live.log if live is not None else self.log_of(job_id)
        run = await self.runs.find(record.run_id)
        return wire(
            record,
            live,
            queue_position=self.place(live) if live is not None else None,
            metrics=run.metrics,
            log_tail=await asyncio.to_thread(log_.tail),
        )

    async def page(self, query: TrainingQuery) -> tuple[list[TrainingJob], str | None]:
        """A page of jobs, newest first, and the cursor of the next one."""
        experiment = self._experiments.resolve(query.experiment) if query.experiment else None
        if query.experiment and experiment is None:
            return [], None
        found = await self._db.read(
            store.list_jobs, query, _states(query.state), experiment.id if experiment else ""
        )
        page = found[: query.limit]
        shown = [self._listed(record) for record in page]
        return shown, page[-1].id if len(found) > len(page) else None

    def snapshot(self) -> list[TrainingJob]:
        """All jobs that have not ended, for a live stream to begin with."""
        return [self._listed(live.record) for live in self._live.values()]

    async def cancel(self, job_id: str) -> TrainingJob:
        """Asks a job to stop; Conflict where it has ended."""
        if (live := self._live.get(job_id)) is None:
            ended = await self._find(job_id)
            raise errors.Conflict(
                f"training job {job_id} has {ended.state} already", code="training_job_ended"
            )
        if live.record.cancel_requested_at is None:
            await self.change(live, cancel_requested_at=time.time(), reason="cancel was asked for")
            await self.backends[live.record.backend].cancel(live)
        return await self.get(job_id)

    async def find(self, job_id: str) -> Live | TrainingRecord:
        return self._live.get(job_id) or await self._find(job_id)

    def live(self, job_id: str) -> Live | None:
        return self._live.get(job_id)

    def active(self, backend: Backend) -> list[Live]:
        return [live for live in self._live.values() if live.record.backend == backend]

    async def spent(self) -> float:
        """Dollars that all jobs spent on rented machines."""
        return await self._db.read(store.spent)

    def log_of(self, job_id: str) -> Log:
        folder = self.work(job_id)
        return Log(folder / "log.txt", self.settings.train_max_log)

    def work(self, job_id: str) -> Path:
        """The folder of one job; a job's id is the server's own."""
        return self.folder / job_id

    # What backends do

    async def change(self, live: Live, *, quiet: bool = False, **values: Any) -> None:
        """Writes new facts of a job down, with its run's status where that changes; an ended one stays as it is."""
        async with live.lock:
            before = live.record
            if before.ended_at is not None:
                return
            after = msgspec.structs.replace(before, **values)
            await self._write(before, after)
            # What the trainer told meanwhile is newer.
            live.record = msgspec.structs.replace(after, progress=live.record.progress)
        if not quiet:
            self.tell("job.changed" if live.record.ended_at is None else "job.ended", live)
        if before.state != live.record.state:
            self._count(live.record.state)

    async def amend(self, job: Live | TrainingRecord, rental: Rental) -> None:
        """Writes down what became of the machine of a job that has ended."""
        record = job.record if isinstance(job, Live) else job
        after = msgspec.structs.replace(record, rental=rental)
        await self._db.write(store.update_job, after)
        if isinstance(job, Live):
            job.record = after

    async def settle(self, live: Live, outcome: Outcome) -> None:
        """Ends a job: what became of it is durable first, then its model is registered, then it has ended."""
        if live.record.outcome is None:
            await self._surely(live, outcome=outcome)
        status, error, model = outcome.status, outcome.error, ""
        if status == "succeeded" and outcome.model:
            try:
                dataset_id = await self.exports.trained_on(live.record, outcome.model)
                await self._surely(live, dataset_id=dataset_id, quiet=True)
                model = await self.exports.register(live.record, outcome.model)
            except Exception as failure:
                log.warning("the model of training job %s is refused: %s", live.id, failure)
                status = "failed"
                error = TrainingError(
                    code="model_refused",
                    detail=f"the training succeeded, but its model cannot be registered: {failure} "
                    f"(its files are artifacts of run {live.record.run_id}, in {outcome.model!r})",
                )
        if status == "succeeded" and outcome.evaluation is not None:
            record = live.record
            try:
                dataset_id = await self.exports.evaluated_on(record, outcome.evaluation.data)
                await self._surely(live, dataset_id=dataset_id, quiet=True)
                await self.give(outcome.evaluated, outcome.evaluation, record.run_id, record.id)
            except errors.ApiError as failure:
                status = "failed"
                error = TrainingError(
                    code="evaluation_refused",
                    detail=f"{outcome.evaluated} was evaluated, but cannot be given its score: {failure}",
                )
        await self._surely(
            live,
            state=status,
            reason=error.detail if error else "",
            error=error,
            model=model,
            ended_at=time.time(),
            pid=None,
            process_started_at=None,
        )
        self._live.pop(live.id, None)
        live.ended.set()
        self._count()

    async def fail(self, live: Live, code: str, detail: str) -> None:
        await self.settle(
            live, Outcome(status="failed", error=TrainingError(code=code, detail=detail))
        )

    def tell(self, kind: str, live: Live, data: Any = None, key: str = "") -> None:
        """Publishes a change; where no data is given, the whole job."""
        if self._events.listened(STREAM):
            record = live.record
            topics = (
                f"job:{record.id}",
                f"run:{record.run_id}",
                f"experiment:{record.experiment_id}",
            )
            body = self._listed(record) if data is None else data
            self._events.publish(STREAM, kind, body, topics, key=key)

    # Inside

    def _replayed(self, used: TrainingRecord, digest: str) -> TrainingRecord:
        if used.request_digest != digest:
            raise errors.Conflict(
                f"this Idempotency-Key was used for another request (training job {used.id}): use a new key",
                code="idempotency_key_reused",
            )
        live = self._live.get(used.id)
        return live.record if live is not None else used

    async def _find(self, job_id: str) -> TrainingRecord:
        if (found := await self._db.read(store.find_job, job_id)) is None:
            raise errors.NotFound(
                f"no training job {job_id!r} is here", code="training_job_not_found"
            )
        return found

    async def _write(self, before: TrainingRecord, after: TrainingRecord) -> None:
        """The job, and its run where its status changes, in one commit."""
        status = RUN_STATUS[after.state]
        if status != RUN_STATUS[before.state]:
            patch = RunPatch(status=status)

            def also(cursor: Cursor) -> None:
                store.update_job(cursor, after)

            try:
                await self.runs.change(after.run_id, patch, time.time(), also=also)
                return
            except errors.Conflict:
                log.info("the run of training job %s was deleted: it keeps its status", after.id)
        await self._db.write(store.update_job, after)

    async def _surely(self, live: Live, **values: Any) -> None:
        """A change that must be recorded: where the disk is full it is tried until it is not."""
        while True:
            try:
                return await self.change(live, **values)
            except (errors.NoSpace, errors.Unavailable) as failure:
                if self.stopping.is_set():
                    raise
                log.error("training job %s cannot be recorded, again soon: %s", live.id, failure)
            await asyncio.sleep(RECORD_AGAIN_SECONDS)

    def _listed(self, record: TrainingRecord) -> TrainingJob:
        live = self._live.get(record.id)
        return wire(
            live.record if live else record,
            live,
            queue_position=self.place(live) if live is not None else None,
        )

    def _count(self, event: str = "") -> None:
        counts = dict.fromkeys(STATES, 0)
        for live in self._live.values():
            if live.record.state in counts:
                counts[live.record.state] += 1
        for state, count in counts.items():
            metrics.training_jobs.labels(state).set(count)
        if event:
            metrics.training_events_total.labels(event).inc()


def _states(text: str) -> list[str]:
    """The states of a filter."""
    wanted = [part.strip() for part in text.split(",") if part.strip()]
    if wanted == ["active"]:
        return list(STATES)
    for state in wanted:
        if state not in (*STATES, *ENDED):
            raise errors.Invalid(
                f"query parameter state: {state!r} is none; there are: active, {', '.join((*STATES, *ENDED))}",
                field="state",
            )
    return wanted
