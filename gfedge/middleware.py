"""What surrounds every request: errors in one shape, headers that every answer carries, counts and times."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from gfedge import errors, metrics, wire

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
KEPT_HEADERS = ("Allow", "Retry-After")
_codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}


@web.middleware
async def outermost(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers every failure as problem+json and measures every request."""
    began = time.perf_counter()
    try:
        response = await handler(request)
    except errors.ApiError as error:
        response = wire.problem(error, request.path)
    except web.HTTPException as error:
        response = _from_aiohttp(error, request)
    except (ConnectionResetError, asyncio.CancelledError):
        raise
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        failure = errors.ApiError("the server failed at this; its log says why")
        response = wire.problem(failure, request.path)
    metrics.http_request(request, response.status, time.perf_counter() - began)
    return response


def _from_aiohttp(error: web.HTTPException, request: web.Request) -> web.StreamResponse:
    if error.status < 400:
        raise error
    failure = errors.ApiError(_detail(error, request), code=_codes.get(error.status, "http_error"))
    failure.status, failure.title = error.status, error.reason
    failure.headers = {name: error.headers[name] for name in KEPT_HEADERS if name in error.headers}
    return wire.problem(failure, request.path)


def _detail(error: web.HTTPException, request: web.Request) -> str:
    if error.status == 404:
        return f"nothing is at {request.path}"
    if error.status == 405:
        return f"{request.path} does not take {request.method}; it takes {error.headers.get('Allow', '')}"
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return "the body is larger than this server takes (setting max_body)"
    return error.text or error.reason


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Headers of every answer; a signal of aiohttp, so that streamed ones carry them too."""
    response.headers["Server"] = "gfedge"
    response.headers["X-Content-Type-Options"] = "nosniff"
