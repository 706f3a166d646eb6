"""Assets over HTTP."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from aiohttp import hdrs, web

from gfedge import content, keys
from gfedge.assets import files, store
from gfedge.assets.assets import Assets
from gfedge.assets.types import Pin, Pins
from gfedge.wire import Route

ASSETS = web.AppKey("assets", Assets)
CHUNK = 1 << 18


def routes() -> list[Route]:
    return [
        Route(
            method="GET",
            path="/assets/{sha256}",
            handler=get_asset,
            also=(206, 304),
            headers={
                "Range": "`bytes=0-99`: a part.",
                "If-None-Match": "304 where the ETag is known.",
            },
            fails={
                404: ("asset_not_found",),
                **content.REFUSED,
            },
            summary="The bytes of a picture; immutable, with ETag and ranges",
            produces=tuple(files.SUFFIXES),
        ),
        Route(
            method="PUT",
            path="/assets/{sha256}/pin",
            handler=pin_asset,
            fails={404: ("asset_not_found",)},
            summary="Keep a picture, and all that it came from, whatever the retention policy says",
            reply=Pin,
        ),
        Route(
            method="DELETE",
            path="/assets/{sha256}/pin",
            handler=unpin_asset,
            fails={404: ("not_pinned",)},
            summary="Leave a picture to the retention policy again",
            reply=Pin,
        ),
        Route(
            method="GET",
            path="/ml-platform/pins",
            handler=list_pins,
            summary="The pictures that stay whatever the retention policy says",
            reply=Pins,
        ),
    ]


async def pin_asset(request: web.Request) -> Pin:
    return await request.app[ASSETS].pin(request.match_info["sha256"], time.time())


async def unpin_asset(request: web.Request) -> Pin:
    return await request.app[ASSETS].unpin(request.match_info["sha256"])


async def list_pins(request: web.Request) -> Pins:
    return Pins(pins=await request.app[keys.DB].read(store.list_pins))


async def get_asset(request: web.Request) -> web.StreamResponse:
    """The picture, as far as the request's conditions want it (RFC 9110, 13 and 14)."""
    sha256 = request.match_info["sha256"]
    path = files.find(request.app[ASSETS].root, sha256)
    headers: dict[str, str] = {
        hdrs.CACHE_CONTROL: "public, max-age=31536000, immutable",
        hdrs.ETAG: f'"{sha256}"',
        hdrs.ACCEPT_RANGES: "bytes",
    }
    if content.unchanged(request, sha256):
        return web.Response(status=304, headers=headers)
    size = path.stat().st_size
    part = content.part(request, sha256, size)
    response = web.StreamResponse(status=200, headers=headers)
    response.content_type = files.MEDIA_TYPES[path.suffix]
    if part is not None:
        response.set_status(206)
        response.headers[hdrs.CONTENT_RANGE] = f"bytes {part.start}-{part.stop - 1}/{size}"
    return await _stream(request, response, path, part or range(size))


async def whole(request: web.Request, sha256: str, headers: dict[str, str]) -> web.StreamResponse:
    """The picture as the answer to what made it. A small file was written just now: reading it does not wait."""
    path = files.find(request.app[ASSETS].root, sha256)
    size, kind = path.stat().st_size, files.MEDIA_TYPES[path.suffix]
    if size <= CHUNK:
        return web.Response(body=path.read_bytes(), headers=headers, content_type=kind)
    response = web.StreamResponse(headers=headers)
    response.content_type = kind
    return await _stream(request, response, path, range(size))


async def _stream(
    request: web.Request, response: web.StreamResponse, path: Path, part: range
) -> web.StreamResponse:
    response.content_length = len(part)
    await response.prepare(request)
    if request.method != hdrs.METH_HEAD:
        with path.open("rb") as file:
            file.seek(part.start)
            for at in range(part.start, part.stop, CHUNK):
                await response.write(await asyncio.to_thread(file.read, min(CHUNK, part.stop - at)))
    await response.write_eof()
    return response
