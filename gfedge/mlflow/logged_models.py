"""Models as runs log them (MLflow 3): made before their files come, ready after, found by filters over their metrics too."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web
from msgspec.structs import replace

from gfedge import examples, keys
from gfedge.lineage.types import EdgeRow, edge
from gfedge.mlflow import experiments, files, limits, names, pages, places, refusals
from gfedge.mlflow import filter as filters
from gfedge.mlflow.experiments import key_values, milliseconds
from gfedge.mlflow.filter import Clause, Grammar, Key
from gfedge.mlflow.model_types import (
    DatasetFilter,
    LoggedModel,
    LoggedModelCreate,
    LoggedModelData,
    LoggedModelFiles,
    LoggedModelFilesAsked,
    LoggedModelFinalize,
    LoggedModelFound,
    LoggedModelId,
    LoggedModelInfo,
    LoggedModelOrder,
    LoggedModelParams,
    LoggedModelSearch,
    LoggedModelsFound,
    LoggedModelTagKey,
    LoggedModelTags,
)
from gfedge.mlflow.protocol import Nothing, call
from gfedge.mlflow.types import Metric
from gfedge.tracking import logged_models as store
from gfedge.tracking.logged_models import LoggedModelRow, ModelMetricRow, ModelStatus
from gfedge.tracking.routes import EXPERIMENTS
from gfedge.tracking.types import ExperimentRow, number
from gfedge.wire import Route

PAGE, MAX_PAGE = 100, 50_000
VERSIONS_TAG = "mlflow.modelVersions"
STATUSES: dict[str, ModelStatus] = {
    **dict.fromkeys(("LOGGED_MODEL_PENDING", "1"), "pending"),
    **dict.fromkeys(("LOGGED_MODEL_READY", "2"), "ready"),
    **dict.fromkeys(("LOGGED_MODEL_UPLOAD_FAILED", "3"), "upload_failed"),
}
TEXTS = ("name", "model_id", "model_type", "status", "source_run_id", "experiment_id")
NUMBERS = {
    **dict.fromkeys(("creation_time", "creation_timestamp", "creation_timestamp_ms"), "created"),
    **dict.fromkeys(("last_updated_timestamp", "last_updated_timestamp_ms"), "updated"),
}
GRAMMAR = Grammar(
    texts={name: name for name in TEXTS},
    numbers=NUMBERS,
    lists=TEXTS,
    entities=("metric", "parameter", "tag", "attribute"),
    listed=("parameter", "tag"),
    orders=("attribute", "metric"),
)
Metrics = Mapping[str, Sequence[ModelMetricRow]]
_changing = asyncio.Lock()


def routes() -> list[Route]:
    at = "logged-models"
    one = f"{at}/{{model_id}}"
    return [
        call("POST", at, create_logged_model, LoggedModelCreate, LoggedModelFound, "MLflow: begin a logged model"),
        call("POST", f"{at}/search", search_logged_models, LoggedModelSearch, LoggedModelsFound, "MLflow: logged models by a filter", scope="read", example={"experiment_ids": ["0"]}),
        call("GET", one, get_logged_model, LoggedModelId, LoggedModelFound, "MLflow: a logged model with its params, tags and metrics"),
        call("PATCH", one, finalize_logged_model, LoggedModelFinalize, LoggedModelFound, "MLflow: say that a logged model is there, or failed", example={"model_id": f"m-{examples.ID}", "status": "LOGGED_MODEL_READY"}),
        call("DELETE", one, delete_logged_model, LoggedModelId, Nothing, "MLflow: hide a logged model"),
        call("PATCH", f"{one}/tags", set_logged_model_tags, LoggedModelTags, Nothing, "MLflow: tag a logged model"),
        call("DELETE", f"{one}/tags/{{key}}", delete_logged_model_tag, LoggedModelTagKey, Nothing, "MLflow: take a tag away"),
        call("POST", f"{one}/params", log_logged_model_params, LoggedModelParams, Nothing, "MLflow: record params of a logged model"),
        call("GET", f"{one}/artifacts/directories", list_logged_model_files, LoggedModelFilesAsked, LoggedModelFiles, "MLflow: what is in a folder of a logged model"),
    ]  # fmt: skip


async def create_logged_model(request: web.Request, asked: LoggedModelCreate) -> LoggedModelFound:
    if asked.name is not None and (not asked.name or any(c in asked.name for c in "/:.%\"'")):
        raise refusals.invalid(
            f"Invalid model name ({asked.name!r}) provided. Model name must be a non-empty string and "
            "cannot contain the following characters: ('/', ':', '.', '%', '\"', \"'\")"
        )
    experiment = experiments.active(await experiments.found(request, asked.experiment_id))
    now = time.time()
    row = LoggedModelRow(
        id=f"m-{uuid.uuid4().hex}",
        experiment_id=experiment.id,
        name=asked.name or names.any_name(),
        model_type=asked.model_type or "",
        status="pending",
        run_id=asked.source_run_id or "",
        params={one.key: one.value for one in asked.params},
        tags={one.key: one.value for one in asked.tags},
        created_at=now,
        updated_at=now,
    )
    await request.app[keys.DB].insert(row, *_edges(row))
    return LoggedModelFound(model=shown(row, experiment, []))


async def get_logged_model(request: web.Request, asked: LoggedModelId) -> LoggedModelFound:
    row = await found(request, asked.model_id, deleted=asked.allow_deleted)
    return LoggedModelFound(model=await _whole(request, row))


async def finalize_logged_model(
    request: web.Request, asked: LoggedModelFinalize
) -> LoggedModelFound:
    if (status := STATUSES.get(str(asked.status))) is None:
        raise refusals.invalid(f"Invalid value for parameter 'status': {asked.status}")
    async with _changing:
        row = await found(request, asked.model_id)
        row = await _update(request, replace(row, status=status))
    return LoggedModelFound(model=await _whole(request, row))


async def delete_logged_model(request: web.Request, asked: LoggedModelId) -> Nothing:
    async with _changing:
        row = await found(request, asked.model_id, deleted=True)
        await _update(request, replace(row, deleted_at=row.deleted_at or time.time()))
    return Nothing()


async def set_logged_model_tags(request: web.Request, asked: LoggedModelTags) -> Nothing:
    await tag(request, asked.model_id, {one.key: one.value for one in asked.tags})
    return Nothing()


async def delete_logged_model_tag(request: web.Request, asked: LoggedModelTagKey) -> Nothing:
    async with _changing:
        row = await found(request, asked.model_id, deleted=True)
        if asked.key not in row.tags:
            raise refusals.absent(
                f"No tag with key {asked.key!r} found for model with ID {asked.model_id!r}."
            )
        tags = {key: value for key, value in row.tags.items() if key != asked.key}
        await _update(request, replace(row, tags=tags))
    return Nothing()


async def log_logged_model_params(request: web.Request, asked: LoggedModelParams) -> Nothing:
    async with _changing:
        row = await found(request, asked.model_id, deleted=True)
        params = {one.key: one.value for one in asked.params}
        await _update(request, replace(row, params={**row.params, **params}))
    return Nothing()


async def list_logged_model_files(
    request: web.Request, asked: LoggedModelFilesAsked
) -> LoggedModelFiles:
    row = await found(request, asked.model_id)
    at = places.Place("model", row.id, asked.artifact_directory_path.removesuffix("/"))
    entries = await files.entries(request, at)
    experiment = request.app[EXPERIMENTS].known(row.experiment_id)
    return LoggedModelFiles(
        root_uri=uri(row, experiment), files=[files.info(entry, entry.path) for entry in entries]
    )


async def search_logged_models(request: web.Request, asked: LoggedModelSearch) -> LoggedModelsFound:
    if any(not one.dataset_name for one in asked.datasets):
        raise refusals.invalid("`dataset_name` in the `datasets` clause must be specified.")
    most = limits.page(PAGE if asked.max_results is None else asked.max_results, MAX_PAGE)
    filters.check_orders(asked.order_by)
    clauses = filters.parse(asked.filter, GRAMMAR)
    rows = await request.app[keys.DB].read(store.list_models, asked.experiment_ids)
    metrics = await request.app[keys.DB].read(store.metrics_of, [row.id for row in rows])
    plain = [clause for clause in clauses if clause.key.entity != "metric"]
    measured = [clause for clause in clauses if clause.key.entity == "metric"]
    fitting = [
        row
        for row in pages.search(rows, plain, [], _value)
        if _is_measured(metrics.get(row.id, ()), measured, asked.datasets)
    ]
    for order in reversed(asked.order_by):
        fitting = _ordered(fitting, order, metrics)
    page, token = pages.cut(fitting, most, asked.page_token)
    known = request.app[EXPERIMENTS]
    return LoggedModelsFound(
        models=[
            shown(row, known.known(row.experiment_id), metrics.get(row.id, ())) for row in page
        ],
        next_page_token=token,
    )


# For the other modules


async def found(request: web.Request, model_id: str, *, deleted: bool = False) -> LoggedModelRow:
    row = await request.app[keys.DB].read(store.find_model, model_id)
    if row is None or (row.deleted_at is not None and not deleted):
        raise refusals.absent(f"Logged model with ID '{model_id}' not found.")
    return row


async def tag(request: web.Request, model_id: str, tags: Mapping[str, str]) -> None:
    async with _changing:
        row = await found(request, model_id, deleted=True)
        await _update(request, replace(row, tags={**row.tags, **tags}))


async def tell_version(request: web.Request, model_id: str, name: str, version: str) -> None:
    """Notes in a tag of a logged model that a version was made of it."""
    row = await found(request, model_id)
    told = {"name": name, "version": int(version) if version.isdigit() else version}
    known = json.loads(row.tags.get(VERSIONS_TAG, "[]"))
    if told not in known:
        await tag(request, model_id, {VERSIONS_TAG: json.dumps([*known, told])})


def uri(row: LoggedModelRow, experiment: ExperimentRow) -> str:
    return f"{experiments.location(experiment)}/models/{row.id}/artifacts"


def shown(
    row: LoggedModelRow, experiment: ExperimentRow, metrics: Sequence[ModelMetricRow]
) -> LoggedModel:
    return LoggedModel(
        info=LoggedModelInfo(
            model_id=row.id,
            experiment_id=row.experiment_id,
            name=row.name,
            creation_timestamp_ms=milliseconds(row.created_at),
            last_updated_timestamp_ms=milliseconds(row.updated_at),
            artifact_uri=uri(row, experiment),
            status=f"LOGGED_MODEL_{row.status.upper()}",
            model_type=row.model_type,
            source_run_id=row.run_id,
            tags=key_values(row.tags.items()),
        ),
        data=LoggedModelData(
            params=key_values(row.params.items()), metrics=[_metric(one) for one in metrics]
        ),
    )


# Inside


async def _whole(request: web.Request, row: LoggedModelRow) -> LoggedModel:
    metrics = await request.app[keys.DB].read(store.metrics_of, [row.id])
    experiment = request.app[EXPERIMENTS].known(row.experiment_id)
    return shown(row, experiment, metrics.get(row.id, []))


async def _update(request: web.Request, row: LoggedModelRow) -> LoggedModelRow:
    row = replace(row, updated_at=time.time())
    await request.app[keys.DB].write(store.update_model, row)
    return row


def _edges(row: LoggedModelRow) -> list[EdgeRow]:
    if not row.run_id:
        return []
    return [edge(("run", row.run_id), "logged", ("logged_model", row.id), row.created_at)]


def _metric(one: ModelMetricRow) -> Metric:
    return Metric(
        key=one.key,
        value=number(one.value),
        timestamp=milliseconds(one.logged_at),
        step=one.step,
        run_id=one.run_id,
        model_id=one.model_id,
        dataset_name=one.dataset_name,
        dataset_digest=one.dataset_digest,
    )


def _value(row: LoggedModelRow, key: Key) -> str | float | None:
    match key.entity, key.name:
        case "parameter", name:
            return row.params.get(name)
        case "tag", name:
            return row.tags.get(name)
        case _, "created":
            return milliseconds(row.created_at)
        case _, "updated":
            return milliseconds(row.updated_at)
        case _, "status":
            return row.status.upper()
        case _, "model_id":
            return row.id
        case _, "source_run_id":
            return row.run_id or None
        case _, name:
            found: str = getattr(row, name)
            return found or None


def _is_measured(
    metrics: Sequence[ModelMetricRow],
    clauses: Sequence[Clause],
    datasets: Sequence[DatasetFilter],
) -> bool:
    """Whether a model has metrics that fit, measured on one of the datasets if any are named."""
    held = [
        one for one in metrics if not datasets or any(_is_on(one, wanted) for wanted in datasets)
    ]
    if not clauses:
        return bool(held) or not datasets
    return all(
        pages.search([one for one in held if one.key == clause.key.name], [clause], [], _number)
        for clause in clauses
    )


def _number(one: ModelMetricRow, key: Key) -> float:
    return one.value


def _is_on(one: ModelMetricRow, wanted: DatasetFilter) -> bool:
    return one.dataset_name == wanted.dataset_name and wanted.dataset_digest in (
        "",
        one.dataset_digest,
    )


def _ordered(
    rows: list[LoggedModelRow], order: LoggedModelOrder, metrics: Metrics
) -> list[LoggedModelRow]:
    wanted = _order(order)

    def value(row: LoggedModelRow, key: Key) -> Any:
        if key.entity != "metric":
            return _value(row, key)
        held = [
            one
            for one in metrics.get(row.id, ())
            if one.key == key.name and (not order.dataset_name or _is_on(one, order))
        ]
        latest = max(held, key=lambda one: (one.logged_at, one.step), default=None)
        return latest.value if latest is not None else None

    return pages.search(rows, [], [wanted], value)


def _order(order: LoggedModelOrder) -> filters.Order:
    text = f"{order.field_name} {'asc' if order.ascending else 'desc'}"
    try:
        found = filters.parse_orders([text], GRAMMAR)[0]
    except refusals.Refused:
        found = None
    if found is None or found.key.entity not in ("attribute", "metric"):
        raise refusals.invalid(f"Invalid order by field name: {order.field_name}")
    return found
