"""Lineage over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from gfedge import errors, keys
from gfedge.lineage import graph, history, openlineage, prov
from gfedge.lineage.types import Lineage, LineageQuery
from gfedge.wire import Route, reply

TELLERS = web.AppKey("tellers", Sequence[graph.Teller])
"""What each slice tells of its nodes; lineage itself knows edges alone."""


def routes() -> list[Route]:
    return [
        Route(
            method="GET",
            path="/ml-platform/lineage/{kind}/{id}",
            handler=get_lineage,
            fails={
                404: ("unknown_kind", "node_not_found"),
                413: ("graph_too_large",),
                422: ("unknown_kind", "bad_cursor"),
            },
            tail=True,
            summary="What a thing came from and what came of it: `model_version/sprite@1?direction=down&kinds=asset`",
            query=LineageQuery,
            reply=Lineage,
            or_reply=(dict[str, Any], list[Any]),
        ),
    ]


async def get_lineage(request: web.Request, query: LineageQuery) -> Lineage | web.Response:
    subject = (graph.kind(request.match_info["kind"]), request.match_info["id"])
    db, tellers = request.app[keys.DB], request.app[TELLERS]
    if query.format == "graph":
        return await db.read(graph.around, subject, query, tellers)
    if query != LineageQuery(format=query.format):
        raise errors.Invalid(
            "format: an export holds the whole history and takes no other parameter", field="format"
        )
    found = await db.read(history.read, subject, tellers)
    address = request.app[keys.SETTINGS].address
    if query.format == "openlineage":
        return reply(openlineage.events(found, address))
    return reply(prov.document(found, address))
