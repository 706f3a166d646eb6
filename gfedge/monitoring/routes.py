"""Monitoring over HTTP: health, status, values and their stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta
from prometheus_client import REGISTRY

from gfedge import auth, errors, keys, outbound, sockets, wire
from gfedge.db import Database
from gfedge.monitoring import board_routes, health, held, ranges, vitals
from gfedge.monitoring.compat import Compat
from gfedge.monitoring.exposition import OPEN_METRICS, exposition
from gfedge.monitoring.external import External
from gfedge.monitoring.gpus import Gpus
from gfedge.monitoring.grafana import Grafana
from gfedge.monitoring.history import History
from gfedge.monitoring.host import Host
from gfedge.monitoring.live import MESSAGES, MOST_TOPICS, LiveMetrics
from gfedge.monitoring.moments import moment
from gfedge.monitoring.queries import QUERIES, Queries
from gfedge.monitoring.ranges import PromAnswer, PromQuery
from gfedge.monitoring.serving import Serving, read
from gfedge.monitoring.status import Overview
from gfedge.monitoring.storage import HistoryStorage
from gfedge.monitoring.types import Alive, DashboardData, Readiness, Status, Value
from gfedge.outbound import Outbound
from gfedge.settings import Settings
from gfedge.wire import Route

SERVING = web.AppKey("serving", Serving)
GPUS = web.AppKey("gpus", Gpus)
HISTORY = web.AppKey("history", History)
STORAGE = web.AppKey("storage", HistoryStorage)
EXTERNAL = web.AppKey("external", External)
LIVE = web.AppKey("live metrics", LiveMetrics)
OVERVIEW = web.AppKey("overview", Overview)
PROXY_SECONDS = 15.0
GRAFANA_SECONDS = 3.0
BAD_QUERY = ("bad_query", "bad_time")
EXTERNAL_FAILS = {503: ("target_failed", "query_timeout"), 504: ("target_timeout",)}


class InstantQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which values."""

    names: Annotated[
        str,
        Meta(
            max_length=4096,
            description="Names of vital values or of metrics, with commas; none and no query: all vital values.",
            examples=["cpu_ratio,jobs_queued"],
        ),
    ] = ""
    query: Annotated[str, Meta(max_length=16_384, description="A PromQL expression.")] = ""
    time: Annotated[str, Meta(max_length=64, description="Now, where it is not said.")] = ""
    source: ranges.Source = "internal"


class Instant(msgspec.Struct, kw_only=True, frozen=True):
    """Values at one time."""

    at: float
    values: list[Value]


def routes() -> list[Route]:
    return [
        Route(
            method="GET",
            path="/metrics",
            handler=scrape,
            summary="All metrics, for Prometheus: as text or OpenMetrics by Accept, gzip",
            produces=("text/plain", OPEN_METRICS),
            rooted=True,
            scope="metrics",
        ),
        Route(
            method="GET",
            path="/monitoring/health",
            handler=alive,
            summary="The process answers; nothing else is looked at",
            reply=Alive,
            scope="open",
        ),
        Route(
            method="GET",
            path="/monitoring/health/ready",
            handler=ready,
            summary="Whether jobs can be run: models, provider, database, disk, GPU, with reasons",
            reply=Readiness,
            scope="open",
        ),
        Route(
            method="GET",
            path="/monitoring/status",
            handler=status,
            summary="Versions, provider, GPUs, models in memory, queue, storage, history, rates",
            reply=Status,
        ),
        Route(
            method="GET",
            path="/monitoring/dashboard-data",
            handler=dashboard_data,
            summary="All that a first screen shows, in one answer",
            reply=DashboardData,
        ),
        Route(
            method="GET",
            path="/monitoring/metrics/instant",
            handler=instant,
            summary="Values now: by name, or of a PromQL expression, with their units",
            query=InstantQuery,
            reply=Instant,
            fails={409: ("no_external_prometheus",), 422: BAD_QUERY, **EXTERNAL_FAILS},
        ),
        Route(
            method="GET",
            path="/monitoring/metrics/prometheus",
            handler=prometheus,
            summary="PromQL at one time or over a range, as Prometheus answers it",
            query=PromQuery,
            reply=PromAnswer,
            fails={
                409: ("no_external_prometheus",),
                422: (*BAD_QUERY, "bad_duration", "too_many_points"),
                **EXTERNAL_FAILS,
            },
        ),
        Route(
            method="GET",
            path="/monitoring/ws/metrics",
            handler=watch_metrics,
            summary="Metrics as they change, live",
            about=(
                "Without a message: the vital values at once and after every sampling (`values`). Topics are "
                f"`metric:NAME` or `metric:EXPRESSION` (PromQL), {MOST_TOPICS} at most: each is a `value` of its own."
            ),
            messages=MESSAGES,
        ),
        *board_routes.routes(),
    ]


@asynccontextmanager
async def opened(
    app: web.Application, settings: Settings, db: Database, serving: Serving
) -> AsyncIterator[None]:
    """The clock, which `begin` starts, what it reads and what it sampled, until the end of the server."""
    app[SERVING] = serving
    gpus = app[GPUS] = Gpus(settings.metrics_interval)
    history = app[HISTORY] = History(settings, db, REGISTRY)
    storage = app[STORAGE] = HistoryStorage(history)
    queries = app[QUERIES] = Queries(storage)
    app[LIVE] = LiveMetrics(history, queries, app[keys.EVENTS])
    app[OVERVIEW] = Overview(settings, serving, gpus, history)
    host = Host(settings.data, db.path)
    history.sources += [host.read, lambda: read(serving), lambda: held.read(db)]
    compat = Compat(settings.metrics_compat)
    REGISTRY.register(compat)
    async with AsyncExitStack() as others:
        app[EXTERNAL] = External(await _other(others, settings.prometheus_url, PROXY_SECONDS))
        key = settings.grafana_api_key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        app[board_routes.GRAFANA] = Grafana(
            await _other(others, settings.grafana_url, GRAFANA_SECONDS, headers)
        )
        try:
            yield
        finally:
            await history.close()
            queries.close()
            await asyncio.to_thread(gpus.stop)
            REGISTRY.unregister(compat)


def begin(app: web.Application) -> None:
    """The clock runs from here on, and the GPUs are looked at."""
    app[GPUS].start()
    app[HISTORY].start()


async def _other(
    others: AsyncExitStack, url: str, seconds: float, headers: dict[str, str] | None = None
) -> Outbound | None:
    """A client of another server, where one is set."""
    if not url:
        return None
    target = outbound.target(url, seconds=seconds, headers=headers or {})
    return await others.enter_async_context(Outbound(target))


async def scrape(request: web.Request) -> web.Response:
    accept = request.headers.get("Accept", "")
    zipped = "gzip" in request.headers.get("Accept-Encoding", "")
    body, kind = await asyncio.to_thread(exposition, REGISTRY, accept, zipped)
    headers = {"Content-Type": kind, "Vary": "Accept, Accept-Encoding"}
    if zipped:
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=body, headers=headers)


async def alive(request: web.Request) -> Alive:
    return Alive(status="ok")


async def ready(request: web.Request) -> web.Response:
    app = request.app
    settings = app[keys.SETTINGS]
    found = await health.readiness(app[SERVING], app[GPUS].latest, app[keys.DB], settings)
    shown = found if auth.who(request).may("read") else Readiness(status=found.status)
    if found.status == "ready":
        return wire.reply(shown)
    return wire.reply(shown, 503, {"Retry-After": "5"})


async def status(request: web.Request) -> Status:
    return request.app[OVERVIEW].status(await request.app[LIVE].vitals(), auth.who(request))


async def dashboard_data(request: web.Request) -> DashboardData:
    return request.app[OVERVIEW].dashboard(await request.app[LIVE].vitals(), auth.who(request))


async def instant(request: web.Request, asked: InstantQuery) -> Instant:
    """With neither names nor a query the vital values of the latest sampling."""
    if not asked.names and not asked.query and not asked.time and asked.source == "internal":
        latest = await request.app[LIVE].vitals()
        return Instant(at=latest.at, values=latest.values)
    names = [name.strip() for name in asked.names.split(",") if name.strip()]
    wanted = [vitals.wanted(name) for name in (*names, *([asked.query] if asked.query else []))]
    if len(wanted) > MOST_TOPICS:
        raise errors.Invalid(f"names: more than {MOST_TOPICS}", code="bad_query", field="names")
    now = round(time.time() * 1000)
    at = moment(asked.time, now, "time") if asked.time else now
    if asked.source == "external":
        values = [await request.app[EXTERNAL].value(one, at) for one in wanted or vitals.VITALS]
    else:
        values = await vitals.evaluate(request.app[QUERIES], wanted or vitals.VITALS, at)
    return Instant(at=at / 1000, values=values)


async def prometheus(request: web.Request, asked: PromQuery) -> PromAnswer:
    return await ranges.answer(asked, request.app[QUERIES], request.app[EXTERNAL])


async def watch_metrics(request: web.Request) -> web.StreamResponse:
    return await sockets.stream(request, "metrics")
