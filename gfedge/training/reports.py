"""What trainers report, wherever they run: metrics, progress, log lines, files, and how it ended."""

from __future__ import annotations

import asyncio
import time

from gfedge import errors, metrics
from gfedge.tracking.types import LogBatch, Point
from gfedge.training.jobs import TrainingJobs
from gfedge.training.live import Live
from gfedge.training.types import (
    Finish,
    Heard,
    Outcome,
    Progress,
    Report,
    TrainingError,
    TrainingRecord,
)

SESSIONS = 8
"""Trainers of one job whose last report is remembered."""


async def hear(jobs: TrainingJobs, job_id: str, report: Report) -> Heard:
    """Takes up a report: what goes into the run is durable when this returns."""
    live = await _heard(jobs, job_id)
    if isinstance(live, Heard):
        return live
    if not _is_new(live, report):
        return answer(live)
    points = [point for point in report.metrics if _is_ahead(live.record, point)]
    if points or report.params or report.tags:
        batch = LogBatch(metrics=points, params=report.params, tags=report.tags)
        await jobs.runs.log(live.record.run_id, batch, time.time())
    if report.session:
        live.heard[report.session] = report.seq
    _tell(jobs, live, report, points)
    if report.log:
        await asyncio.to_thread(live.log.append, report.log)
    return answer(live)


async def finish(jobs: TrainingJobs, job_id: str, wanted: Finish) -> Heard:
    """How the training ended. Of a local one its process has the last word; it ends when that does."""
    live = await _heard(jobs, job_id)
    if isinstance(live, Heard):
        return live
    error = TrainingError(code="training_failed", detail=wanted.error or "the trainer says so")
    outcome = Outcome(
        status=wanted.status,
        error=error if wanted.status == "failed" else None,
        model=wanted.model,
    )
    if live.record.backend == "local":
        await jobs.change(live, reported=outcome, quiet=True)
    else:
        await jobs.settle(live, outcome)
    return answer(live)


async def touch(jobs: TrainingJobs, job_id: str) -> Live:
    """The job of a trainer that uploads; Conflict where it has ended."""
    live = await _heard(jobs, job_id)
    if isinstance(live, Heard):
        raise _ended(job_id, live.state)
    return live


def sign(live: Live) -> None:
    """A sign of life."""
    live.hear()


def answer(live: Live) -> Heard:
    stops = live.record.cancel_requested_at is not None or live.stop is not None
    return Heard(state=live.record.state, cancelled=stops)


# Inside


async def _heard(jobs: TrainingJobs, job_id: str) -> Live | Heard:
    """The job, running from now on if it was not; of a cancelled one the word to stop."""
    found = await jobs.find(job_id)
    if isinstance(found, TrainingRecord):
        if found.state == "cancelled" or found.cancel_requested_at is not None:
            return Heard(state=found.state, cancelled=True)
        raise _ended(job_id, found.state)
    sign(found)
    state = found.record.state
    if found.record.backend != "local" and state in ("queued", "starting", "lost"):
        began = found.record.started_at or time.time()
        reason = "its trainer is back" if state == "lost" else ""
        attempt = max(1, found.record.attempt)
        await jobs.change(found, state="running", started_at=began, reason=reason, attempt=attempt)
    return found


def _ended(job_id: str, state: str) -> errors.Conflict:
    return errors.Conflict(
        f"training job {job_id} has {state} and takes no more reports", code="training_job_ended"
    )


def _is_new(live: Live, report: Report) -> bool:
    """Whether it did not come before: a trainer sends again what was not answered."""
    if not report.session:
        return True
    if report.session not in live.heard and len(live.heard) >= SESSIONS:
        live.heard.pop(next(iter(live.heard)))
    return report.seq > live.heard.get(report.session, -1)


def _is_ahead(record: TrainingRecord, point: Point) -> bool:
    """Whether it is no repetition of what was reported before the trainer went back to its checkpoint."""
    return point.step > record.replayed.get(point.key, point.step - 1)


def _tell(jobs: TrainingJobs, live: Live, report: Report, points: list[Point]) -> None:
    progress = report.progress or _followed(live.record.progress, points)
    if progress is not None or points:
        metrics.training_reports_total.inc()
    if progress is not None:
        live.advance(progress, time.time())
        jobs.tell("job.progress", live, _progress(live, progress), f"progress {live.id}")
    if points:
        jobs.tell("job.metrics", live, {"job_id": live.id, "points": points})
    if report.log:
        jobs.tell("job.log", live, {"job_id": live.id, "lines": report.log})


def _followed(known: Progress, points: list[Point]) -> Progress | None:
    """Of a trainer that reports metrics alone: the step that they have come to. One that tells its progress knows better."""
    told = known.steps or known.epoch is not None or known.message
    step = max((point.step for point in points), default=0)
    return None if told or step <= known.step else Progress(step=step)


def _progress(live: Live, progress: Progress) -> dict[str, object]:
    return {
        "job_id": live.id,
        "progress": progress,
        "progress_ratio": progress.fraction,
        "eta_seconds": live.eta_seconds,
    }
