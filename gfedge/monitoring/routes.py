"""Monitoring over HTTP."""

from __future__ import annotations

import asyncio

from aiohttp import web
from prometheus_client import REGISTRY

from gfedge.monitoring.exposition import OPEN_METRICS, exposition
from gfedge.monitoring.history import History
from gfedge.monitoring.storage import HistoryStorage
from gfedge.wire import Route

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


async def scrape(request: web.Request) -> web.Response:
    accept = request.headers.get("Accept", "")
    zipped = "gzip" in request.headers.get("Accept-Encoding", "")
    body, kind = await asyncio.to_thread(exposition, REGISTRY, accept, zipped)
    headers = {"Content-Type": kind, "Vary": "Accept, Accept-Encoding"}
    if zipped:
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=body, headers=headers)
