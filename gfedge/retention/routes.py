"""Collections over HTTP."""

from __future__ import annotations

from aiohttp import web

from gfedge import auth, keys
from gfedge.retention import store
from gfedge.retention.collector import Collector
from gfedge.retention.types import CollectionRequest, Collections, Policy, Report
from gfedge.wire import Route

COLLECTOR = web.AppKey("collector", Collector)


def routes() -> list[Route]:
    at = "/ml-platform/gc"
    return [
        Route(
            method="POST",
            path=at,
            handler=collect,
            summary="Remove what the retention policy lets go and nothing needs; with `dry_run` (the default) only tell",
            body=CollectionRequest,
            reply=Report,
            scope="admin",
        ),
        Route(
            method="GET",
            path=at,
            handler=list_collections,
            summary="The last hundred collections and what they removed, newest first",
            reply=Collections,
        ),
    ]


async def collect(request: web.Request, body: CollectionRequest) -> Report:
    policy = Policy.of(request.app[keys.SETTINGS], body)
    by = auth.who(request).name
    return await request.app[COLLECTOR].collect(policy, dry_run=body.dry_run, by=by)


async def list_collections(request: web.Request) -> Collections:
    return Collections(collections=await request.app[keys.DB].read(store.list_collections))
