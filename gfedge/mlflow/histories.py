"""Histories of metrics, as MLflow's clients and charts ask for them: page by page, for many runs, or a sample."""

from __future__ import annotations

import base64
import itertools
import math
import operator

import msgspec
from aiohttp import web

from gfedge import keys
from gfedge.mlflow import pages, refusals, runs
from gfedge.mlflow.protocol import call
from gfedge.mlflow.types import (
    BulkAsked,
    DatasetsAsked,
    DatasetsFound,
    DatasetSummary,
    HistoryAsked,
    IntervalAsked,
    Metric,
    MetricsFound,
)
from gfedge.tracking import datasets, series
from gfedge.tracking.types import Number, number
from gfedge.wire import Route

MAX_BULK, MAX_RUNS, MAX_SAMPLE, MAX_EXPERIMENTS = 25_000, 100, 2500, 20


def routes() -> list[Route]:
    at = "metrics"
    return [
        call("GET", f"{at}/get-history", get_history, HistoryAsked, MetricsFound, "MLflow: all points of a metric, or a page of them"),
        call("GET", f"{at}/get-history-bulk", get_history_bulk, BulkAsked, MetricsFound, "MLflow: points of a metric of many runs"),
        call("GET", f"{at}/get-history-bulk-interval", get_history_interval, IntervalAsked, MetricsFound, "MLflow: a sample of a metric's points for each run"),
        call("POST", "experiments/search-datasets", search_datasets, DatasetsAsked, DatasetsFound, "MLflow: datasets that runs of experiments read", scope="read"),
    ]  # fmt: skip


async def get_history(request: web.Request, asked: HistoryAsked) -> MetricsFound:
    run_id, most = asked.run_id, asked.max_results
    if most is not None and most <= 0:
        raise refusals.invalid(
            f"Invalid value {most} for parameter 'max_results' supplied. It must be a positive integer."
        )
    last, limit = _position(asked.page_token), None if most is None else most + 1
    found = await request.app[keys.DB].read(series.after, run_id, asked.metric_key, last, limit)
    if not found:
        await runs.of_id(request, run_id)
    more = most is not None and len(found) > most
    found = found[:most]
    return MetricsFound(
        metrics=_points(asked.metric_key, found), next_page_token=_token(found[-1]) if more else ""
    )


async def get_history_bulk(request: web.Request, asked: BulkAsked) -> MetricsFound:
    if not asked.run_id:
        raise refusals.invalid("GetMetricHistoryBulk request must specify at least one run_id.")
    if len(asked.run_id) > MAX_RUNS:
        raise refusals.invalid(
            f"GetMetricHistoryBulk request cannot specify more than {MAX_RUNS} run_ids. Received "
            f"{len(asked.run_id)} run_ids."
        )
    if asked.metric_key is None:
        raise refusals.invalid("GetMetricHistoryBulk request must specify a metric_key.")
    most = max(0, min(asked.max_results, MAX_BULK))
    found = await request.app[keys.DB].read(series.by_time, asked.run_id, asked.metric_key, most)
    return MetricsFound(metrics=_of_runs(asked.metric_key, found))


async def get_history_interval(request: web.Request, asked: IntervalAsked) -> MetricsFound:
    if len(asked.run_ids) > MAX_RUNS:
        raise refusals.invalid(
            f"GetMetricHistoryBulkInterval request must specify at most {MAX_RUNS} run_ids. Received "
            f"{len(asked.run_ids)} run_ids."
        )
    if not 1 <= asked.max_results <= MAX_SAMPLE:
        raise refusals.invalid(f"max_results must be between 1 and {MAX_SAMPLE}.")
    start, end = asked.start_step, asked.end_step
    if (start is None) != (end is None):
        raise refusals.invalid(
            "If either start step or end step are specified, both must be specified."
        )
    if start is not None and end is not None and start > end:
        raise refusals.invalid(
            f"end_step must be greater than start_step. Found start_step={start} and end_step={end}."
        )
    for run_id in asked.run_ids:
        await runs.of_id(request, run_id)
    steps = (-(1 << 63) if start is None else start, (1 << 63) - 1 if end is None else end)
    found: list[Metric] = []
    for run_id in asked.run_ids:
        points = await request.app[keys.DB].read(
            series.sampled, run_id, asked.metric_key, asked.max_results, steps
        )
        found += _of_runs(asked.metric_key, points)
    return MetricsFound(metrics=found)


async def search_datasets(request: web.Request, asked: DatasetsAsked) -> DatasetsFound:
    asked_for = "SearchDatasets request"
    if not asked.experiment_ids:
        raise refusals.invalid(f"{asked_for} must specify at least one experiment_id.")
    if len(asked.experiment_ids) > MAX_EXPERIMENTS:
        raise refusals.invalid(
            f"{asked_for} cannot specify more than {MAX_EXPERIMENTS} experiment_ids. Received "
            f"{len(asked.experiment_ids)} experiment_ids."
        )
    found = await request.app[keys.DB].read(datasets.read_in, asked.experiment_ids)
    return DatasetsFound(
        dataset_summaries=[
            DatasetSummary(experiment_id=experiment, name=name, digest=digest, context=context)
            for experiment, name, digest, context in found
        ]
    )


class _Position(msgspec.Struct):
    """The point that a page ends with."""

    step: int
    at: float
    value: Number


def _token(last: series.Point) -> str:
    step, at, value = last
    text = msgspec.json.encode(_Position(step, at, number(value)))
    return base64.b64encode(text).decode()


def _position(token: str | None) -> series.Point | None:
    """Where a page begins; Refused where the token is none of ours."""
    if not token:
        return None
    try:
        found = msgspec.json.decode(base64.b64decode(token, validate=True), type=_Position)
    except (ValueError, msgspec.MsgspecError):
        raise pages.no_token(token) from None
    return found.step, found.at, float(found.value)


def _points(key: str, found: list[series.Point], run_id: str = "") -> list[Metric]:
    return [
        Metric(
            key=key,
            value=value if math.isfinite(value) else number(value),
            timestamp=round(at * 1000),
            step=step,
            run_id=run_id,
        )
        for step, at, value in found
    ]


def _of_runs(key: str, found: list[series.RunPoint]) -> list[Metric]:
    by_run = itertools.groupby(found, operator.itemgetter(0))
    return [
        one
        for run_id, rows in by_run
        for one in _points(key, [(step, at, value) for _, step, at, value in rows], run_id)
    ]
