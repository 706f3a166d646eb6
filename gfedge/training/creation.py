"""A new training job: its record and its run, written with datasets and lineage in one commit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from gfedge.db import Cursor, new_id
from gfedge.lineage.types import Node, edge
from gfedge.tracking import datasets, store
from gfedge.tracking.runs import Runs
from gfedge.tracking.types import ExperimentRow, Input, RunCreate, Source
from gfedge.training.types import Scalar, TrainingCreate, TrainingRecord, row_of


class Plan(NamedTuple):
    """What a backend makes of a request that it can carry out."""

    params: dict[str, Scalar]
    source: Source | None


def record(
    wanted: TrainingCreate, plan: Plan, experiment_id: str, key: str | None, digest: str
) -> TrainingRecord:
    job_id = new_id()
    return TrainingRecord(
        id=job_id,
        name=wanted.name or f"{wanted.entry_point or wanted.backend} {job_id[-6:]}",
        backend=wanted.backend,
        entry_point=wanted.entry_point,
        params=plan.params,
        experiment_id=experiment_id,
        run_id=new_id(),
        created_at=time.time(),
        model_name=wanted.model,
        commit=plan.source.commit if plan.source else "",
        rental_wish=wanted.rental,
        idempotency_key=key,
        request_digest=digest,
    )


async def write(
    runs: Runs, experiment: ExperimentRow, job: TrainingRecord, wanted: TrainingCreate, plan: Plan
) -> TrainingRecord:
    """Makes a job durable together with its run."""
    run = RunCreate(
        name=job.name,
        params={key: _text(value) for key, value in plan.params.items()},
        tags={**wanted.tags, "training_job": job.id, "backend": wanted.backend},
        source=plan.source,
        status="scheduled",
    )
    made = await runs.create(
        experiment,
        run,
        job.created_at,
        run_id=job.run_id,
        kind="training",
        also=_with_run(job, wanted),
    )
    return _trained_on(job, made.inputs)


def _with_run(job: TrainingRecord, wanted: TrainingCreate) -> Callable[[Cursor], list[Input]]:
    """What is written in the commit that writes the run."""

    def write(cursor: Cursor) -> list[Input]:
        found: list[Input] = []
        if wanted.datasets:
            found = datasets.link(cursor, job.run_id, wanted.datasets, [], job.created_at)
        node: Node = ("training_job", job.id)
        edges = [edge(node, "recorded_as", ("run", job.run_id), job.created_at)]
        edges += [edge(("dataset", one.dataset_id), "input", node, job.created_at) for one in found]
        if job.commit:
            edges.append(edge(("commit", job.commit), "ran", node, job.created_at))
        store.insert(cursor, [row_of(_trained_on(job, found)), *edges])
        return found

    return write


def _trained_on(job: TrainingRecord, inputs: list[Input]) -> TrainingRecord:
    return msgspec.structs.replace(job, dataset_id=inputs[0].dataset_id if inputs else "")


def _text(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
