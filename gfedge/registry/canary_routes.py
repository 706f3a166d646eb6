"""Canaries and shadows over HTTP."""

from __future__ import annotations

from aiohttp import web

from gfedge.registry.canary import Shares
from gfedge.registry.promotion_routes import model_name
from gfedge.registry.routes import MODELS, author
from gfedge.registry.traffic_types import CanaryBody, ShadowBody, StopQuery, Traffic
from gfedge.wire import Route

SHARES = web.AppKey("shares", Shares)

NOT_BESIDE = {
    404: ("model_not_found",),
    409: ("wrong_stage", "nothing_in_prod", "load_failed", "files_missing"),
}


def routes() -> list[Route]:
    canary, shadow = f"{MODELS}/{{name}}/canary", f"{MODELS}/{{name}}/shadow"
    return [
        Route(
            method="GET",
            path=canary,
            handler=get_traffic,
            fails={404: ("model_not_found",)},
            summary="How a model's traffic is shared, and what its versions showed",
            reply=Traffic,
        ),
        Route(
            method="POST",
            path=canary,
            handler=start_canary,
            fails=NOT_BESIDE,
            summary="Give a staging version a share of the jobs that name the model alone",
            body=CanaryBody,
            reply=Traffic,
        ),
        Route(
            method="DELETE",
            path=canary,
            handler=stop_canary,
            fails={404: ("model_not_found", "no_canary")},
            summary="Take the canary's share from it",
            query=StopQuery,
            reply=Traffic,
        ),
        Route(
            method="POST",
            path=shadow,
            handler=start_shadow,
            fails=NOT_BESIDE,
            summary="Run a version beside the one in prod: its results are compared, not returned",
            body=ShadowBody,
            reply=Traffic,
        ),
        Route(
            method="DELETE",
            path=shadow,
            handler=stop_shadow,
            fails={404: ("model_not_found", "no_shadow")},
            summary="End the shadow",
            query=StopQuery,
            reply=Traffic,
        ),
    ]


async def get_traffic(request: web.Request) -> Traffic:
    return await request.app[SHARES].report(await model_name(request))


async def start_canary(request: web.Request, body: CanaryBody) -> Traffic:
    name, shares = await model_name(request), request.app[SHARES]
    by = author(request, body.by)
    await shares.start_canary(name, body.version, body.percent, by, body.reason)
    return await shares.report(name)


async def stop_canary(request: web.Request, query: StopQuery) -> Traffic:
    name, shares = await model_name(request), request.app[SHARES]
    await shares.stop_canary(name, author(request, query.by), query.reason)
    return await shares.report(name)


async def start_shadow(request: web.Request, body: ShadowBody) -> Traffic:
    name, shares = await model_name(request), request.app[SHARES]
    await shares.start_shadow(name, body.version, author(request, body.by), body.reason)
    return await shares.report(name)


async def stop_shadow(request: web.Request, query: StopQuery) -> Traffic:
    name, shares = await model_name(request), request.app[SHARES]
    await shares.stop_shadow(name, author(request, query.by), query.reason)
    return await shares.report(name)
