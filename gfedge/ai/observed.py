"""What the metrics learn of a job when it has ended."""

from __future__ import annotations

import functools
from collections.abc import Callable

from gfedge import metrics
from gfedge.ai.types import EndedJob

Observe = Callable[[float], None]

STAGES = ("load", "decode", "inference", "encode")
KSERVE = {
    "decode": metrics.request_preprocess_seconds,
    "inference": metrics.request_predict_seconds,
    "encode": metrics.request_postprocess_seconds,
}


def observe(job: EndedJob) -> None:
    """Counts the job, its stages, and what it made."""
    model, version = (job.model.name, job.model.version) if job.model else ("", "")
    metrics.jobs_total.labels(job.kind, job.status, model, version).inc()
    metrics.job_queue_seconds.labels(job.kind).observe(job.timings.queue_seconds)
    if job.started_at is not None:
        metrics.job_seconds.labels(job.kind).observe(job.finished_at - job.started_at)
    for stage in STAGES:
        if seconds := getattr(job.timings, f"{stage}_seconds"):
            for each in _observers(job.kind, model, stage):
                each(seconds)
    if model:
        metrics.pictures_total.labels(model, version).inc(len(job.outputs))
        _observe_units(model, job)


def _observe_units(model: str, job: EndedJob) -> None:
    if tiles := job.measures.get("tiles"):
        metrics.tiles_total.labels(job.upscaler.name if job.upscaler else model).inc(tiles)
    if batch := job.measures.get("batch_size"):
        metrics.batch_size.labels(model).observe(batch)


@functools.cache
def _observers(kind: str, model: str, stage: str) -> tuple[Observe, ...]:
    """What observes a stage: our own metric, and KServe's where it has one. Children are kept (lookups are dear)."""
    own = metrics.job_stage_seconds.labels(kind, stage).observe
    if not model or stage not in KSERVE:
        return (own,)
    return own, KSERVE[stage].labels(model).observe
