"""Experiments and runs over HTTP."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from aiohttp import web

from gfedge import errors, keys, sockets
from gfedge.tracking import compare, feed, query, series
from gfedge.tracking.experiments import Activity
from gfedge.tracking.experiments import Experiments as ExperimentIndex
from gfedge.tracking.filter import Comparison, Key, Query, parse
from gfedge.tracking.index import RunIndex
from gfedge.tracking.runs import Runs as LiveRuns
from gfedge.tracking.summaries import Summary
from gfedge.tracking.types import (
    CompareQuery,
    Experiment,
    ExperimentCreate,
    ExperimentPatch,
    ExperimentQuery,
    ExperimentRow,
    Experiments,
    History,
    HistoryQuery,
    ListQuery,
    LogBatch,
    Logged,
    Run,
    RunComparison,
    RunCreate,
    RunPatch,
    RunQuery,
    Runs,
    RunTexts,
    shown,
)
from gfedge.wire import Route

EXPERIMENTS = web.AppKey("experiments", ExperimentIndex)
INDEX = web.AppKey("run_index", RunIndex)
RUNS = web.AppKey("runs", LiveRuns)
FEED = web.AppKey("feed", feed.Feed)
MAX_COMPARED = 50
EXPERIMENT_GONE = {404: ("experiment_not_found",)}
RUN_GONE = {404: ("run_not_found",)}
FILTER = (
    "Comparisons of `metrics.KEY`, `params.KEY`, `tags.KEY` and attributes (`status`, `name`, `created_at`, …) with "
    "`= != < <= > >= like ilike in` and `is null`, joined by `and`, `or`, `not`; then `order by` and `desc`:\n\n"
    "`metrics.loss < 0.1 and params.lr = '0.001' order by metrics.loss`"
)


def routes() -> list[Route]:
    live = Route(
        method="GET",
        path="/ml-platform/ws/experiments",
        handler=watch_experiments,
        summary="Experiments and runs as they go on, live",
        messages=feed.MESSAGES,
    )
    return [*_of_experiments("/ml-platform/experiments"), *_of_runs("/ml-platform/runs"), live]


def _of_experiments(at: str) -> list[Route]:
    one = f"{at}/{{id}}"
    return [
        Route(
            method="GET",
            path=at,
            handler=list_experiments,
            fails={422: ("bad_cursor",)},
            summary="Experiments with their run counts and best values",
            query=ExperimentQuery,
            reply=Experiments,
        ),
        Route(
            method="POST",
            path=at,
            handler=create_experiment,
            fails={409: ("experiment_exists", "experiment_deleted"), 422: ("name_reserved",)},
            example={"name": "dragon eyes", "headline": {"metric": "loss", "goal": "min"}},
            summary="Make an experiment",
            body=ExperimentCreate,
            reply=Experiment,
            status=201,
        ),
        Route(
            method="GET",
            path=one,
            handler=get_experiment,
            fails=EXPERIMENT_GONE,
            summary="One experiment, by id or by name",
            reply=Experiment,
        ),
        Route(
            method="PATCH",
            path=one,
            handler=change_experiment,
            fails={
                **EXPERIMENT_GONE,
                409: ("experiment_exists", "experiment_deleted", "experiment_needed"),
                422: ("name_reserved",),
            },
            summary="Change an experiment's name, description, tags or headline metric",
            body=ExperimentPatch,
            reply=Experiment,
        ),
        Route(
            method="DELETE",
            path=one,
            handler=delete_experiment,
            fails={**EXPERIMENT_GONE, 409: ("experiment_needed",)},
            summary="Hide an experiment and its runs; its name stays taken",
            reply=Experiment,
        ),
        Route(
            method="POST",
            path=f"{one}/restore",
            handler=restore_experiment,
            fails=EXPERIMENT_GONE,
            summary="Bring a deleted experiment back, with its runs",
            reply=Experiment,
        ),
        Route(
            method="GET",
            path=f"{one}/runs",
            handler=list_runs,
            fails=EXPERIMENT_GONE,
            summary="Runs of an experiment, newest first",
            query=ListQuery,
            reply=Runs,
        ),
        Route(
            method="POST",
            path=f"{one}/runs",
            handler=create_run,
            fails={**EXPERIMENT_GONE, 409: ("experiment_deleted",), 422: ("parent_not_found",)},
            summary="Begin a run",
            body=RunCreate,
            reply=Run,
            status=201,
        ),
    ]


def _of_runs(at: str) -> list[Route]:
    one = f"{at}/{{id}}"
    return [
        Route(
            method="GET",
            path=at,
            handler=search_runs,
            about=FILTER,
            fails={**EXPERIMENT_GONE, 422: ("bad_filter", "bad_cursor")},
            summary="Runs of all experiments, by a filter over params, metrics, tags and attributes",
            query=RunQuery,
            reply=Runs,
        ),
        Route(
            method="GET",
            path=f"{at}/compare",
            handler=compare_runs,
            fails=RUN_GONE,
            summary="Runs side by side",
            query=CompareQuery,
            reply=RunComparison,
        ),
        Route(
            method="GET",
            path=one,
            handler=get_run,
            fails=RUN_GONE,
            summary="One run with its params, tags and latest metrics",
            reply=Run,
        ),
        Route(
            method="PATCH",
            path=one,
            handler=change_run,
            fails={**RUN_GONE, 409: ("run_deleted",)},
            summary="End a run, or change its name or tags",
            body=RunPatch,
            reply=Run,
        ),
        Route(
            method="DELETE",
            path=one,
            handler=delete_run,
            fails=RUN_GONE,
            summary="Hide a run",
            reply=Run,
        ),
        Route(
            method="POST",
            path=f"{one}/restore",
            handler=restore_run,
            fails=RUN_GONE,
            summary="Bring a deleted run back",
            reply=Run,
        ),
        Route(
            method="POST",
            path=f"{one}/log",
            handler=log_batch,
            fails={**RUN_GONE, 409: ("run_deleted", "param_exists"), 422: ("too_many_keys",)},
            summary="Record points of metrics, params and tags of a run, all or nothing",
            body=LogBatch,
            reply=Logged,
        ),
        Route(
            method="GET",
            path=f"{one}/children",
            handler=list_children,
            fails=RUN_GONE,
            summary="The runs that are part of a run, newest first",
            query=ListQuery,
            reply=Runs,
        ),
        Route(
            method="GET",
            path=f"{one}/metrics/{{key}}",
            tail=True,
            handler=get_history,
            fails={404: ("run_not_found", "metric_not_found"), 422: ("bad_cursor",)},
            summary="The history of a metric: pages, or a picture of at most so many points",
            query=HistoryQuery,
            reply=History,
        ),
    ]


# Experiments


async def list_experiments(request: web.Request, query: ExperimentQuery) -> Experiments:
    known = request.app[EXPERIMENTS]
    activity: Activity = {}
    if query.order.lstrip("-") in ("activity", "runs"):
        rows = known.select(ExperimentQuery(view="all"), {})
        pairs = zip(rows, await _summaries(request, rows), strict=True)
        activity = {row.id: (of.runs, of.last_at) for row, of in pairs}
    found = known.select(query, activity)
    page = await _described(request, found[: query.limit])
    return Experiments(experiments=page, next=page[-1].id if len(found) > len(page) else None)


async def watch_experiments(request: web.Request) -> web.StreamResponse:
    return await sockets.stream(request, "experiments")


async def create_experiment(request: web.Request, body: ExperimentCreate) -> Experiment:
    row = await request.app[EXPERIMENTS].create(body)
    return Experiment(**_values(row))


async def get_experiment(request: web.Request) -> Experiment:
    return (await _described(request, [_known(request)]))[0]


async def change_experiment(request: web.Request, body: ExperimentPatch) -> Experiment:
    row = await request.app[EXPERIMENTS].change(_known(request).id, body)
    return (await _described(request, [row]))[0]


async def delete_experiment(request: web.Request) -> Experiment:
    row = await request.app[EXPERIMENTS].delete(_known(request).id)
    return (await _described(request, [row]))[0]


async def restore_experiment(request: web.Request) -> Experiment:
    row = await request.app[EXPERIMENTS].restore(_known(request).id)
    return (await _described(request, [row]))[0]


# Runs


async def list_runs(request: web.Request, query: ListQuery) -> RunTexts:
    return await _plain(request, query, Query(), _known(request).id)


async def list_children(request: web.Request, query: ListQuery) -> RunTexts:
    parent = await request.app[RUNS].find(request.match_info["id"])
    mine = Comparison(Key("attributes", "parent_id"), "=", parent.id)
    return await _plain(request, query, Query(mine), None)


async def create_run(request: web.Request, body: RunCreate) -> Run:
    experiment = request.app[EXPERIMENTS].writable(request.match_info["id"])
    return shown(await request.app[RUNS].create(experiment, body, time.time()))


async def search_runs(request: web.Request, query: RunQuery) -> RunTexts:
    known = request.app[EXPERIMENTS]
    wanted = parse(query.filter)
    names = [name.strip() for name in query.experiment.split(",") if name.strip()]
    experiments = [known.known(name).id for name in names] if names else None
    return await _search(request, query, wanted, experiments, known.deleted())


async def compare_runs(request: web.Request, query: CompareQuery) -> RunComparison:
    ids = list(dict.fromkeys(name.strip() for name in query.ids.split(",") if name.strip()))
    if not 1 <= len(ids) <= MAX_COMPARED:
        raise errors.Invalid(
            f"query parameter ids: 1 to {MAX_COMPARED} runs can be compared", field="ids"
        )
    runs = [await request.app[RUNS].find(run_id) for run_id in ids]
    return compare.side_by_side(runs)


async def get_run(request: web.Request) -> Run:
    return await request.app[RUNS].find(request.match_info["id"])


async def change_run(request: web.Request, body: RunPatch) -> Run:
    run_id = request.match_info["id"]
    return shown(await request.app[RUNS].change(run_id, body, time.time()))


async def delete_run(request: web.Request) -> Run:
    return shown(await request.app[RUNS].delete(request.match_info["id"], time.time()))


async def restore_run(request: web.Request) -> Run:
    return shown(await request.app[RUNS].restore(request.match_info["id"]))


async def log_batch(request: web.Request, body: LogBatch) -> Logged:
    return await request.app[RUNS].log(request.match_info["id"], body, time.time())


async def get_history(request: web.Request, query: HistoryQuery) -> History:
    run_id, key = request.match_info["id"], request.match_info["key"]
    found = await request.app[keys.DB].read(series.read, run_id, key, query)
    if not found.total:
        run = await request.app[RUNS].find(run_id)
        if key not in run.reported:
            raise errors.NotFound(f"run {run_id} has no metric {key!r}", code="metric_not_found")
    return found


# Inside


def _known(request: web.Request) -> ExperimentRow:
    """The experiment that the path names, by id or by name; a deleted one too."""
    return request.app[EXPERIMENTS].known(request.match_info["id"])


def _values(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__struct_fields__}


async def _summaries(request: web.Request, rows: list[ExperimentRow]) -> list[Summary]:
    """What the runs of experiments come to, with the reports of runs that go on."""
    found = await request.app[INDEX].summaries(rows)
    reports = request.app[RUNS].last_reports()
    return [
        one
        if (at := reports.get(row.id)) is None or one.last_at is None
        else msgspec.structs.replace(one, last_at=max(at, one.last_at))
        for one, row in zip(found, rows, strict=True)
    ]


async def _described(request: web.Request, rows: list[ExperimentRow]) -> list[Experiment]:
    """Experiments with what their runs say of them."""
    found = await _summaries(request, rows)
    return [
        Experiment(**_values(row), run_count=of.runs, last_activity_at=of.last_at, best=of.best)
        for row, of in zip(rows, found, strict=True)
    ]


async def _plain(
    request: web.Request, page: ListQuery, wanted: Query, experiment: str | None
) -> RunTexts:
    """A listing newest first, whose cursor is the id of a run."""
    after = query.Position(digest="", id=page.cursor) if page.cursor else None
    scope = query.Scope(
        experiments=[experiment] if experiment is not None else None, limit=page.limit, after=after
    )
    found, end = await request.app[INDEX].search(wanted, scope, "")
    found.next = end.id if end else None
    return found


async def _search(
    request: web.Request,
    asked: RunQuery,
    wanted: Query,
    experiments: list[str] | None,
    hidden: list[str],
) -> RunTexts:
    scope = query.Scope(
        experiments=experiments,
        hidden=hidden,
        view=asked.view,
        limit=asked.limit,
        after=query.position(asked),
    )
    found, end = await request.app[INDEX].search(wanted, scope, query.digest(asked))
    found.next = query.cursor_text(end) if end else None
    return found
