"""Runs, as MLflow's clients make, find, report to and search them."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
from aiohttp import web
from msgspec import UNSET

from gfedge import errors, examples
from gfedge.mlflow import experiments, limits, names, refusals, run_answers
from gfedge.mlflow.protocol import Nothing, call
from gfedge.mlflow.types import (
    BatchKeyValue,
    BatchLog,
    BatchMetric,
    KeyValue,
    MetricLog,
    ModelLog,
    ParamLog,
    RunCreate,
    RunFound,
    RunId,
    RunInfoFound,
    RunUpdate,
    TagKey,
    TagSet,
)
from gfedge.tracking.logged_models import ModelMetricRow
from gfedge.tracking.routes import EXPERIMENTS, RUNS
from gfedge.tracking.types import ENDED, LogBatch, Point, RunPatch, number
from gfedge.tracking.types import Run as RunSeen
from gfedge.tracking.types import RunCreate as Wanted
from gfedge.wire import Route

NAME_TAG = "mlflow.runName"
PARENT_TAG = "mlflow.parentRunId"
MODELS_TAG = "mlflow.log-model.history"


AN_OLD_MODEL = {
    "run_id": examples.ID,
    "model_json": '{"artifact_path": "model", "flavors": {}, "utc_time_created": "", "run_id": ""}',
}


def routes() -> list[Route]:
    at = "runs"
    return [
        call("POST", f"{at}/create", create_run, RunCreate, RunFound, "MLflow: begin a run"),
        call("GET", f"{at}/get", get_run, RunId, RunFound, "MLflow: a run with its params, tags and latest metrics"),
        call("POST", f"{at}/update", update_run, RunUpdate, RunInfoFound, "MLflow: end or rename a run"),
        call("POST", f"{at}/delete", delete_run, RunId, Nothing, "MLflow: hide a run"),
        call("POST", f"{at}/restore", restore_run, RunId, Nothing, "MLflow: bring a run back"),
        call("POST", f"{at}/log-metric", log_metric, MetricLog, Nothing, "MLflow: record a point of a metric"),
        call("POST", f"{at}/log-parameter", log_parameter, ParamLog, Nothing, "MLflow: record a param"),
        call("POST", f"{at}/log-batch", log_batch, BatchLog, Nothing, "MLflow: record metrics, params and tags, all or nothing"),
        call("POST", f"{at}/set-tag", set_tag, TagSet, Nothing, "MLflow: tag a run"),
        call("POST", f"{at}/delete-tag", delete_tag, TagKey, Nothing, "MLflow: take a tag away"),
        call("POST", f"{at}/log-model", log_model, ModelLog, Nothing, "MLflow: note a model that an older client logged", example=AN_OLD_MODEL),
    ]  # fmt: skip


async def create_run(request: web.Request, asked: RunCreate) -> RunFound:
    experiment = experiments.active(await experiments.found(request, asked.experiment_id or "0"))
    tags = {tag.key: _tag_value(tag, f"tags[{i}]") for i, tag in enumerate(asked.tags)}
    named = tags.get(NAME_TAG)
    if asked.run_name and named and asked.run_name != named:
        raise refusals.invalid(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
            f"(run_name='{asked.run_name}', mlflow.runName='{named}')."
        )
    name = asked.run_name or named or names.any_name()
    parent = tags.get(PARENT_TAG, "")
    wanted = Wanted(
        name=name,
        tags={**tags, NAME_TAG: name},
        started_at=limits.moment(asked.start_time, "start_time") or None,
        parent_id=parent if parent and await exists(request, parent) else "",
    )
    record = await request.app[RUNS].create(experiment, wanted, time.time(), user_id=asked.user_id)
    return RunFound(run=run_answers.of_record(record, experiment))


async def get_run(request: web.Request, asked: RunId) -> RunFound:
    run = await found(request, asked)
    datasets = await run_answers.datasets_of(request, [run])
    experiment = request.app[EXPERIMENTS].known(run.experiment_id)
    return RunFound(run=run_answers.of_run(run, experiment, datasets))


async def update_run(request: web.Request, asked: RunUpdate) -> RunInfoFound:
    run = writable(request, await found(request, asked))
    patch = RunPatch()
    if asked.run_name:
        patch.name = asked.run_name
        patch.tags = {NAME_TAG: asked.run_name}
    if asked.status is not None:
        patch.status = asked.status.lower()  # type: ignore[assignment]
    status = run.status if patch.status is UNSET else patch.status
    if asked.end_time is not None and status in ENDED:
        patch.ended_at = limits.moment(asked.end_time, "end_time")
    record = await request.app[RUNS].change(run.id, patch, time.time())
    experiment = request.app[EXPERIMENTS].known(record.experiment_id)
    return RunInfoFound(run_info=run_answers.info(record, experiment))


async def delete_run(request: web.Request, asked: RunId) -> Nothing:
    run = await found(request, asked)
    await request.app[RUNS].delete(run.id, time.time())
    return Nothing()


async def restore_run(request: web.Request, asked: RunId) -> Nothing:
    run = await found(request, asked)
    await request.app[RUNS].restore(run.id)
    return Nothing()


async def log_metric(request: web.Request, asked: MetricLog) -> Nothing:
    values = {name: getattr(asked, name) for name in BatchMetric.__struct_fields__}
    return await _log(request, asked.run_id, metrics=[BatchMetric(**values)], path="")


async def log_parameter(request: web.Request, asked: ParamLog) -> Nothing:
    return await _log(request, asked.run_id, params=[BatchKeyValue(asked.key, asked.value)])


async def set_tag(request: web.Request, asked: TagSet) -> Nothing:
    return await _log(request, asked.run_id, tags=[BatchKeyValue(asked.key, asked.value)])


async def log_batch(request: web.Request, asked: BatchLog) -> Nothing:
    limits.batch(asked)
    return await _log(request, asked.run_id, asked.metrics, asked.params, asked.tags)


async def delete_tag(request: web.Request, asked: TagKey) -> Nothing:
    run = writable(request, await found(request, asked))
    if asked.key not in run.tags:
        raise refusals.absent(f"No tag with name: {asked.key} in run with id {run.id}")
    await request.app[RUNS].change(run.id, RunPatch(tags={asked.key: None}), time.time())
    return Nothing()


async def log_model(request: web.Request, asked: ModelLog) -> Nothing:
    run = writable(request, await found(request, asked))
    try:
        model = msgspec.json.decode(asked.model_json, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise refusals.invalid(
            f"Malformed model info. \n {asked.model_json[:200]} \n is not a valid JSON."
        ) from None
    if lacking := {"artifact_path", "flavors", "utc_time_created", "run_id"} - model.keys():
        raise refusals.invalid(f"Model json is missing mandatory fields: {sorted(lacking)}")
    noted = json.loads(run.tags.get(MODELS_TAG, "[]"))
    tag = BatchKeyValue(MODELS_TAG, json.dumps([*noted, model]))
    return await _log(request, run.id, tags=[tag])


# For the other modules


async def found(request: web.Request, asked: RunId) -> RunSeen:
    """The run that is meant; a deleted one too."""
    return await of_id(request, asked.run_id)


async def of_id(request: web.Request, run_id: str) -> RunSeen:
    try:
        return await request.app[RUNS].find(run_id)
    except errors.NotFound:
        raise no_run(run_id) from None


async def is_known(request: web.Request, run_id: str) -> bool:
    """Also a deleted one."""
    try:
        await request.app[RUNS].find(run_id)
    except errors.NotFound:
        return False
    return True


async def exists(request: web.Request, run_id: str) -> bool:
    try:
        run = await request.app[RUNS].find(run_id)
    except errors.NotFound:
        return False
    return run.deleted_at is None


def writable(request: web.Request, run: RunSeen) -> RunSeen:
    experiment = request.app[EXPERIMENTS].known(run.experiment_id)
    if run.deleted_at is not None or experiment.deleted_at is not None:
        raise not_active(run.id)
    return run


def no_run(run_id: str) -> refusals.Refused:
    return refusals.absent(f"Run with id={run_id} not found")


def not_active(run_id: str) -> refusals.Refused:
    return refusals.invalid(
        f"The run {run_id} must be in the 'active' state. Current state is deleted."
    )


# Inside


async def _log(
    request: web.Request,
    run_id: str,
    metrics: list[BatchMetric] | None = None,
    params: list[BatchKeyValue] | None = None,
    tags: list[BatchKeyValue] | None = None,
    path: str | None = None,
) -> Nothing:
    """Records a report: all of it, or nothing."""
    limits.run_id(run_id)
    metrics = metrics or []
    batch = LogBatch(
        metrics=_points(metrics, path),
        params={
            limits.key(one.key, f"params[{i}].key", "Param key"): one.value[: limits.PARAM]
            for i, one in enumerate(params or [])
        },
        tags={one.key: _tag_value(one, f"tags[{i}]") for i, one in enumerate(tags or [])},
    )
    await _check_experiment(request, run_id)
    of_models = [_model_row(run_id, one) for one in metrics if one.model_id]
    runs, now = request.app[RUNS], time.time()
    try:
        await runs.log(run_id, batch, now, *of_models)
        if name := batch.tags.get(NAME_TAG):
            await runs.change(run_id, RunPatch(name=name), now)
    except errors.NotFound:
        raise no_run(run_id) from None
    except errors.Conflict as conflict:
        raise await _conflict(request, run_id, batch, conflict) from None
    return Nothing()


async def _check_experiment(request: web.Request, run_id: str) -> None:
    """A run of a deleted experiment takes no reports; where none was deleted there is nothing to ask."""
    if hidden := request.app[EXPERIMENTS].deleted():
        run = await of_id(request, run_id)
        if run.experiment_id in hidden:
            raise not_active(run_id)


async def _conflict(
    request: web.Request, run_id: str, batch: LogBatch, conflict: errors.Conflict
) -> refusals.Refused:
    if conflict.code != "param_exists":
        return not_active(run_id)
    run = await of_id(request, run_id)
    key, value = next(
        (key, value) for key, value in batch.params.items() if run.params.get(key, value) != value
    )
    return refusals.invalid(
        f"Changing param values is not allowed. Param with key='{key}' was already logged with "
        f"value='{run.params[key]}' for run ID='{run_id}'. Attempted logging new value '{value}'."
    )


def _points(metrics: list[BatchMetric], path: str | None) -> list[Point]:
    for i, one in enumerate(metrics):
        if one.timestamp < 0 or not limits.is_key(one.key):
            _refuse(one, f"metrics[{i}]." if path is None else path)
    return [
        Point(
            key=one.key,
            value=number(one.value),
            step=one.step,
            logged_at=one.timestamp / 1000,
        )
        for one in metrics
    ]


def _refuse(metric: BatchMetric, path: str) -> None:
    limits.key(metric.key, f"{path}name", "Metric name")
    limits.timestamp(metric.timestamp, metric.key, f"{path}timestamp")


def _model_row(run_id: str, metric: BatchMetric) -> ModelMetricRow:
    return ModelMetricRow(
        model_id=metric.model_id,
        run_id=run_id,
        key=metric.key,
        value=metric.value,
        step=metric.step,
        logged_at=metric.timestamp / 1000,
        dataset_name=metric.dataset_name,
        dataset_digest=metric.dataset_digest,
    )


def _tag_value(tag: KeyValue | BatchKeyValue, path: str) -> str:
    """As much of it as is kept: MLflow's server cuts long ones without a word."""
    limits.key(tag.key, f"{path}.key")
    return tag.value[: limits.TAG]
