"""Logged models over HTTP: what runs logged, registered or not, with their latest metrics."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from gfedge import errors, keys
from gfedge.tracking import logged_models as store
from gfedge.tracking.logged_models import LoggedModelRow, ModelMetricRow
from gfedge.tracking.routes import EXPERIMENTS
from gfedge.tracking.types import Number, number
from gfedge.wire import Route


class ModelMetric(msgspec.Struct, kw_only=True, frozen=True):
    """The latest value of a metric of a model, of one run on one dataset."""

    key: str
    value: Number
    step: int
    logged_at: float
    run_id: str
    dataset_name: str
    dataset_digest: str


class LoggedModel(LoggedModelRow, kw_only=True, frozen=True):
    """A model as a run logged it; its files are MLflow's `models:/ID`."""

    metrics: list[ModelMetric]


class LoggedModels(msgspec.Struct, kw_only=True):
    logged_models: list[LoggedModel]


class LoggedModelQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Those of an experiment, newest first."""

    experiment: Annotated[str, Meta(min_length=1, max_length=500, description="Its id or name.")]


def routes() -> list[Route]:
    at = "/ml-platform/logged-models"
    return [
        Route(
            method="GET",
            path=at,
            handler=list_logged_models,
            fails={404: ("experiment_not_found",)},
            summary="Models that runs of an experiment logged",
            query=LoggedModelQuery,
            reply=LoggedModels,
        ),
        Route(
            method="GET",
            path=f"{at}/{{id}}",
            handler=get_logged_model,
            fails={404: ("logged_model_not_found",)},
            summary="One logged model with its params, tags and metrics",
            reply=LoggedModel,
        ),
    ]


async def list_logged_models(request: web.Request, query: LoggedModelQuery) -> LoggedModels:
    experiment = request.app[EXPERIMENTS].known(query.experiment)
    rows = await request.app[keys.DB].read(store.list_models, [experiment.id])
    return LoggedModels(logged_models=await _with_metrics(request, rows))


async def get_logged_model(request: web.Request) -> LoggedModel:
    model_id = request.match_info["id"]
    row = await request.app[keys.DB].read(store.find_model, model_id)
    if row is None:
        raise errors.NotFound(
            f"no logged model {model_id!r} is here", code="logged_model_not_found"
        )
    return (await _with_metrics(request, [row]))[0]


async def _with_metrics(request: web.Request, rows: list[LoggedModelRow]) -> list[LoggedModel]:
    metrics = await request.app[keys.DB].read(store.metrics_of, [row.id for row in rows])
    return [
        LoggedModel(
            **msgspec.structs.asdict(row), metrics=[_shown(one) for one in metrics.get(row.id, [])]
        )
        for row in rows
    ]


def _shown(one: ModelMetricRow) -> ModelMetric:
    return ModelMetric(
        key=one.key,
        value=number(one.value),
        step=one.step,
        logged_at=one.logged_at,
        run_id=one.run_id,
        dataset_name=one.dataset_name,
        dataset_digest=one.dataset_digest,
    )
