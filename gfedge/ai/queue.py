"""The queue: takes jobs durably, runs them in order and some side by side, and records how each ended.

What is queued or running lives in memory; what was acknowledged and how it ended lives in the database. A job that
was acknowledged and has no end is run again after a restart, with the same seed, model version and inputs.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gfedge import errors, inference, metrics
from gfedge.ai import metadata, record, store
from gfedge.ai.live import Live, ended, wire_ended, wire_live
from gfedge.ai.pipelines import PIPELINES, Work
from gfedge.ai.types import EndedJob, Job, JobError, JobQuery, Status, Submission
from gfedge.assets.assets import Assets
from gfedge.assets.types import AssetRow
from gfedge.db import Database
from gfedge.inference.types import Cancelled, EngineError, ImageError, Pixels
from gfedge.registry.registry import Registry
from gfedge.settings import Settings
from gfedge.tasks import Tasks

if TYPE_CHECKING:
    from gfedge.inference.engine import Engine

log = logging.getLogger(__name__)

REMEMBERED = 1000
"""Ended jobs kept in memory, for the clients that still look at them."""
KEY_SECONDS = 24 * 3600.0
"""How long an Idempotency-Key is remembered."""
PRUNE_SECONDS = 3600.0
"""How often submissions whose jobs have ended are removed."""


class Key(NamedTuple):
    """What an Idempotency-Key was used for."""

    request_digest: str
    job_id: str
    created_at: float


class JobQueue:
    """The jobs of this server."""

    def __init__(
        self, settings: Settings, db: Database, registry: Registry, assets: Assets
    ) -> None:
        self._settings = settings
        self._db = db
        self._engine: Engine | None = None
        self._registry = registry
        self._assets = assets
        self._tasks = Tasks()
        self._live: OrderedDict[str, Live] = OrderedDict()
        self._pending: OrderedDict[str, Live] = OrderedDict()
        self._running = 0
        self._ended: OrderedDict[str, EndedJob] = OrderedDict()
        self._keys: OrderedDict[str, Key] = OrderedDict()
        self._stopping = False

    # The life of the queue

    async def open(self) -> None:
        """Takes up what a stop or a crash left undone."""
        await self._prune()
        for key, digest, job_id, created_at in await self._db.read(
            store.idempotency_keys, time.time() - KEY_SECONDS
        ):
            self._keys[key] = Key(digest, job_id, created_at)
        for submission in await self._db.read(store.unfinished):
            live = self._remember(submission)
            live.acknowledged.set_result(None)
            self._pending[submission.id] = live
        if self._pending:
            log.info("%d jobs from before the start run again", len(self._pending))

    def start(self, engine: Engine) -> None:
        """Begins to run jobs; taking them was possible before."""
        self._engine = engine
        self._tasks.every("prune submissions", PRUNE_SECONDS, self._prune)
        self._dispatch()

    async def drain(self) -> None:
        """Gives running jobs their grace; what is not done by then runs again at the next start."""
        self._stopping = True
        running = [live.done for live in self._live.values() if live.status == "running"]
        if running:
            await asyncio.wait(running, timeout=self._settings.shutdown_grace)
        for live in self._live.values():
            live.stopped = not live.cancel.raised
            live.cancel.cancel()
            live.done.cancel()

    async def close(self) -> None:
        await self._tasks.stop()

    # What clients do

    async def submit(
        self, submission: Submission, inputs: list[AssetRow]
    ) -> tuple[Live | EndedJob, bool]:
        """Takes a job; returns after it is durable, with whether an Idempotency-Key found an earlier one."""
        if (earlier := await self._earlier(submission)) is not None:
            return earlier, True
        if len(self._live) - self._running >= self._settings.max_queue:
            raise errors.TooBusy(
                f"{self._settings.max_queue} jobs are waiting already (setting max_queue): try again later",
                headers={"Retry-After": str(self._retry_after())},
            )
        live = self._remember(submission)
        try:
            await self._db.insert(submission, *inputs)
        except BaseException:
            self._forget(live)
            raise
        live.acknowledged.set_result(None)
        if not live.done.done():
            self._pending[submission.id] = live
            self._dispatch()
        return live, False

    async def cancel(self, job_id: str) -> Job:
        """Cancels a queued job at once and a running one within a step; Conflict where it has ended."""
        if (live := self._live.get(job_id)) is None:
            ended = await self._find_ended(job_id)
            raise errors.Conflict(f"job {job_id} has {ended.status} already", code="job_ended")
        live.cancel.cancel()
        if live.status == "queued" and self._pending.pop(job_id, None) is not None:
            await self._end(live, "cancelled", [], {}, None)
        return self.snapshot(live)

    async def find(self, job_id: str) -> Live | EndedJob:
        """The job, live or ended; NotFound where there is none."""
        if (live := self._live.get(job_id)) is not None:
            return live
        return await self._find_ended(job_id)

    async def get(self, job_id: str) -> Job:
        return self.snapshot(await self.find(job_id))

    async def page(self, query: JobQuery) -> tuple[list[Job], str | None]:
        """A page of jobs, newest first, live ones among the ended, and the cursor of the next page."""
        # Looked at before the database, so that a job which ends meanwhile is in one of the two.
        live = list(self._live.values())
        ended = await self._db.read(store.list_jobs, query)
        seen = {job.id for job in ended}
        left = [job for job in live if job.id not in seen and job.matches(query)]
        found: list[Live | EndedJob] = sorted([*ended, *left], key=lambda job: job.id, reverse=True)
        page = found[: query.limit]
        more = len(found) > len(page)
        return [self.snapshot(job) for job in page], page[-1].id if page and more else None

    def snapshot(self, job: Live | EndedJob) -> Job:
        """The job as clients see it now."""
        now = job.now if isinstance(job, Live) else job
        if isinstance(now, EndedJob):
            return wire_ended(now)
        return wire_live(now, self._position(now))

    @property
    def counts(self) -> dict[str, int]:
        return {"queued": len(self._live) - self._running, "running": self._running}

    # Inside

    def _remember(self, submission: Submission) -> Live:
        loop = asyncio.get_running_loop()
        live = Live(submission, loop.create_future(), loop.create_future())
        self._live[submission.id] = live
        if submission.idempotency_key:
            self._remember_key(submission, submission.idempotency_key)
        self._count()
        return live

    def _remember_key(self, job: Submission, key: str) -> None:
        while self._keys and next(iter(self._keys.values())).created_at < time.time() - KEY_SECONDS:
            self._keys.popitem(last=False)
        self._keys[key] = Key(job.request_digest, job.id, job.created_at)

    async def _prune(self) -> None:
        await self._db.write(store.prune_submissions)

    def _forget(self, live: Live) -> None:
        """A submission that could not be made durable was never taken."""
        self._live.pop(live.submission.id, None)
        self._keys.pop(live.submission.idempotency_key or "", None)
        live.acknowledged.cancel()
        self._count()

    async def _earlier(self, submission: Submission) -> Live | EndedJob | None:
        """The job that an Idempotency-Key was used for first, durable by now."""
        if not submission.idempotency_key or submission.idempotency_key not in self._keys:
            return None
        digest, job_id, _ = self._keys[submission.idempotency_key]
        if digest != submission.request_digest:
            raise errors.Conflict(
                f"this Idempotency-Key was used for another request (job {job_id}): use a new key",
                code="idempotency_key_reused",
            )
        if (live := self._live.get(job_id)) is not None:
            try:
                await asyncio.shield(live.acknowledged)
            except asyncio.CancelledError:
                if not live.acknowledged.cancelled():
                    raise
                raise errors.Unavailable(
                    "the first request with this key failed: try again"
                ) from None
        return await self.find(job_id)

    async def _find_ended(self, job_id: str) -> EndedJob:
        job = self._ended.get(job_id) or await self._db.read(store.find_job, job_id)
        if job is None:
            raise errors.NotFound(f"no job {job_id!r} is here", code="job_not_found")
        return job

    def _position(self, live: Live) -> int | None:
        if live.status != "queued":
            return None
        for position, job_id in enumerate(self._pending, 1):
            if job_id == live.submission.id:
                return position
        return len(self._pending) + 1

    def _retry_after(self) -> int:
        """Seconds until the queue has likely moved: the mean time of the last jobs, over those that run side by side."""
        times = [job.timings.total_seconds for job in list(self._ended.values())[-20:]]
        return max(1, round(sum(times) / len(times))) if times else 1

    def _dispatch(self) -> None:
        if self._engine is None:
            return
        while self._pending and self._running < self._settings.max_running and not self._stopping:
            job_id, live = self._pending.popitem(last=False)
            live.status, live.started_at = "running", time.time()
            self._running += 1
            self._tasks.spawn(f"job {job_id}", self._run(live))
        self._count()

    async def _run(self, live: Live) -> None:
        live.timings.queue_seconds = max(0.0, (live.started_at or 0) - live.submission.created_at)
        try:
            status, outputs, work, error = await self._outcome(live)
            if live.stopped:
                return
            await self._end(live, status, outputs, work.measures, error, work.unknown_words)
        finally:
            self._running -= 1
            self._dispatch()

    async def _outcome(self, live: Live) -> tuple[Status, list[AssetRow], Work, JobError | None]:
        """Runs the pipeline; whatever goes wrong ends this job alone, with its reason."""
        work = self._work(live)
        try:
            live.cancel.check()
            pipeline = PIPELINES[live.submission.kind]
            images = await pipeline.run(
                work, msgspec.convert(live.submission.params, pipeline.params)
            )
            live.cancel.check()
            outputs = await self._store(live, images)
        except Cancelled:
            return "cancelled", [], work, None
        except Exception as error:
            return "failed", [], work, _reason(error)
        return "succeeded", outputs, work, None

    def _work(self, live: Live) -> Work:
        assert self._engine is not None
        loop = asyncio.get_running_loop()

        def report(stage: str, done: int, total: int) -> None:
            loop.call_soon_threadsafe(live.report, stage, done, total)

        return Work(
            submission=live.submission,
            engine=self._engine,
            registry=self._registry,
            settings=self._settings,
            read_asset=self._assets.read,
            report=report,
            cancel=live.cancel,
            timings=live.timings,
        )

    async def _store(self, live: Live, images: list[Pixels]) -> list[AssetRow]:
        """Encodes and writes the pictures in worker threads; their rows are inserted with the job's end."""
        began = time.perf_counter()
        rows = [
            await asyncio.to_thread(self._encode, live.submission, image, index)
            for index, image in enumerate(images)
        ]
        live.timings.encode_seconds = time.perf_counter() - began
        return rows

    def _encode(self, submission: Submission, image: Pixels, index: int) -> AssetRow:
        height, width = image.shape[:2]
        texts = metadata.texts(submission, self._settings.address, width, height, index)
        return self._assets.put(
            inference.png.encode(image, texts),
            pixels_sha256=inference.png.pixels_sha256(image),
            media_type="image/png",
            width=width,
            height=height,
        )

    async def _end(
        self,
        live: Live,
        status: Status,
        outputs: list[AssetRow],
        measures: dict[str, float],
        error: JobError | None,
        unknown_words: tuple[str, ...] = (),
    ) -> None:
        """Records the end, the run and the lineage in one commit; only then is the job done."""
        job = ended(live, status, outputs, error, unknown_words)
        measures = {**measures, "peak_memory_bytes": peak_memory_bytes()}
        try:
            await self._db.insert(*record.rows(job, outputs, measures))
        except Exception as failure:
            log.exception(
                "the end of job %s could not be recorded; it runs again after a restart", job.id
            )
            job = ended(live, "failed", [], _reason(failure), unknown_words)
        for row in outputs:
            self._assets.remember(row)
        self._ended[job.id] = job
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)
        self._live.pop(job.id, None)
        if not live.done.done():
            live.done.set_result(job)
        _observe(job)
        self._count()

    def _count(self) -> None:
        metrics.jobs_queued.set(len(self._live) - self._running)
        metrics.jobs_running.set(self._running)


def peak_memory_bytes() -> float:
    """The most memory that this process ever held (resident set)."""
    if sys.platform == "win32":
        return 0.0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else peak * 1024)


def _reason(error: Exception) -> JobError:
    """Why a job failed, in words for its owner; what nobody foresaw also goes to the log."""
    if isinstance(error, errors.ApiError):
        return JobError(code=error.code, detail=error.detail)
    if isinstance(error, ImageError):
        return JobError(code="bad_image", detail=str(error))
    if isinstance(error, MemoryError):
        return JobError(code="out_of_memory", detail="there was not enough memory for this job")
    if isinstance(error, EngineError):
        return JobError(code="engine_error", detail=str(error))
    log.error("a job failed for an unforeseen reason", exc_info=error)
    return JobError(
        code="internal", detail=f"the server failed at this job: {type(error).__name__}"
    )


def _observe(job: EndedJob) -> None:
    model, version = (job.model.name, job.model.version) if job.model else ("", "")
    metrics.jobs_total.labels(job.kind, job.status, model, version).inc()
    metrics.job_queue_seconds.labels(job.kind).observe(job.timings.queue_seconds)
    if job.started_at is not None:
        metrics.job_seconds.labels(job.kind).observe(job.finished_at - job.started_at)
    for stage in ("load", "decode", "inference", "encode"):
        seconds = getattr(job.timings, f"{stage}_seconds")
        metrics.job_stage_seconds.labels(job.kind, stage).observe(seconds)
