"""Assets over HTTP."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

from aiohttp import ETag, hdrs, web

from gfedge import errors, keys
from gfedge.assets import files, store
from gfedge.assets.assets import Assets
from gfedge.assets.types import Pin, Pins
from gfedge.wire import Route

ASSETS = web.AppKey("assets", Assets)
CHUNK = 1 << 18
_range = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


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
                412: ("precondition_failed",),
                416: ("range_not_satisfiable",),
            },
            summary="The bytes of a picture; immutable, with ETag and ranges",
            produces=tuple(files.SUFFIXES),
        ),
        Route(
            method="PUT",
            path="/assets/{sha256}/pin",
            handler=pin_asset,
            summary="Keep a picture, and all that it came from, whatever the retention policy says",
            reply=Pin,
        ),
        Route(
            method="DELETE",
            path="/assets/{sha256}/pin",
            handler=unpin_asset,
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
    """The picture, as far as the request's conditions want it (RFC 9110, 13 and 14).

    Not aiohttp's FileResponse: its ETag is made of time and size, ours is the digest.
    """
    sha256 = request.match_info["sha256"]
    path = files.find(request.app[ASSETS].root, sha256)
    headers: dict[str, str] = {
        hdrs.CACHE_CONTROL: "public, max-age=31536000, immutable",
        hdrs.ETAG: f'"{sha256}"',
        hdrs.ACCEPT_RANGES: "bytes",
    }
    if request.if_match is not None and not _names(request.if_match, sha256):
        raise errors.PreconditionFailed(f"the asset here is {sha256}", headers=headers)
    if _names(request.if_none_match or (), sha256):
        return web.Response(status=304, headers=headers)
    size = path.stat().st_size
    part = _part(request, sha256, size)
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


def _names(tags: tuple[ETag, ...], sha256: str) -> bool:
    return any(tag.value in ("*", sha256) for tag in tags)


def _part(request: web.Request, sha256: str, size: int) -> range | None:
    """The bytes that a single Range asks for; None for the whole, also where the range is not understood.

    Only GET has ranges (RFC 9110, 14.2): HEAD says how much there is.
    """
    if request.method == hdrs.METH_HEAD:
        return None
    found = _range.fullmatch(request.headers.get(hdrs.RANGE, ""))
    if found is None or request.headers.get(hdrs.IF_RANGE, f'"{sha256}"') != f'"{sha256}"':
        return None
    first, last = found.groups()
    if not first:
        part = range(max(0, size - int(last)), size) if last else None
    else:
        part = range(int(first), min(size, int(last) + 1) if last else size)
    if part is not None and not part:
        raise errors.RangeNotSatisfiable(
            f"the asset has {size} bytes", headers={hdrs.CONTENT_RANGE: f"bytes */{size}"}
        )
    return part


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
