"""Histories of metrics, as MLflow's clients and charts ask for them: page by page, for many runs, or a sample."""

from __future__ import annotations

from aiohttp import web

from gfedge import keys
from gfedge.mlflow import pages, refusals, runs
from gfedge.mlflow.experiments import milliseconds
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
from gfedge.tracking.types import number
from gfedge.wire import Route

MAX_BULK, MAX_RUNS, MAX_SAMPLE = 25_000, 100, 2500


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
    begin = pages.offset(asked.page_token)
    limit = 1 << 62 if most is None else most + 1
    found = await request.app[keys.DB].read(
        series.by_time, [run_id], asked.metric_key, limit, begin
    )
    if not found:
        await runs.of_id(request, run_id)
    more = most is not None and len(found) > most
    return MetricsFound(
        metrics=_metrics(asked.metric_key, found[:most] if more else found, named=False),
        next_page_token=pages.token(begin + (most or 0)) if more else "",
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
    found = await request.app[keys.DB].read(series.by_time, asked.run_id, asked.metric_key, most, 0)
    return MetricsFound(metrics=_metrics(asked.metric_key, found))


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
        found += _metrics(asked.metric_key, points)
    return MetricsFound(metrics=found)


async def search_datasets(request: web.Request, asked: DatasetsAsked) -> DatasetsFound:
    found = await request.app[keys.DB].read(datasets.read_in, asked.experiment_ids)
    return DatasetsFound(
        dataset_summaries=[
            DatasetSummary(experiment_id=experiment, name=name, digest=digest, context=context)
            for experiment, name, digest, context in found
        ]
    )


def _metrics(key: str, found: list[series.RunPoint], *, named: bool = True) -> list[Metric]:
    return [
        Metric(
            key=key,
            value=number(value),
            timestamp=milliseconds(at),
            step=step,
            run_id=run_id if named else "",
        )
        for run_id, step, at, value in found
    ]
