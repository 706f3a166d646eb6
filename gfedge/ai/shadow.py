"""Versions in shadow: what a client's job asked for is run again by another version, recorded and compared.

A shadow runs only while no client's job waits or runs, and stops within a step when one comes, so nobody's answer is
later for it; where the server never rests, it is left out and counted. What it made is a job of its own.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable

from gfedge import inference
from gfedge.ai import record, store
from gfedge.ai.execution import Executor
from gfedge.ai.live import Live, ended
from gfedge.ai.types import EndedJob, Submission
from gfedge.assets import files
from gfedge.assets.assets import Assets
from gfedge.assets.types import Output
from gfedge.db import Database, new_id
from gfedge.inference.types import Pixels
from gfedge.registry.canary import Sample, Shares
from gfedge.registry.registry import Registry
from gfedge.registry.traffic_types import ShadowRow
from gfedge.registry.versions import reference
from gfedge.tasks import Tasks

log = logging.getLogger(__name__)

WAITING = 64
"""Jobs that wait for their shadow; the oldest is left out beyond it."""
TRIES = 20
"""Times that a shadow is interrupted before it is left out."""
LOOK_SECONDS = 0.05
"""How often a shadow looks whether a client's job has come."""
MODEL_FAULTS = frozenset({"engine_error", "internal", "out_of_memory", "model_gone"})
"""Failures that are the model's or the server's and not the request's."""
PERFECT_PSNR = 100.0


class Watcher:
    """Hears of every job that ended: for the figures of canaries, and for shadows."""

    def __init__(
        self, db: Database, assets: Assets, registry: Registry, shares: Shares, most_pixels: int
    ) -> None:
        self._db = db
        self._assets = assets
        self._registry = registry
        self._shares = shares
        self._most_pixels = most_pixels
        self._waiting: deque[EndedJob] = deque()
        self._some = asyncio.Event()
        self._tasks = Tasks()

    async def start(self, executor: Executor, busy: Callable[[], bool]) -> None:
        """Takes up what is on record, then begins; `busy` says whether a client's job waits or runs."""
        for name, since in self._shares.since().items():
            for job in await self._db.read(store.jobs_of_model, name, since):
                self._observe(job, judge=False)
        self._tasks.spawn("shadows", self._go_on(executor, busy))

    async def close(self) -> None:
        await self._tasks.stop()

    def ended(self, job: EndedJob) -> None:
        """A client's job has ended, and its client knows."""
        self._observe(job)
        if job.status != "succeeded" or job.model is None or job.original is not None:
            return
        shadow = self._shares.shadow(job.model.name)
        if shadow is None or shadow.version == job.model.version:
            return
        if len(self._waiting) >= WAITING:
            self._skip(self._waiting.popleft())
        self._waiting.append(job)
        self._some.set()

    def _observe(self, job: EndedJob, *, judge: bool = True) -> None:
        failed = job.error is not None and job.error.code in MODEL_FAULTS
        if job.status != "succeeded" and not failed:
            return
        for ref in job.models:
            sample = Sample(job.timings.inference_seconds, failed)
            self._shares.observe(ref.id, sample, judge=judge)

    def _skip(self, job: EndedJob) -> None:
        assert job.model is not None
        if (shadow := self._shares.shadow(job.model.name)) is not None:
            version = f"{job.model.name}@{shadow.version}"
            self._shares.skipped[version] = self._shares.skipped.get(version, 0) + 1

    async def _go_on(self, executor: Executor, busy: Callable[[], bool]) -> None:
        while True:
            await self._some.wait()
            while self._waiting:
                job = self._waiting.popleft()
                try:
                    await self._beside(job, executor, busy)
                except Exception:
                    log.exception("the shadow of job %s was left out", job.id)
                    self._skip(job)
            self._some.clear()

    async def _beside(self, job: EndedJob, executor: Executor, busy: Callable[[], bool]) -> None:
        """Runs a job by the version in shadow, again from the start where a client's job came between."""
        for _ in range(TRIES):
            while busy():  # noqa: ASYNC110  nothing tells of rest
                await asyncio.sleep(LOOK_SECONDS)
            if (submission := self._submission(job)) is None:
                return  # the shadow was ended meanwhile
            live = _live(submission)
            shadowed = await self._run(live, executor, busy)
            if shadowed.status != "cancelled":
                await self._record(job, shadowed)
                return
        self._skip(job)

    def _submission(self, job: EndedJob) -> Submission | None:
        assert job.model is not None
        shadow = self._shares.shadow(job.model.name)
        version = f"{job.model.name}@{shadow.version}" if shadow is not None else ""
        if (folder := self._registry.here(version)) is None:
            return None
        values = {name: getattr(job, name) for name in Submission.__struct_fields__}
        values |= {"id": new_id(), "run_id": new_id(), "created_at": time.time()}
        values |= {"model": reference(folder), "shadow_of": job.id, "idempotency_key": None}
        return Submission(**values)

    async def _run(self, live: Live, executor: Executor, busy: Callable[[], bool]) -> EndedJob:
        running = self._tasks.spawn(f"shadow {live.id}", executor.execute(live))
        try:
            while not running.done():
                await asyncio.wait([running], timeout=LOOK_SECONDS)
                if busy():
                    live.cancel.cancel()
        finally:
            live.cancel.cancel()
        return ended(live, running.result())

    async def _record(self, job: EndedJob, shadowed: EndedJob) -> None:
        assert job.model is not None
        assert shadowed.model is not None
        same, likeness = await asyncio.to_thread(self._compare, job, shadowed)
        row = ShadowRow(
            id=shadowed.id,
            name=shadowed.model.name,
            version=shadowed.model.version,
            baseline=job.model.version,
            job_id=job.id,
            status=shadowed.status,
            same_pixels=same,
            psnr=min(PERFECT_PSNR, likeness.psnr) if likeness is not None else None,
            ssim=likeness.ssim if likeness is not None else None,
            seconds=shadowed.timings.inference_seconds,
            baseline_seconds=job.timings.inference_seconds,
            compared_at=time.time(),
        )
        await self._db.insert(store.job_row(shadowed), *record.rows(shadowed), row)

    def _compare(
        self, job: EndedJob, shadowed: EndedJob
    ) -> tuple[bool, inference.likeness.Likeness | None]:
        """Whether all pictures are the same, and the worst likeness among them. Blocks."""
        pairs = list(zip(job.outputs, shadowed.outputs, strict=False))
        if not pairs or len(job.outputs) != len(shadowed.outputs):
            return False, None
        if all(one.pixels_sha256 == other.pixels_sha256 for one, other in pairs):
            return True, inference.likeness.Likeness(psnr=math.inf, ssim=1.0, largest_difference=0)
        found = [inference.likeness.compare(self._pixels(a), self._pixels(b)) for a, b in pairs]
        return False, min(found, key=lambda one: one.psnr)

    def _pixels(self, output: Output) -> Pixels:
        data = files.find(self._assets.root, output.sha256).read_bytes()
        return inference.png.decode(data, self._most_pixels)


def _live(submission: Submission) -> Live:
    loop = asyncio.get_running_loop()
    live = Live(submission, loop.create_future(), loop.create_future())
    live.status, live.started_at = "running", time.time()
    return live
