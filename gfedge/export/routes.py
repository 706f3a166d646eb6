"""The archive over HTTP, for administrators."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator

from aiohttp import hdrs, web

from gfedge import auth, content, errors, keys
from gfedge.export.folder import CONTENTS
from gfedge.export.start import Exports, opened
from gfedge.export.types import Archive, Contents, Export, ExportRequest
from gfedge.wire import Route

EXPORTS = web.AppKey("exports", Exports)
PARQUET = "application/vnd.apache.parquet"


def routes() -> list[Route]:
    return [
        Route(
            method="GET",
            path="/admin/exports",
            handler=get_archive,
            summary="The archive: its tables, the export that runs or the last one, when the next is due",
            reply=Archive,
            scope="admin",
        ),
        Route(
            method="POST",
            path="/admin/exports",
            handler=begin_export,
            summary="Write what changed since the last export to the archive, as Parquet; goes on after the answer",
            fails={409: ("export_running",), 422: ("archive_unreadable",)},
            body=ExportRequest,
            reply=Export,
            status=202,
            scope="admin",
        ),
        Route(
            method="GET",
            path="/admin/exports/{path}",
            tail=True,
            handler=get_file,
            also=(206, 304),
            fails={404: ("export_file_not_found",), **content.REFUSED},
            summary="A file of the archive; `archive.json` names all of them",
            reply=Contents,
            produces=(PARQUET,),
            scope="admin",
        ),
    ]


async def exports(app: web.Application) -> AsyncIterator[None]:
    """The archive and its clock."""
    async with opened(app[keys.DB], app[keys.SETTINGS]) as app[EXPORTS]:
        yield


async def get_archive(request: web.Request) -> Archive:
    return request.app[EXPORTS].archive


async def begin_export(request: web.Request, body: ExportRequest) -> Export:
    return request.app[EXPORTS].begin(body, auth.who(request).name)


async def get_file(request: web.Request) -> web.StreamResponse:
    name, folder = request.match_info["path"], request.app[EXPORTS].exporter.folder
    made, path = folder.files.get(name), folder.root / name
    known = made is not None or name == CONTENTS
    if not known or not await asyncio.to_thread(path.is_file):
        raise errors.NotFound(
            f"no file {name!r} is in the archive: {CONTENTS} names them",
            code="export_file_not_found",
        )
    if made is None:
        return web.Response(
            body=await asyncio.to_thread(path.read_bytes), content_type="application/json"
        )
    digest = base64.b64encode(bytes.fromhex(made.sha256)).decode()
    headers = {hdrs.CONTENT_TYPE: PARQUET, "Repr-Digest": f"sha-256=:{digest}:"}
    return content.answer(request, path, made.sha256, headers)
