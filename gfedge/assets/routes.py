"""Assets over HTTP."""

from __future__ import annotations

from aiohttp import hdrs, web

from gfedge.assets import files
from gfedge.assets.assets import Assets
from gfedge.wire import Route

ASSETS = web.AppKey("assets", Assets)


def routes() -> list[Route]:
    return [
        Route(
            method="GET",
            path="/assets/{sha256}",
            handler=get_asset,
            summary="The bytes of a picture; immutable, with ETag and ranges",
            produces=tuple(files.SUFFIXES),
        )
    ]


async def get_asset(request: web.Request) -> web.StreamResponse:
    return send(request, request.match_info["sha256"], {})


def send(request: web.Request, sha256: str, headers: dict[str, str]) -> web.StreamResponse:
    """The answer that is the picture itself; NotFound where there is none."""
    path = files.find(request.app[ASSETS].root, sha256)
    headers = headers | {
        hdrs.CACHE_CONTROL: "public, max-age=31536000, immutable",
        hdrs.ETAG: f'"{sha256}"',
        hdrs.CONTENT_TYPE: files.MEDIA_TYPES[path.suffix],
    }
    if any(tag.value in ("*", sha256) for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return AssetFile(path, headers=headers)


class AssetFile(web.FileResponse):
    """A file whose ETag is its digest, where aiohttp would make one of time and size."""

    @property
    def etag(self):  # type: ignore[no-untyped-def]
        return super().etag

    @etag.setter
    def etag(self, value) -> None:  # type: ignore[no-untyped-def]
        """The digest that came with the headers stays."""
