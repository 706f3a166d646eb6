"""Sprite sheets over HTTP: many pictures to one, and its atlas for the engines that read it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from aiohttp import hdrs, web
from msgspec import Meta

from gfedge.ai import atlas, sheets
from gfedge.ai.atlas import Format
from gfedge.ai.intake import Asker
from gfedge.ai.live import Live
from gfedge.ai.routes import BUSY, GONE, HEADERS, INTAKE, QUEUE, WAITING, admit, submit
from gfedge.ai.types import Job, SheetParams
from gfedge.examples import SHA256
from gfedge.wire import Route, reply


class AtlasQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whose format."""

    format: Annotated[
        Format,
        Meta(
            description="json: TexturePacker's JSON-hash; godot: SpriteFrames; unity: the sheet's .meta."
        ),
    ] = "json"


class Atlas(msgspec.Struct, kw_only=True):
    """TexturePacker's JSON-hash."""

    frames: dict[str, dict[str, Any]]
    meta: dict[str, Any]


def routes() -> list[Route]:
    return [
        Route(
            method="POST",
            path="/ai/sheets",
            handler=make_sheet,
            about=f"The sheet is the job's output; the atlas is at `/ml-platform/ai-jobs/{{id}}/atlas`. {WAITING}",
            headers=HEADERS,
            also=(200,),
            fails={**BUSY, 413: ("too_many_pixels",), 422: ("asset_not_found", "bad_image")},
            summary="Put pictures on one sheet",
            body=SheetParams,
            example={"pictures": [SHA256], "names": ["potion"], "name": "items", "padding": 1},
            reply=Job,
            status=202,
            produces=("image/png",),
        ),
        Route(
            method="GET",
            path="/ml-platform/ai-jobs/{id}/atlas",
            handler=get_atlas,
            fails={**GONE, 422: ("not_a_sheet",)},
            summary="Where each picture stands on a sheet, as TexturePacker, Godot or Unity have it",
            query=AtlasQuery,
            reply=Atlas,
            produces=("text/plain",),
        ),
    ]


async def make_sheet(request: web.Request, body: SheetParams) -> web.StreamResponse:
    await admit(request)
    return await submit(request, await request.app[INTAKE].sheet(Asker.of(request), body))


async def get_atlas(request: web.Request, query: AtlasQuery) -> web.Response:
    job = await request.app[QUEUE].find(request.match_info["id"])
    layout = sheets.of_job(job.submission if isinstance(job, Live) else job)
    name = atlas.file_name(layout, query.format)
    headers: dict[str, str] = {hdrs.CONTENT_DISPOSITION: f'inline; filename="{name}"'}
    if query.format == "json":
        return reply(atlas.json_hash(layout), headers=headers)
    text = atlas.godot(layout) if query.format == "godot" else atlas.unity(layout)
    return web.Response(text=text, headers=headers)
