"""Lineage over HTTP."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from gfedge import keys
from gfedge.lineage import graph
from gfedge.lineage.types import Lineage, LineageQuery
from gfedge.wire import Route

TELLERS = web.AppKey("tellers", Sequence[graph.Teller])
"""What each slice tells of its nodes; lineage itself knows edges alone."""


def routes() -> list[Route]:
    return [
        Route(
            method="GET",
            path="/ml-platform/lineage/{kind}/{id}",
            handler=get_lineage,
            tail=True,
            summary="What a thing came from and what came of it: `model_version/sprite@1?direction=down&kinds=asset`",
            query=LineageQuery,
            reply=Lineage,
        ),
    ]


async def get_lineage(request: web.Request, query: LineageQuery) -> Lineage:
    subject = (graph.kind(request.match_info["kind"]), request.match_info["id"])
    return await request.app[keys.DB].read(graph.around, subject, query, request.app[TELLERS])
