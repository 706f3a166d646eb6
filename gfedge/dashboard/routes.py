"""The dashboard over HTTP: one page at `/`, and its modules, styles and libraries below `/ui`."""

from __future__ import annotations

import asyncio

from aiohttp import ETag, hdrs, web

from gfedge import errors
from gfedge.dashboard.files import MEDIA_TYPES, File, Web
from gfedge.wire import Route

WEB = web.AppKey("web", Web)
KEPT = "public, max-age=31536000, immutable"
ASKED_AGAIN = "public, no-cache"


def routes() -> list[Route]:
    return [
        Route(
            method="GET",
            path="/",
            handler=index,
            also=(304,),
            summary="The dashboard",
            produces=("text/html",),
            rooted=True,
        ),
        Route(
            method="GET",
            path="/ui/{path}",
            handler=file,
            also=(304,),
            fails={404: ("file_not_found",)},
            summary="A file of the dashboard; `/ui/gfedge.js` is the client module for frontends of your own",
            produces=tuple(sorted(set(MEDIA_TYPES.values()))),
            about="Open to everybody: it is the same on every server, and a frontend on another host must load the module "
            "before it can send its token.",
            rooted=True,
            tail=True,
            scope="open",
        ),
    ]


async def index(request: web.Request) -> web.Response:
    return await _answer(request, "index.html")


async def file(request: web.Request) -> web.Response:
    return await _answer(request, request.match_info["path"])


async def _answer(request: web.Request, path: str) -> web.Response:
    found, kept = await asyncio.to_thread(request.app[WEB].find, path)
    if found is None:
        raise errors.NotFound("the dashboard has no such file: begin at /", code="file_not_found")
    headers = {
        hdrs.CACHE_CONTROL: KEPT if kept else ASKED_AGAIN,
        hdrs.ETAG: f'"{found.sha256}"',
        hdrs.VARY: hdrs.ACCEPT_ENCODING,
    }
    if _known(request.if_none_match or (), found):
        return web.Response(status=304, headers=headers)
    body = found.body
    if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
        body, headers[hdrs.CONTENT_ENCODING] = found.gzipped, "gzip"
    return web.Response(body=body, headers=headers, content_type=found.media_type, charset="utf-8")


def _known(tags: tuple[ETag, ...], found: File) -> bool:
    return any(tag.value in ("*", found.sha256) for tag in tags)
