"""What happens to jobs, told to the listeners of the stream `ai-jobs`; their runs to those of `experiments`.

Ends and starts are told at once; progress and positions no faster than people look; pictures only where somebody asked.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from gfedge import inference
from gfedge.ai import record, store
from gfedge.ai.live import Live, wire_ended, wire_live
from gfedge.ai.turns import Turns
from gfedge.ai.types import EndedJob, Job, JobQuery, Progress, Submission
from gfedge.db import Database
from gfedge.events import PREVIEW, Events, Subscription
from gfedge.inference.types import Pixels
from gfedge.tasks import Tasks
from gfedge.tracking.feed import Feed as RunFeed

TICK_SECONDS = 0.1
"""Between news of progress and positions."""
PREVIEW_SECONDS = 0.2
"""Between previews of one picture."""
SHOWN_ENDED, SHOWN_QUEUED = 20, 100
"""Jobs in a snapshot; positions in `queue.moved`."""

Picture = Callable[[], Pixels]
"""Makes a picture, where it is wanted."""


class JobProgress(msgspec.Struct, kw_only=True, frozen=True):
    """How far a job is."""

    id: str
    progress: Progress


class Preview(msgspec.Struct, kw_only=True, frozen=True):
    """An unfinished picture of a job."""

    id: str
    index: Annotated[int, Meta(description="Which of the job's pictures.")]
    step: Annotated[int, Meta(description="Steps done.")]
    width: int
    height: int
    png: Annotated[str, Meta(description="In base64.")]


class QueueMoved(msgspec.Struct, kw_only=True, frozen=True):
    """How many jobs wait and run, and the positions of the next 100."""

    queued: int
    running: int
    positions: dict[str, int]


class JobsNow(msgspec.Struct, kw_only=True, frozen=True):
    """The snapshot: jobs that run, the next 100 and the last 20 that ended, or those of the topics; newest first."""

    queued: int
    running: int
    jobs: list[Job]


MESSAGES = {
    "snapshot": JobsNow,
    "job.queued": Job,
    "job.started": Job,
    "job.progress": JobProgress,
    PREVIEW: Preview,
    "job.ended": Job,
    "queue.moved": QueueMoved,
}


class Feed:
    """Publishes what the queue tells it; looks at the queue's jobs for snapshots."""

    def __init__(
        self,
        events: Events,
        runs: RunFeed,
        live: Mapping[str, Live],
        pending: Turns,
        ended: Mapping[str, EndedJob],
    ) -> None:
        self._events = events
        self._runs = runs
        self._live = live
        self._pending = pending
        self._ended = ended
        self._tasks = Tasks()
        self._progressed: dict[str, Live] = {}
        self._moved = False
        self._timer: asyncio.TimerHandle | None = None
        self._previewed: dict[tuple[str, int], float] = {}

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._tasks.stop()

    def queued(self, live: Live, position: int) -> None:
        self._publish("job.queued", live, wire_live(live, position) if self._heard else None)
        self._run("run.created", live)

    def started(self, live: Live) -> None:
        self._publish("job.started", live, wire_live(live, None) if self._heard else None)
        self._run("run.changed", live)
        self._soon(moved=True)

    def progressed(self, live: Live) -> None:
        if self._heard and not live.ending:
            self._progressed[live.id] = live
            self._soon()

    def previewed(self, live: Live, index: int, picture: Picture) -> None:
        """A picture as it would be now; made, encoded and sent only where somebody asked for it."""
        last, now = self._previewed.get((live.id, index), 0.0), time.monotonic()
        wanted = self._events.wanted("ai-jobs", PREVIEW, topics(live.submission))
        if wanted and now - last >= PREVIEW_SECONDS:
            self._previewed[live.id, index] = now
            work = self._preview(live, index, live.progress.step, picture)
            self._tasks.spawn(f"preview of job {live.id}", work)

    def ended(self, job: EndedJob) -> None:
        self._progressed.pop(job.id, None)
        if self._previewed:
            self._previewed = {k: at for k, at in self._previewed.items() if k[0] != job.id}
        if self._heard:
            self._events.publish("ai-jobs", "job.ended", wire_ended(job), topics(job))
        if self._events.listened("experiments"):
            self._runs.run("run.ended", record.ended_run(job))
        self._soon(moved=True)

    async def snapshot(self, db: Database, wanted: Subscription) -> JobsNow:
        named = [topic.partition(":")[2] for topic in wanted.topics if topic.startswith("job:")]
        found = await db.read(store.list_jobs, JobQuery(limit=SHOWN_ENDED))
        found += await db.read(store.find_jobs, named) if named else []
        # No await from here on: what changed while the database was read is in memory.
        ended = {job.id: job for job in [*found, *self._ended.values()]}
        last = sorted(ended.values(), key=lambda job: job.id)
        if not wanted.topics:
            last = last[-SHOWN_ENDED:]
        positions = {live.id: n for n, live in enumerate(self._pending, 1)}
        live = [job for job in self._live.values() if positions.get(job.id, 0) <= SHOWN_QUEUED]
        chosen = frozenset(wanted.topics)
        jobs = {job.id: wire_ended(job) for job in last if _chosen(job, chosen)}
        jobs |= {
            job.id: wire_live(job, positions.get(job.id))
            for job in live
            if _chosen(job.submission, chosen)
        }
        newest = sorted(jobs.values(), key=lambda job: job.id, reverse=True)
        return JobsNow(queued=self._queued, running=self._running, jobs=newest)

    # Inside

    @property
    def _heard(self) -> bool:
        return self._events.listened("ai-jobs")

    @property
    def _queued(self) -> int:
        return len(self._pending)

    @property
    def _running(self) -> int:
        return sum(live.status == "running" for live in self._live.values())

    def _publish(self, type_: str, live: Live, job: Job | None) -> None:
        if job is not None:
            self._events.publish("ai-jobs", type_, job, topics(live.submission))

    def _run(self, type_: str, live: Live) -> None:
        if self._events.listened("experiments"):
            self._runs.run(type_, record.live_run(live.submission, live.status, live.started_at))

    def _soon(self, *, moved: bool = False) -> None:
        self._moved |= moved
        if self._timer is None and self._heard:
            self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        self._timer = None
        progressed, self._progressed = self._progressed, {}
        for live in progressed.values():
            told = JobProgress(id=live.id, progress=live.progress)
            chosen = topics(live.submission)
            self._events.publish("ai-jobs", "job.progress", told, chosen, key=f"step:{live.id}")
        if self._moved:
            self._moved = False
            self._tell_positions()

    def _tell_positions(self) -> None:
        waiting = self._pending.first(SHOWN_QUEUED)
        moved = QueueMoved(
            queued=self._queued,
            running=self._running,
            positions={live.id: n for n, live in enumerate(waiting, 1)},
        )
        about = {topic for live in waiting for topic in topics(live.submission)}
        self._events.publish("ai-jobs", "queue.moved", moved, about, key="queue")

    async def _preview(self, live: Live, index: int, step: int, picture: Picture) -> None:
        width, height, png = await asyncio.to_thread(_encoded, picture)
        if live.ending:
            return
        told = Preview(id=live.id, index=index, step=step, width=width, height=height, png=png)
        key = f"preview:{live.id}:{index}"
        self._events.publish("ai-jobs", PREVIEW, told, topics(live.submission), key=key)


def topics(job: Submission) -> tuple[str, str, str]:
    return f"job:{job.id}", f"run:{job.run_id}", f"experiment:{job.experiment_id}"


def _chosen(job: Submission, chosen: frozenset[str]) -> bool:
    return not chosen or not chosen.isdisjoint(topics(job))


def _encoded(picture: Picture) -> tuple[int, int, str]:
    pixels = picture()
    height, width = pixels.shape[:2]
    return width, height, base64.b64encode(inference.png.encode(pixels)).decode()
