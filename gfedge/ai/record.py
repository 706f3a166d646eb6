"""The record of a job: the rows that follow from how it ended. Pure: no clock, no database.

The job's own row says all of it and is committed first; these may be written later, and again after a crash.
"""

from __future__ import annotations

import msgspec

from gfedge.ai.types import EndedJob, Submission
from gfedge.assets.files import SUFFIXES
from gfedge.assets.types import AssetRow, Output
from gfedge.db import Row
from gfedge.lineage.types import EdgeRow, Node, edge
from gfedge.tracking.artifact_types import ArtifactRow
from gfedge.tracking.types import (
    Latest,
    MetricRow,
    ParamRow,
    RunRecord,
    RunRow,
    number,
)

RUN_STATUS = {"succeeded": "finished", "failed": "failed", "cancelled": "killed"}


def rows(job: EndedJob) -> list[Row]:
    """The run of a job with its params and metrics, its assets and its lineage edges."""
    return [
        run(job),
        *params(job),
        *metrics(job),
        *job.inputs,
        *(asset(output, job.finished_at) for output in job.outputs),
        *edges(job, job.outputs, job.finished_at),
    ]


def asset(output: Output, created_at: float) -> AssetRow:
    values = {name: getattr(output, name, None) for name in AssetRow.__struct_fields__}
    return msgspec.convert(values | {"created_at": created_at}, AssetRow)


def run(job: EndedJob) -> RunRow:
    return RunRow(
        id=job.run_id,
        experiment_id=job.experiment_id,
        name=f"{'shadow ' if job.shadow_of else ''}{job.kind} {job.id[-12:]}",
        kind=f"ai-{job.kind}",
        status=RUN_STATUS[job.status],
        created_at=job.created_at,
        started_at=job.started_at,
        ended_at=job.finished_at,
    )


def live_run(job: Submission, status: str, started_at: float | None) -> RunRecord:
    """The run of a job that has not ended."""
    return RunRecord(
        id=job.run_id,
        experiment_id=job.experiment_id,
        name=f"{job.kind} {job.id[-12:]}",
        kind=f"ai-{job.kind}",
        status="scheduled" if status == "queued" else "running",
        created_at=job.created_at,
        started_at=started_at,
        ended_at=None,
        params={row.key: row.value for row in params(job)},
    )


def ended_run(job: EndedJob) -> RunRecord:
    """The run of a job that has ended, whole."""
    latest = {
        row.key: Latest(number(float(row.value)), row.step, row.logged_at) for row in metrics(job)
    }
    return RunRecord(
        **msgspec.structs.asdict(run(job)),
        params={row.key: row.value for row in params(job)},
        metrics=latest,
    )


def params(job: EndedJob | Submission) -> list[ParamRow]:
    """What was asked for, as text; with the seed, the models that answered, and what they ran on."""
    values: dict[str, object] = {k: v for k, v in job.params.items() if v not in (None, "")}
    values |= {"job": job.id, "seed": job.seed, "shadow_of": job.shadow_of}
    for name, ref in (("model", job.model), ("upscaler", job.upscaler)):
        if ref is not None:
            values |= {name: ref.id, f"{name}_digest": ref.digest}
    if isinstance(job, EndedJob):
        values |= job.surroundings
    return [
        ParamRow(run_id=job.run_id, key=key, value=_text(value))
        for key, value in values.items()
        if value is not None
    ]


def metrics(job: EndedJob) -> list[MetricRow]:
    """Where the time went, and what came of it."""
    values = {k: float(v) for k, v in msgspec.structs.asdict(job.timings).items()}
    values |= job.measures
    pixels = sum(output.width * output.height for output in job.outputs)
    if job.timings.inference_seconds > 0 and pixels:
        values["pixels_per_second"] = pixels / job.timings.inference_seconds
    return [
        MetricRow(run_id=job.run_id, key=key, value=value, step=0, logged_at=job.finished_at)
        for key, value in values.items()
    ]


def artifacts(job: EndedJob) -> list[ArtifactRow]:
    """The pictures as files of the run, in their order."""
    return [
        ArtifactRow(
            run_id=job.run_id,
            path=f"output-{number:02}{SUFFIXES[output.media_type]}",
            sha256=output.sha256,
            media_type=output.media_type,
            bytes=output.bytes,
            created_at=job.finished_at,
        )
        for number, output in enumerate(job.outputs, 1)
    ]


def edges(job: EndedJob | Submission, outputs: list[Output], at: float) -> list[EdgeRow]:
    """What the job came from and what came from it."""
    this: Node = ("job", job.id)
    found = [edge(("asset", row.sha256), "input", this, at) for row in job.inputs]
    if job.shadow_of is not None:
        found.append(edge(("job", job.shadow_of), "shadowed", this, at))
    if job.original is not None:
        found.append(edge(("job", job.original.job_id), "replayed", this, at))
    models = dict.fromkeys(ref.id for ref in (job.model, job.upscaler) if ref is not None)
    found += [edge(("model_version", model), "ran", this, at) for model in models]
    found += [edge(this, "output", ("asset", output.sha256), at) for output in outputs]
    found.append(edge(this, "recorded_as", ("run", job.run_id), at))
    found.append(edge(("run", job.run_id), "belongs_to", ("experiment", job.experiment_id), at))
    return found


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
