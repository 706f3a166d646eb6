"""The wire: a table of routes, JSON in and out by msgspec, errors as problem+json (RFC 9457).

A handler is called with the request, then the decoded body and query where its route names their structs, and
returns a struct (or a whole response). Every route answers under `/api/v1/X` and `/api/X`.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Literal

import msgspec
from aiohttp import web

from gfedge import errors
from gfedge.validation import explain

JSON = "application/json"
MAX_JSON = 4 << 20
"""Bytes of a JSON body; what is larger goes as a file."""
PROBLEM = "application/problem+json"
PREFIXES = ("/api/v1", "/api")
Handler = Callable[..., Awaitable[Any]]
Scope = Literal["open", "metrics", "read", "run", "admin"]
"""What a route asks of a token: each of `read`, `run` and `admin` may do what the one before may; `open` asks nothing."""

_encode = msgspec.json.Encoder().encode


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a slice's table of contents."""

    method: str
    path: str
    handler: Handler
    summary: str
    body: Any = None
    query: Any = None
    reply: Any = None
    or_reply: tuple[Any, ...] = ()
    """Other shapes of its JSON, which a parameter asks for."""
    status: int = 200
    also: tuple[int, ...] = ()
    """Other statuses of success."""
    fails: Mapping[int, tuple[str, ...]] = {}
    """Codes of its errors by status, besides those of every route (`openapi`)."""
    refuses: Any = None
    """Its errors' struct, where it speaks another protocol; the door's are problems all the same."""
    about: str = ""
    """More than the summary, as Markdown."""
    example: Any = None
    """A body; where there is none, the document makes one from the struct."""
    options: Any = None
    """Query that the handler reads itself: its struct."""
    reads: Any = None
    """JSON that the handler reads itself: its struct."""
    headers: Mapping[str, str] = {}
    """Request headers that it heeds, and what they do."""
    accepts: tuple[str, ...] = ()
    """Media types of bodies besides JSON, which the handler reads itself."""
    produces: tuple[str, ...] = ()
    """Media types of answers besides JSON."""
    messages: dict[str, Any] | None = None
    """Of a WebSocket (`sockets`): what the `data` of its messages is, by their type."""
    rooted: bool = False
    """Stands at `path` itself (`/health`), not below the API's prefixes."""
    twins: tuple[str, ...] = ()
    """Of a rooted route: other paths where it stands too; the document tells of `path` alone."""
    tells: Callable[[errors.ApiError], web.Response] | None = None
    """How every error of this route is answered, the door's too, where that is not a problem."""
    tail: bool = False
    """The parameter at the end of `path` takes slashes too."""
    streams: bool = False
    """The handler reads the body piece by piece and bounds it itself."""
    secret: str = ""
    """The header with a secret of its own that an open route's handler checks, in place of a token."""
    scope: Scope | None = None
    """Where it differs from `read` for GET and `run` for the rest."""

    @property
    def needs(self) -> Scope:
        """The scope that a token must have."""
        return self.scope or ("read" if self.method == "GET" else "run")


TABLE = web.AppKey("routes", dict[Callable[..., Any], Route])


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """The query of a route that takes none."""


class Page(msgspec.Struct, kw_only=True):
    """What listings share: pass `next` as `cursor` for the following page; absent on the last one."""

    next: str | None = None


def mount(app: web.Application, routes: Iterable[Route]) -> None:
    """Adds every route under each prefix."""
    table = app[TABLE] = {}
    for route in routes:
        handler = _handler(route)
        table[handler] = route
        path, *twins = [
            f"{path[:-1]}:(?s:.+)}}" if route.tail else path for path in (route.path, *route.twins)
        ]
        paths = [path, *twins] if route.rooted else [prefix + path for prefix in PREFIXES]
        for one in paths:
            for method in (route.method, "HEAD") if route.method == "GET" else (route.method,):
                app.router.add_route(method, one, handler, expect_handler=_expect)


def route_of(request: web.Request) -> Route | None:
    """The row that a request leads to; None where nothing is there."""
    return request.app[TABLE].get(request.match_info.handler)


def max_body(route: Route | None, largest: int) -> int | None:
    """The bytes that a body may have; None where its handler bounds it itself."""
    if route is None:
        return largest
    if route.streams:
        return None
    return min(MAX_JSON, largest) if route.body is not None else largest


def reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(body=_encode(value), status=status, headers=headers, content_type=JSON)


def problem(error: errors.ApiError, instance: str) -> web.Response:
    """The answer for an error."""
    body = _encode(error.problem(instance))
    response = web.Response(
        body=body, status=error.status, headers=error.headers, content_type=PROBLEM
    )
    if error.headers.get("Connection") == "close":
        response.force_close()
    return response


def refusal(error: errors.ApiError, request: web.Request) -> web.Response:
    """The answer for an error in the form of the route that was asked."""
    route = route_of(request)
    if route is not None and route.tells is not None:
        return route.tells(error)
    return problem(error, request.path)


def decode(data: bytes, kind: Any, what: str = "the body") -> Any:
    """JSON bytes as a struct; BadRequest where it is no JSON, Invalid where it does not fit."""
    try:
        return msgspec.json.decode(data or b"{}", type=kind)
    except msgspec.ValidationError as error:
        misfit = explain(error, kind)
        raise errors.Invalid(f"{misfit.path or what}: {misfit.text}", field=misfit.path) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        text = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise errors.BadRequest(f"{what} is not JSON: {text}", code="malformed_json") from None


def convert(values: dict[str, str], kind: Any, what: str = "query parameter") -> Any:
    """Text values (a query, a form) as a struct; Invalid where they do not fit."""
    try:
        found = msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        misfit = explain(error, kind)
        text = misfit.text.removesuffix(", not text")  # all of them are text
        raise errors.Invalid(f"{what} {misfit.path}: {text}", field=misfit.path) from None
    for name in values:
        value = getattr(found, name, None)
        if isinstance(value, float) and not math.isfinite(value):
            raise errors.Invalid(f"{what} {name}: expected a number", field=name)
    return found


def query(request: web.Request) -> dict[str, str]:
    """The query, one value for each name; Invalid where there are more, of which all but one would be lost."""
    found = dict(request.query)
    if len(found) < len(request.query):
        twice = next(name for name in found if len(request.query.getall(name)) > 1)
        raise errors.Invalid(f"query parameter {twice}: is given more than once", field=twice)
    return found


def refuse_query(request: web.Request) -> None:
    """Where the options are in the body, those in a query would be lost."""
    if request.query:
        name = next(iter(request.query))
        raise errors.Invalid(
            f"query parameter {name}: with a JSON body the options go into it, not into the query",
            code="query_not_taken",
            field=name,
        )


async def _expect(request: web.Request) -> web.StreamResponse | None:
    """`Expect: 100-continue` is what there is to expect (RFC 9110, 10.1.1). The guard says it, after it let the request in."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        return None
    failure = errors.ApiError("only 100-continue can be expected", code="bad_expectation")
    failure.status, failure.title = 417, "Expectation Failed"
    return problem(failure, request.path)


async def read_json(request: web.Request) -> bytes:
    """The body, as far as it is no larger than JSON may be."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > min(MAX_JSON, request.client_max_size):
            raise errors.TooLarge(
                f"the body is larger than JSON may be here: {MAX_JSON >> 20} MiB, and max_body"
            )
    return bytes(body)


def _following(request: web.Request, answer: Any) -> dict[str, str] | None:
    """The `Link` of a page to the next one (RFC 8288)."""
    if not isinstance(answer, Page) or answer.next is None:
        return None
    return {"Link": f'<{request.rel_url.update_query(cursor=answer.next)}>; rel="next"'}


def _handler(route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        arguments = []
        if route.body is not None:
            if request.content_type != JSON:
                raise errors.UnsupportedMedia(
                    f"send the body as {JSON}, not {request.content_type} (curl: use --json instead of -d)"
                )
            if route.query is None:
                refuse_query(request)
            arguments.append(decode(await read_json(request), route.body))
        elif route.query is None and route.options is None and request.query_string:
            convert(query(request), Nothing)
        if route.query is not None:
            arguments.append(convert(query(request), route.query))
        answer = await route.handler(request, *arguments)
        if isinstance(answer, web.StreamResponse):
            return answer
        return reply(answer, route.status, _following(request, answer))

    return handle
