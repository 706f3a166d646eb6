"""What surrounds every request: errors in one shape, headers that every answer carries, counts and times."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from gfedge import errors, http_metrics, keys, wire

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
        response = wire.refusal(error, request)
    except web.HTTPException as error:
        response = _from_aiohttp(error, request)
    except (ConnectionResetError, asyncio.CancelledError):
        raise
    except (web.RequestPayloadError, HttpProcessingError) as error:
        failure = errors.BadRequest(f"the body cannot be read: {_line(error)}", code="bad_body")
        response = wire.refusal(failure, request)
    except Exception as error:
        if request.transport is None and isinstance(error, RuntimeError):
            # It left before its body was looked at, which aiohttp says in this way.
            raise ConnectionResetError("the client left") from error
        log.exception("%s %s failed", request.method, request.path)
        unforeseen = errors.ApiError("the server failed at this; its log says why")
        response = wire.refusal(unforeseen, request)
    http_metrics.requests.answered(request, response.status, time.perf_counter() - began)
    return response


def _from_aiohttp(error: web.HTTPException, request: web.Request) -> web.StreamResponse:
    if error.status < 400:
        raise error
    failure = errors.ApiError(_detail(error, request), code=_codes.get(error.status, "http_error"))
    failure.status, failure.title = error.status, error.reason
    failure.headers = {name: error.headers[name] for name in KEPT_HEADERS if name in error.headers}
    return wire.refusal(failure, request)


def _detail(error: web.HTTPException, request: web.Request) -> str:
    if error.status == 404:
        return f"nothing is at {request.path}"
    if error.status == 405:
        return f"{request.path} does not take {request.method}; it takes {error.headers.get('Allow', '')}"
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return "the body is larger than this server takes (setting max_body)"
    return error.text or error.reason


def _line(error: Exception) -> str:
    """The first line of an error, without what a client sent; aiohttp's own begin with `400, message:`."""
    text = str(error).rpartition("message:")[2].strip()
    return text.split("\n", 1)[0][:200] or type(error).__name__


POLICY_HEADER = "Content-Security-Policy"
POLICY = "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; form-action 'self'"
FRAME_OPTIONS = {"'none'": "DENY", "'self'": "SAMEORIGIN"}


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Headers of every answer; a signal of aiohttp, so that streamed ones carry them too."""
    headers = response.headers
    policy = headers.get(POLICY_HEADER)
    headers.update(_headers(request.app[keys.SETTINGS].frame_ancestors))
    if policy is not None:  # a page with one of its own
        headers[POLICY_HEADER] = policy


@lru_cache(1)
def _headers(ancestors: str) -> dict[str, str]:
    """They differ by a setting alone."""
    found = {
        "Server": "gfedge",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        POLICY_HEADER: f"{POLICY}; frame-ancestors {ancestors}",
    }
    if ancestors in FRAME_OPTIONS:
        found["X-Frame-Options"] = FRAME_OPTIONS[ancestors]
    return found
