"""Experiments and runs over HTTP."""

from __future__ import annotations

import msgspec
from aiohttp import web

from gfedge import errors, keys
from gfedge.tracking import store
from gfedge.tracking.experiments import Experiments as ExperimentIndex
from gfedge.tracking.types import (
    Experiment,
    ExperimentCreate,
    ExperimentQuery,
    Experiments,
    ListQuery,
    Run,
    Runs,
)
from gfedge.wire import Route

EXPERIMENTS = web.AppKey("experiments", ExperimentIndex)


def routes() -> list[Route]:
    at = "/ml-platform"
    return [
        Route(
            method="GET",
            path=f"{at}/experiments",
            handler=list_experiments,
            summary="Experiments, newest first, with their run counts",
            query=ExperimentQuery,
            reply=Experiments,
        ),
        Route(
            method="POST",
            path=f"{at}/experiments",
            handler=create_experiment,
            summary="Make an experiment",
            body=ExperimentCreate,
            reply=Experiment,
            status=201,
        ),
        Route(
            method="GET",
            path=f"{at}/experiments/{{id}}",
            handler=get_experiment,
            summary="One experiment",
            reply=Experiment,
        ),
        Route(
            method="GET",
            path=f"{at}/experiments/{{id}}/runs",
            handler=list_runs,
            summary="Runs of an experiment, newest first",
            query=ListQuery,
            reply=Runs,
        ),
        Route(
            method="GET",
            path=f"{at}/runs/{{id}}",
            handler=get_run,
            summary="One run with its params and metrics",
            reply=Run,
        ),
    ]


async def list_experiments(request: web.Request, query: ExperimentQuery) -> Experiments:
    found = await request.app[keys.DB].read(store.list_experiments, query)
    page = found[: query.limit]
    return Experiments(experiments=page, next=page[-1].id if len(found) > len(page) else None)


async def create_experiment(request: web.Request, body: ExperimentCreate) -> Experiment:
    row = await request.app[EXPERIMENTS].create(body)
    return Experiment(**msgspec.structs.asdict(row))


async def get_experiment(request: web.Request) -> Experiment:
    row = _known(request)
    found = await request.app[keys.DB].read(store.find_experiment, row)
    assert found is not None
    return found


async def list_runs(request: web.Request, query: ListQuery) -> Runs:
    found = await request.app[keys.DB].read(store.list_runs, _known(request), query)
    page = found[: query.limit]
    return Runs(runs=page, next=page[-1].id if len(found) > len(page) else None)


async def get_run(request: web.Request) -> Run:
    run_id = request.match_info["id"]
    if (found := await request.app[keys.DB].read(store.find_run, run_id)) is None:
        raise errors.NotFound(f"no run {run_id!r} has ended here", code="run_not_found")
    return found


def _known(request: web.Request) -> str:
    """The id of the experiment that the path names, by id or by name."""
    reference = request.match_info["id"]
    if (row := request.app[EXPERIMENTS].resolve(reference)) is None:
        raise errors.NotFound(f"no experiment {reference!r} is here", code="experiment_not_found")
    return row.id
