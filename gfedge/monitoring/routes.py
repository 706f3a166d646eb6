"""Monitoring over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import REGISTRY

from gfedge.db import Database
from gfedge.monitoring.compat import Compat
from gfedge.monitoring.exposition import OPEN_METRICS, exposition
from gfedge.monitoring.gpus import Gpus
from gfedge.monitoring.history import History
from gfedge.monitoring.host import Host
from gfedge.monitoring.queries import QUERIES, Queries
from gfedge.monitoring.serving import Serving, read
from gfedge.monitoring.storage import HistoryStorage
from gfedge.settings import Settings
from gfedge.wire import Route

SERVING = web.AppKey("serving", Serving)
GPUS = web.AppKey("gpus", Gpus)
HISTORY = web.AppKey("history", History)
STORAGE = web.AppKey("storage", HistoryStorage)


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
    ]


@asynccontextmanager
async def opened(
    app: web.Application, settings: Settings, db: Database, serving: Serving
) -> AsyncIterator[None]:
    """The clock, what it reads and what it sampled, from the start of the server to its end."""
    app[SERVING] = serving
    gpus = app[GPUS] = Gpus(settings.metrics_interval)
    history = app[HISTORY] = History(settings, db, REGISTRY)
    storage = app[STORAGE] = HistoryStorage(history)
    queries = app[QUERIES] = Queries(storage)
    host = Host(settings.data, db.path)
    history.sources += [host.read, lambda: read(serving)]
    compat = Compat(settings.metrics_compat)
    REGISTRY.register(compat)
    gpus.start()
    history.start()
    try:
        yield
    finally:
        queries.close()
        await history.close()
        await asyncio.to_thread(gpus.stop)
        REGISTRY.unregister(compat)


async def scrape(request: web.Request) -> web.Response:
    accept = request.headers.get("Accept", "")
    zipped = "gzip" in request.headers.get("Accept-Encoding", "")
    body, kind = await asyncio.to_thread(exposition, REGISTRY, accept, zipped)
    headers = {"Content-Type": kind, "Vary": "Accept, Accept-Encoding"}
    if zipped:
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=body, headers=headers)
