"""Dashboards over HTTP: those of the server and of a Grafana, their data, and what sets a Grafana up."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiohttp import web

from gfedge import errors, keys
from gfedge.monitoring import boards, grafana
from gfedge.monitoring.board_types import Dashboards, DashboardValues, DataQuery
from gfedge.monitoring.grafana import Grafana
from gfedge.monitoring.moments import duration, moment
from gfedge.monitoring.queries import QUERIES
from gfedge.wire import Route

GRAFANA = web.AppKey("grafana", Grafana)


def routes() -> list[Route]:
    return [
        Route(
            method="GET",
            path="/monitoring/dashboards",
            handler=list_dashboards,
            summary="The dashboards of the server, and of the Grafana that is set",
            reply=Dashboards,
        ),
        Route(
            method="GET",
            path="/monitoring/dashboards/{uid}",
            handler=get_dashboard,
            summary="A dashboard as Grafana's JSON",
            reply=dict[str, Any],
            fails={404: ("dashboard_not_found",)},
        ),
        Route(
            method="GET",
            path="/monitoring/dashboards/{uid}/data",
            handler=board_data,
            summary="Every panel of a dashboard of the server, evaluated",
            query=DataQuery,
            reply=DashboardValues,
            fails={
                404: ("dashboard_not_found",),
                422: ("bad_time", "bad_duration", "too_many_points"),
            },
        ),
        Route(
            method="GET",
            path="/monitoring/grafana/provisioning.yaml",
            handler=provisioning_file,
            summary="A data source and the dashboards' folder, for Grafana's `provisioning`",
            produces=("application/yaml",),
        ),
        Route(
            method="GET",
            path="/monitoring/grafana/provisioning.tar.gz",
            handler=provisioning_archive,
            summary="The same with the dashboards: `curl ... | tar xz -C /etc/grafana/provisioning`",
            produces=("application/gzip",),
        ),
    ]


async def list_dashboards(request: web.Request) -> Dashboards:
    found, state = await request.app[GRAFANA].dashboards()
    return Dashboards(dashboards=[*boards.links(), *found], grafana=state)


async def get_dashboard(request: web.Request) -> dict[str, Any]:
    uid = request.match_info["uid"]
    if uid not in boards.shipped():
        try:
            if (found := await request.app[GRAFANA].dashboard(uid)) is not None:
                return found
        except errors.ApiError as error:
            raise errors.NotFound(
                f"no dashboard {uid!r} is here, and the Grafana cannot be asked: {error.detail}",
                code="dashboard_not_found",
            ) from error
    return boards.board(uid)


async def board_data(request: web.Request, query: DataQuery) -> DashboardValues:
    now = round(time.time() * 1000)
    start, end = moment(query.start, now, "from"), moment(query.end, now, "to")
    step = duration(query.step, "step") if query.step else None
    interval = round(request.app[keys.SETTINGS].metrics_interval * 1000)
    board = boards.board(request.match_info["uid"])
    return await boards.values(board, start, end, step, interval, request.app[QUERIES])


async def provisioning_file(request: web.Request) -> web.Response:
    text = grafana.provisioning(_address(request), request.app[keys.SETTINGS].metrics_interval)
    return web.Response(text=text, content_type="application/yaml")


async def provisioning_archive(request: web.Request) -> web.Response:
    interval = request.app[keys.SETTINGS].metrics_interval
    data = await asyncio.to_thread(grafana.archive, _address(request), interval)
    return web.Response(body=data, content_type="application/gzip")


def _address(request: web.Request) -> str:
    """Where a Grafana finds this server: as set, else as this caller did."""
    return request.app[keys.SETTINGS].public_url.rstrip("/") or str(request.url.origin())
