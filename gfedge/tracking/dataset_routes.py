"""Datasets over HTTP, and which runs read them."""

from __future__ import annotations

import time

from aiohttp import web

from gfedge import errors, keys
from gfedge.tracking import datasets, inputs
from gfedge.tracking.dataset_types import (
    Dataset,
    DatasetCreate,
    DatasetQuery,
    Datasets,
    InputsCreate,
)
from gfedge.tracking.filter import Comparison, Key, Query
from gfedge.tracking.query import Position, Scope
from gfedge.tracking.routes import INDEX, RUNS
from gfedge.tracking.types import ListQuery, Run, Runs, RunTexts, shown
from gfedge.wire import Route, reply


def routes() -> list[Route]:
    at = "/ml-platform/datasets"
    return [
        Route(
            method="GET",
            path=at,
            handler=list_datasets,
            summary="Datasets, newest first",
            query=DatasetQuery,
            reply=Datasets,
        ),
        Route(
            method="POST",
            path=at,
            handler=put_dataset,
            also=(200,),
            summary="Make a dataset known; 200 where its name and digest are known already",
            body=DatasetCreate,
            reply=Dataset,
            status=201,
        ),
        Route(
            method="GET",
            path=f"{at}/{{id}}",
            handler=get_dataset,
            fails={404: ("dataset_not_found",)},
            summary="One dataset",
            reply=Dataset,
        ),
        Route(
            method="GET",
            path=f"{at}/{{id}}/runs",
            handler=list_readers,
            fails={404: ("dataset_not_found",)},
            summary="The runs that read a dataset, newest first",
            query=ListQuery,
            reply=Runs,
        ),
        Route(
            method="POST",
            path="/ml-platform/runs/{id}/inputs",
            handler=link,
            fails={404: ("run_not_found", "dataset_not_found"), 409: ("run_deleted",)},
            summary="Record which datasets a run reads",
            body=InputsCreate,
            reply=Run,
        ),
    ]


async def list_datasets(request: web.Request, query: DatasetQuery) -> Datasets:
    found = await request.app[keys.DB].read(datasets.list_datasets, query)
    page = found[: query.limit]
    return Datasets(datasets=page, next=page[-1].id if len(found) > len(page) else None)


async def put_dataset(request: web.Request, body: DatasetCreate) -> web.Response:
    db = request.app[keys.DB]
    dataset_id, new = await db.write(datasets.put_dataset, body, time.time())
    found = await db.read(datasets.find_dataset, dataset_id)
    headers = {"Location": f"/api/v1/ml-platform/datasets/{dataset_id}"}
    return reply(found, 201 if new else 200, headers)


async def get_dataset(request: web.Request) -> Dataset:
    dataset_id = request.match_info["id"]
    found = await request.app[keys.DB].read(datasets.find_dataset, dataset_id)
    if found is None:
        raise errors.NotFound(f"no dataset {dataset_id!r} is here", code="dataset_not_found")
    return found


async def list_readers(request: web.Request, query: ListQuery) -> RunTexts:
    dataset = await get_dataset(request)
    mine = Query(Comparison(Key("datasets", "id"), "=", dataset.id))
    after = Position(digest="", id=query.cursor) if query.cursor else None
    found, end = await request.app[INDEX].search(mine, Scope(limit=query.limit, after=after), "")
    found.next = end.id if end else None
    return found


async def link(request: web.Request, body: InputsCreate) -> Run:
    db, runs = request.app[keys.DB], request.app[RUNS]
    return shown(await inputs.link(db, runs, request.match_info["id"], body.datasets))
