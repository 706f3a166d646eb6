"""Runs as MLflow writes them: info, data, inputs and outputs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiohttp import web

from gfedge import keys
from gfedge.mlflow.experiments import key_values, location, milliseconds
from gfedge.mlflow.types import (
    Dataset,
    DatasetInput,
    KeyValue,
    Metric,
    ModelInput,
    ModelOutput,
    Run,
    RunData,
    RunInfo,
    RunInputs,
    RunOutputs,
)
from gfedge.tracking import datasets
from gfedge.tracking.dataset_types import DatasetRow
from gfedge.tracking.types import ExperimentRow, Input, RunRecord, RunRow, shown
from gfedge.tracking.types import Run as RunSeen

CONTEXT = "mlflow.data.context"


def of_record(record: RunRecord, experiment: ExperimentRow) -> Run:
    """A run that has no inputs yet."""
    return of_run(shown(record), experiment, {})


def of_run(run: RunSeen, experiment: ExperimentRow, known: Mapping[str, DatasetRow]) -> Run:
    """A run; `known` are the datasets that it read, by id."""
    return Run(
        info=info(run, experiment),
        data=RunData(
            metrics=_metrics(run),
            params=key_values(run.params.items()),
            tags=key_values(run.tags.items()),
        ),
        inputs=RunInputs(
            dataset_inputs=[_input(one, known[one.dataset_id]) for one in run.inputs],
            model_inputs=[
                ModelInput(model_id=one.model_id) for one in run.models if one.direction == "input"
            ],
        ),
        outputs=RunOutputs(
            model_outputs=[
                ModelOutput(model_id=one.model_id, step=one.step)
                for one in run.models
                if one.direction == "output"
            ]
        ),
    )


def info(run: RunRow, experiment: ExperimentRow) -> RunInfo:
    deleted = run.deleted_at is not None or experiment.deleted_at is not None
    return RunInfo(
        run_uuid=run.id,
        run_id=run.id,
        experiment_id=run.experiment_id,
        run_name=run.name,
        user_id=run.user_id,
        status=run.status.upper(),
        start_time=milliseconds(run.started_at or run.created_at),
        end_time=None if run.ended_at is None else milliseconds(run.ended_at),
        artifact_uri=f"{location(experiment)}/{run.id}/artifacts",
        lifecycle_stage="deleted" if deleted else "active",
    )


async def datasets_of(request: web.Request, runs: Iterable[RunSeen]) -> dict[str, DatasetRow]:
    """The datasets that runs read, by id."""
    ids = {one.dataset_id for run in runs for one in run.inputs}
    if not ids:
        return {}
    return await request.app[keys.DB].read(datasets.find_datasets, sorted(ids))


def text(value: Any) -> str | None:
    """What a client sent as JSON text, letter by letter."""
    return value if value is None or isinstance(value, str) else json.dumps(value)


def kept(value: str | None) -> Any:
    """JSON text as the value that it is, where the same text can be made of it again; else the text."""
    if not value:
        return value
    try:
        found = json.loads(value)
        same = isinstance(found, (dict, list)) and json.dumps(found) == value
    except (ValueError, RecursionError):
        return value
    return found if same else value


def _metrics(run: RunSeen) -> list[Metric]:
    found: list[Metric] = []
    for values in (run.metrics, run.system_metrics):
        for key, value in values.items():
            step, at = run.reported.get(key, (0, run.created_at))
            found.append(Metric(key=key, value=value, timestamp=milliseconds(at), step=step))
    return found


def _input(one: Input, dataset: DatasetRow) -> DatasetInput:
    tags: Sequence[KeyValue] = key_values(one.tags.items())
    if one.context and CONTEXT not in one.tags:
        tags = [*tags, KeyValue(CONTEXT, one.context)]
    return DatasetInput(
        tags=list(tags),
        dataset=Dataset(
            name=dataset.name,
            digest=dataset.digest,
            source_type=dataset.source_type,
            source=dataset.source,
            schema=text(dataset.schema),
            profile=text(dataset.profile),
        ),
    )
