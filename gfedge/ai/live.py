"""A job between its acknowledgement and its end, and how it looks to clients before and after."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import msgspec

from gfedge.ai.types import EndedJob, Job, JobError, JobQuery, Progress, Status, Submission, Timings
from gfedge.assets.types import AssetRow, Output
from gfedge.inference.types import Cancel, Pixels

SHARES = {"sampling": (0.0, 0.8), "upscaling": (0.8, 1.0)}
"""Where the stages of a job that generates and upscales stand in the whole, roughly as their times do."""


class Outcome(msgspec.Struct, kw_only=True):
    """How a job went."""

    status: Status
    outputs: list[AssetRow] = msgspec.field(default_factory=list)
    measures: dict[str, float] = msgspec.field(default_factory=dict)
    """Metrics of the run besides its timings."""
    seam_scores: list[float] = msgspec.field(default_factory=list)
    """Of each output, where they are textures."""
    unknown_words: tuple[str, ...] = ()
    undocumented_words: tuple[str, ...] = ()
    dropped_words: tuple[str, ...] = ()
    suggestions: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    error: JobError | None = None
    surroundings: dict[str, str] = msgspec.field(default_factory=dict)


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """What the one who asked for a job does meanwhile."""

    waits: bool = False
    """For the end: it is told nothing before."""
    wanted_seconds: float | None = None
    """A job that has not started by then is no longer wanted."""
    gone: Callable[[], bool] = lambda: False
    """Whether it closed its connection."""


class Live(msgspec.Struct, eq=False):
    """A job that has not ended."""

    submission: Submission
    acknowledged: asyncio.Future[None]
    done: asyncio.Future[EndedJob]
    status: Status = "queued"
    since: float = msgspec.field(default_factory=time.monotonic)
    """When it came to the queue, on a clock that nobody sets."""
    started_at: float | None = None
    progress: Progress = msgspec.field(default_factory=Progress)
    timings: Timings = msgspec.field(default_factory=Timings)
    cancel: Cancel = msgspec.field(default_factory=Cancel)
    image: Pixels | None = None
    """Its input as it was decoded at the door, where that is small; the job takes it away."""
    made: list[str] = msgspec.field(default_factory=list)
    """Digests of its pictures that are written already."""
    durable: bool = False
    """Its submission is committed."""
    ending: bool = False
    """Its end is known and being recorded."""
    client: Client = msgspec.field(default_factory=lambda: Client())
    stopped: bool = False
    """Cancelled by the server's stop, not by its owner: it stays durable and runs again at the next start."""

    @property
    def id(self) -> str:
        return self.submission.id

    def report(self, stage: str, done: int, total: int) -> None:
        """Notes the progress within a stage."""
        two_stages = self.submission.kind == "generate" and self.submission.params["scale"] > 1
        low, high = SHARES[stage] if two_stages else (0.0, 1.0)
        ratio = low + (high - low) * done / max(total, 1)
        self.progress = Progress(step=done, steps=total, ratio=round(ratio, 4), stage=stage)

    @property
    def now(self) -> Live | EndedJob:
        """The job itself, or as it ended."""
        return self.done.result() if self.done.done() and not self.done.cancelled() else self

    def matches(self, query: JobQuery) -> bool:
        """Whether a listing with that query shows it."""
        durable = self.acknowledged.done() and not self.acknowledged.cancelled()
        return durable and matches(self.submission, self.now.status, query)


def matches(job: Submission, status: Status, query: JobQuery) -> bool:
    """The conditions of a listing, as the database has them for ended jobs."""
    return (
        (not query.cursor or job.id < query.cursor)
        and query.status in (None, status)
        and query.kind in (None, job.kind)
        and (not query.model or (job.model is not None and job.model.name == query.model))
        and (query.after is None or job.created_at >= query.after)
        and (query.before is None or job.created_at < query.before)
    )


def dropped(live: Live) -> Outcome | None:
    """How a job ends whose turn has come and whom nobody wants any more; None for the others."""
    client, wanted = live.client, live.client.wanted_seconds
    if wanted is not None and time.monotonic() > live.since + wanted:
        text = "its X-Request-Timeout passed before its turn came"
        return Outcome(status="failed", error=JobError(code="expired", detail=text))
    if client.waits and not live.durable and not live.submission.idempotency_key and client.gone():
        return Outcome(status="cancelled")
    return None


def ended(live: Live, outcome: Outcome) -> EndedJob:
    submission = live.submission
    finished = time.time()
    scores = outcome.seam_scores[: len(outcome.outputs)]
    live.timings.total_seconds = time.monotonic() - live.since
    return EndedJob(
        **{name: getattr(submission, name) for name in submission.__struct_fields__},
        status=outcome.status,
        started_at=live.started_at,
        finished_at=finished,
        timings=live.timings,
        progress=_final(live.progress, outcome.status),
        outputs=[Output.of(*both) for both in zip_longest(outcome.outputs, scores)],
        unknown_words=list(outcome.unknown_words),
        undocumented_words=list(outcome.undocumented_words),
        dropped_words=list(outcome.dropped_words),
        suggestions={word: list(near) for word, near in outcome.suggestions.items()},
        measures=outcome.measures,
        error=outcome.error,
        surroundings=outcome.surroundings,
    )


def wire_ended(job: EndedJob) -> Job:
    values: dict[str, Any] = {name: getattr(job, name, None) for name in Job.__struct_fields__}
    inputs = [row.sha256 for row in job.inputs]
    return Job(**values | {"inputs": inputs, "replay_of": replay_of(job)})


def replay_of(job: Submission) -> str | None:
    return job.original.job_id if job.original is not None else None


def wire_live(live: Live, position: int | None) -> Job:
    submission = live.submission
    return Job(
        id=submission.id,
        kind=submission.kind,
        status=live.status,
        queue_position=position,
        progress=live.progress,
        params=submission.params,
        seed=submission.seed,
        model=submission.model,
        upscaler=submission.upscaler,
        inputs=[row.sha256 for row in submission.inputs],
        experiment_id=submission.experiment_id,
        run_id=submission.run_id,
        created_at=submission.created_at,
        started_at=live.started_at,
        finished_at=None,
        timings=live.timings,
        outputs=[],
        unknown_words=[],
        dropped_words=[],
        error=None,
        replay_of=replay_of(submission),
    )


def _final(progress: Progress, status: Status) -> Progress:
    if status != "succeeded":
        return msgspec.structs.replace(progress, stage=status)
    return Progress(step=progress.steps, steps=progress.steps, ratio=1.0, stage=status)
