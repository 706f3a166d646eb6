"""What surrounds every request: errors in one shape, headers that every answer carries, counts and times."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from gfedge import auth, errors, metrics, wire

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
KEPT_HEADERS = ("Allow", "Retry-After")
_codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}


@web.middleware
async def outermost(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers every failure as problem+json and measures every request."""
    began = time.perf_counter()
    request[auth.WHO] = auth.LOCAL
    try:
        response = await handler(request)
    except errors.ApiError as error:
        response = wire.problem(error, request.path)
    except web.HTTPException as error:
        response = _from_aiohttp(error, request)
    except (ConnectionResetError, asyncio.CancelledError):
        raise
    except (web.RequestPayloadError, HttpProcessingError) as error:
        failure = errors.BadRequest(f"the body cannot be read: {_line(error)}", code="bad_body")
        response = wire.problem(failure, request.path)
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        unforeseen = errors.ApiError("the server failed at this; its log says why")
        response = wire.problem(unforeseen, request.path)
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


def _line(error: Exception) -> str:
    """The first line of an error, without what a client sent; aiohttp's own begin with `400, message:`."""
    text = str(error).rpartition("message:")[2].strip()
    return text.split("\n", 1)[0][:200] or type(error).__name__


class Protocol(RequestHandler):
    """A connection; what is no HTTP is told so in the shape of all errors, and not echoed as aiohttp would."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  aiohttp's text may hold what the client sent
    ) -> web.StreamResponse:
        level = logging.ERROR if status >= 500 else logging.DEBUG
        log.log(level, "a request from %s could not be read", request.remote, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun already")
        failure = errors.BadRequest(
            "this is not HTTP as the server understands it", code="bad_http"
        )
        failure.status = status
        response = wire.problem(failure, "")
        response.headers["Server"] = "gfedge"
        response.force_close()
        return response


class Server(web.Server):
    """The listening side, which makes a Protocol of every connection."""

    def __call__(self) -> RequestHandler:
        return Protocol(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Runs an application behind a Server of ours."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        options = made._kwargs  # noqa: SLF001  aiohttp has no other way to name a protocol class
        return Server(made.request_handler, request_factory=made.request_factory, **options)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Headers of every answer; a signal of aiohttp, so that streamed ones carry them too."""
    response.headers["Server"] = "gfedge"
    response.headers["X-Content-Type-Options"] = "nosniff"
