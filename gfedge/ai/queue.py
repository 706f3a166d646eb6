"""The queue: takes jobs durably, runs them in order and some side by side, and records how each ended.

What is queued or running lives in memory; what was acknowledged and how it ended lives in the database. A job that
was acknowledged and has no end is run again after a restart, with the same seed, model version and inputs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from functools import partial

from gfedge import errors, metrics
from gfedge.ai import record, store
from gfedge.ai.admission import Admission
from gfedge.ai.ends import Ends
from gfedge.ai.execution import Executor, reason
from gfedge.ai.feed import Feed
from gfedge.ai.idempotency import KEPT_SECONDS, Keys, Use
from gfedge.ai.live import Client, Live, Outcome, dropped, ended, wire_ended, wire_live
from gfedge.ai.observed import observe
from gfedge.ai.suspects import Suspects
from gfedge.ai.turns import Turns
from gfedge.ai.types import EndedJob, Job, JobQuery, Submission
from gfedge.assets.assets import Assets
from gfedge.db import Database
from gfedge.events import Events
from gfedge.inference.types import Pixels
from gfedge.settings import Settings
from gfedge.tasks import Tasks
from gfedge.tracking.feed import Feed as RunFeed
from gfedge.tracking.types import RunRecord

log = logging.getLogger(__name__)

PRUNE_SECONDS = 3600.0
"""How often submissions whose jobs have ended are removed."""
CANCEL_SECONDS = 2.0
"""How long who cancels a running job waits to hear that it stopped; a tile on a slow machine may take longer."""


class JobQueue:
    """The jobs of this server."""

    def __init__(
        self, settings: Settings, db: Database, assets: Assets, events: Events, runs: RunFeed
    ) -> None:
        self._settings = settings
        self._db = db
        self._assets = assets
        self._executor: Executor | None = None
        self._tasks = Tasks()
        self._live: OrderedDict[str, Live] = OrderedDict()
        self._pending = Turns()
        self._suspects = Suspects(settings.data)
        self.admission = Admission(settings, self._pending, lambda: len(self._live) - self._running)
        self._running = 0
        self.ends = Ends(db)
        self._keys = Keys()
        self.feed = Feed(events, runs, self._live, self._pending, self.ends.latest)
        events.begin_with("ai-jobs", partial(self.feed.snapshot, db))
        self._stopping = False
        self.on_end: Callable[[EndedJob], None] = lambda job: None
        """Whoever wants to know hears of each job that ended."""
        self._hurry = asyncio.Event()

    # The life of the queue

    async def open(self) -> None:
        """Takes up what a stop or a crash left undone."""
        with contextlib.suppress(errors.NoSpace, errors.Unavailable):
            await self._prune()  # which only saves room
        await self.ends.open()
        since = time.time() - KEPT_SECONDS
        for key, digest, job_id, created_at in await self._db.read(store.idempotency_keys, since):
            self._keys.load(key, Use(digest, job_id, created_at))
        unfinished = await self._db.read(store.unfinished)
        await asyncio.to_thread(self._suspects.open, [job.id for job in unfinished])
        for submission in unfinished:
            for row in submission.inputs:
                self._assets.remember(row)
            live = self._remember(submission)
            live.durable = True
            live.acknowledged.set_result(None)
            if self._suspects.is_one(live.id):
                self._suspects.waiting.append(live)
            else:
                self._pending.add(live)
        if unfinished:
            log.info("%d jobs from before the start run again", len(unfinished))

    def start(self, executor: Executor) -> None:
        """Begins to run jobs; taking them was possible before."""
        self._executor = executor
        self._tasks.every("prune submissions", PRUNE_SECONDS, self._prune)
        self._dispatch()

    async def drain(self) -> None:
        """Gives running jobs their grace; what is not done by then runs again at the next start."""
        self._stopping = True
        self.ends.stop()
        running = [live.done for live in self._live.values() if live.status == "running"]
        if running:
            hurry = self._tasks.spawn("hurry", self._hurry.wait())
            over = asyncio.gather(*running, return_exceptions=True)
            grace = self._settings.shutdown_grace
            await asyncio.wait([hurry, over], timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        for live in self._live.values():
            live.stopped = not live.cancel.raised
            live.cancel.cancel()
            live.done.cancel()

    def hurry(self) -> None:
        """Ends the grace that `drain` gives."""
        self._hurry.set()

    async def close(self) -> None:
        await self._tasks.stop()
        await self.feed.close()
        self._suspects.close()

    # What clients do

    async def admit(
        self, requester: str, idempotency_key: str | None, *, by_token: bool = False
    ) -> None:
        """Refuses at the door, before anything is read or stored; a retry of an earlier request comes in."""
        if self._keys.find(idempotency_key) is None:
            async with self.admission.held(requester):
                self.admission.at_the_door(requester, by_token=by_token)

    async def submit(
        self,
        submission: Submission,
        image: Pixels | None = None,
        client: Client = Client(),  # noqa: B008  frozen
    ) -> tuple[Live | EndedJob, bool]:
        """Takes a job; says too whether an Idempotency-Key found an earlier one.

        Returns after the job is durable, but for a client that waits for its end: that one is told nothing before, so
        the submission may be written with others, and mostly the end is first. `secure` makes it durable earlier.
        """
        key = submission.idempotency_key
        if (earlier := self._keys.find(key, submission.request_digest)) is not None:
            return await self._durable(earlier), True
        async with self.admission.held(submission.requester):
            self.admission.at_the_door(submission.requester, by_token=False)
            self.admission.at_its_price(submission.price, client.wanted_seconds)
        live = self._remember(submission)
        live.image, live.client = image, client
        if client.waits:
            self._db.defer(store.submission_row(submission))
        else:
            await self._insert(live)
        self._take(live)
        self._dispatch()
        return live, False

    async def submit_all(
        self, submissions: Sequence[Submission], client: Client
    ) -> tuple[list[Live | EndedJob], bool]:
        """Takes all of a batch, durably, or none of it; gives the earlier jobs where their keys find them."""
        first = submissions[0]
        found = [self._keys.find(s.idempotency_key, s.request_digest) for s in submissions]
        if all(found):
            return [await self._durable(job_id) for job_id in found if job_id], True
        async with self.admission.held(first.requester):
            self.admission.all_of(submissions, client.wanted_seconds)
        lives = [self._remember(submission) for submission in submissions]
        try:
            await self._db.insert(*(store.submission_row(one) for one in submissions))
        except BaseException:
            for live in lives:
                self._forget(live)
            raise
        for live in lives:
            live.client, live.durable = client, True
            self._take(live)
        self._dispatch()
        return list(lives), False

    def _take(self, live: Live) -> None:
        """An acknowledged job waits for its turn."""
        live.acknowledged.set_result(None)
        for row in live.submission.inputs:
            self._assets.remember(row)
        self._pending.add(live)
        self.feed.queued(live, len(self._pending))

    async def _insert(self, live: Live) -> None:
        try:
            await self._db.insert(store.submission_row(live.submission))
        except BaseException:
            self._forget(live)
            raise
        live.durable = True

    async def secure(self, *jobs: Live | EndedJob) -> None:
        """Makes jobs durable before anybody hears of them."""
        heard = [job for job in jobs if isinstance(job, Live) and not job.durable]
        heard = [job for job in heard if job.acknowledged.done()]
        if heard:
            await self._db.insert(*(store.submission_row(job.submission) for job in heard))
        for job in heard:
            job.durable = True

    async def cancel(self, job_id: str) -> Job:
        """Cancels a queued job at once and a running one within a step; again changes nothing.

        A step is short, so whoever cancels is mostly told how it went. Conflict where the job has ended otherwise.
        """
        if (live := self._live.get(job_id)) is None:
            ended = await self.ends.find(job_id)
            if ended.status == "cancelled":
                return self.snapshot(ended)
            raise errors.Conflict(f"job {job_id} has {ended.status} already", code="job_ended")
        live.cancel.cancel()
        if self._pending.remove(job_id) is not None:
            live.ending = True
            await self._end(live, Outcome(status="cancelled"))
        else:
            await asyncio.wait([live.done], timeout=None if live.ending else CANCEL_SECONDS)
        return self.snapshot(live)

    async def find(self, job_id: str) -> Live | EndedJob:
        """The job, live or ended; NotFound where there is none."""
        if (live := self._live.get(job_id)) is not None:
            await self.secure(live)
            return live
        return await self.ends.find(job_id)

    async def get(self, job_id: str) -> Job:
        return self.snapshot(await self.find(job_id))

    async def page(self, query: JobQuery) -> tuple[list[Job], str | None]:
        """A page of jobs, newest first, live ones among the ended, and the cursor of the next page."""
        # A read writes deferred submissions first. Looked at before it, so that a job which ends meanwhile is in one of the two.
        live = list(self._live.values())
        ended = await self._db.read(store.list_jobs, query)
        seen = {job.id for job in ended}
        left = [job for job in live if job.id not in seen and job.matches(query)]
        found: list[Live | EndedJob] = sorted([*ended, *left], key=lambda job: job.id, reverse=True)
        page = found[: query.limit]
        more = len(found) > len(page)
        await self.secure(*page)
        return [self.snapshot(job) for job in page], page[-1].id if page and more else None

    def live_run(self, run_id: str) -> RunRecord | None:
        """The run of a job that has not ended."""
        for live in self._live.values():
            if live.submission.run_id == run_id:
                return record.live_run(live.submission, live.status, live.started_at)
        return None

    def live_runs(self) -> list[RunRecord]:
        """The runs of the jobs that have not ended."""
        return [
            record.live_run(live.submission, live.status, live.started_at)
            for live in self._live.values()
        ]

    def jobs_of(self, version: str) -> int:
        """How many jobs that have not ended run a model version, by its id."""
        refs = (ref for live in self._live.values() for ref in live.submission.models)
        return sum(ref.id == version for ref in refs)

    def assets_in_use(self) -> list[str]:
        """Digests of what the jobs that have not ended take and have made."""
        live = self._live.values()
        return [
            sha256
            for job in live
            for sha256 in (*(row.sha256 for row in job.submission.inputs), *job.made)
        ]

    def forget(self, job_ids: Collection[str]) -> None:
        """Ended jobs that were removed: nothing here speaks of them any more."""
        self.ends.forget(job_ids)
        self._keys.forget_jobs(set(job_ids))

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
        self._keys.use(submission)
        self._count()
        return live

    def _forget(self, live: Live) -> None:
        """A submission that could not be made durable was never taken."""
        self._live.pop(live.id, None)
        self._keys.forget(live.submission)
        live.acknowledged.cancel()
        self._count()

    async def _prune(self) -> None:
        await self._db.write(store.prune_submissions)

    async def _durable(self, job_id: str) -> Live | EndedJob:
        """The job of an earlier request with the same key, acknowledged by now."""
        if (live := self._live.get(job_id)) is not None:
            await asyncio.wait([live.acknowledged])
            if live.acknowledged.cancelled():
                raise errors.Unavailable("the first request with this key failed: try again")
        return await self.find(job_id)

    def _position(self, live: Live) -> int | None:
        if live.status != "queued":
            return None
        return self._pending.position(live.id) or len(self._pending) + 1

    def _dispatch(self) -> None:
        if self._executor is None:
            return
        while not self._stopping and (live := self._next()) is not None:
            if (end := self._suspects.verdict(live.id) or dropped(live)) is not None:
                live.ending = True
                self._tasks.spawn(f"drop {live.id}", self._end(live, end))
                continue
            live.status, live.started_at = "running", time.time()
            self._running += 1
            self._suspects.began(live.id)
            self.feed.started(live)
            self._tasks.spawn(f"job {live.id}", self._run(live, self._executor))
        self._count()

    def _next(self) -> Live | None:
        """The job that starts now; who was there when the server died goes first, and by itself."""
        if self._suspects.waiting:
            return None if self._running else self._suspects.waiting.popleft()
        room = self._running < self._settings.max_running and not self._suspects.one_runs
        return self._pending.take() if self._pending and room else None

    async def _run(self, live: Live, executor: Executor) -> None:
        live.timings.queue_seconds = time.monotonic() - live.since
        try:
            outcome = await executor.execute(live)
            if not live.stopped:
                await self._end(live, outcome)
        finally:
            self._running -= 1
            self._dispatch()

    async def _end(self, live: Live, outcome: Outcome) -> None:
        """Commits how the job ended; only then is it done. Its run and lineage follow from that row."""
        live.ending = True
        job = ended(live, outcome)
        try:
            await self.ends.record(job)
        except Exception as failure:
            if self._stopping:
                raise
            # Nobody foresaw it: the job must not run for ever in memory. It runs again after a restart.
            job = ended(live, Outcome(status="failed", error=reason(failure)))
        for row in outcome.outputs:
            self._assets.remember(row)
        self.ends.remember(job)
        self.admission.drain.ended(len(self._pending), time.monotonic())
        self._live.pop(job.id, None)
        self._suspects.ended(job.id)
        if not live.done.done():
            live.done.set_result(job)
        observe(job)
        self.feed.ended(job)
        self.on_end(job)
        self._count()

    def _count(self) -> None:
        metrics.jobs_queued.set(len(self._live) - self._running)
        metrics.jobs_running.set(self._running)
