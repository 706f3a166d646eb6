"""The door: every request passes here before any handler, and nothing is open that does not say so.

In order: a method, a name and a proxy that this server knows; a page that may ask; who asks; what they may do; a body
of a size and pace that is taken. The order is the promise: whoever is not known learns nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext, suppress

from aiohttp import StreamReader, hdrs, web

from gfedge import auth, errors, keys, wire
from gfedge.access import audit, login
from gfedge.access.audit import Act
from gfedge.access.origins import Origins, is_websocket
from gfedge.access.sessions import Codes, Sessions
from gfedge.access.throttle import Throttle
from gfedge.access.tokens import TokenBook
from gfedge.auth import LOCAL, Who
from gfedge.db import Database
from gfedge.settings import Settings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
NOBODY = Who(name="anonymous", scope="open")
REALM = 'Bearer realm="gfedge"'
SUBPROTOCOL = "gfedge.v1"
"""What a WebSocket's handler answers where it is asked for it."""
TICKET = "ticket."
TICKET_SECONDS = 30.0
SETUP_SECONDS = 600.0
MIN_RATE = 1024
"""Bytes per second at which a body must come."""
CORS_SECONDS = 600
CORS_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Prefer, Range, Last-Event-ID, Content-Digest, X-Request-Timeout"
CORS_SHOWN = "Location, ETag, Link, Retry-After, Content-Range, Idempotent-Replayed, Preference-Applied, Repr-Digest"


class Door:
    """What the guard knows."""

    def __init__(self, settings: Settings, db: Database, *, no_auth: bool = False) -> None:
        self.settings = settings
        self.origins = Origins(settings)
        self.needs_token = not (settings.local or no_auth)
        self.tokens = TokenBook(db)
        self.sessions = Sessions(db, self.tokens)
        self.setups = Codes(SETUP_SECONDS)
        self.tickets = Codes(TICKET_SECONDS)
        self.throttle = Throttle()
        self.cookie = "__Host-gfedge_session" if settings.tls_cert else "gfedge_session"
        self._db = db

    async def open(self) -> None:
        await self.tokens.open()
        await self.sessions.open()

    async def rename(self) -> list[str]:
        """Takes the names and origins that the settings have now."""
        self.origins = Origins(self.settings)
        return []

    async def settle(self) -> None:
        """Writes what may be written late."""
        await self.tokens.write_uses()
        await self.sessions.write_uses()
        await self.sessions.prune()

    async def who(self, request: web.Request) -> Who:
        """Who asks; NOBODY without credentials, Unauthorized with wrong ones."""
        if not self.needs_token:
            return LOCAL
        headers = request.headers.getall(hdrs.AUTHORIZATION, ())
        if headers:
            return await self._bearer(request, headers[0] if len(headers) == 1 else "")
        if is_websocket(request) and (ticket := _ticket(request)):
            found = self.tickets.take(ticket)
            return await self.known(request, self.still(found))
        if request.get(FOREIGN):  # a foreign page brings a token, never our cookie
            return NOBODY
        return self.sessions.who(request.cookies.get(self.cookie, "")) or NOBODY

    def still(self, who: Who | None) -> Who | None:
        """The same one, while the token behind is valid."""
        if who is None or not self.needs_token:
            return who
        return self.tokens.holder(who.token_id)

    async def _bearer(self, request: web.Request, header: str) -> Who:
        kind, _, text = header.partition(" ")
        right = self.tokens.who(text.strip()) if kind.lower() == "bearer" else None
        return await self.known(request, right)

    async def known(self, request: web.Request, found: Who | None) -> Who:
        """The one found; where it is nobody, the wrong try is counted and refused."""
        if found is not None:
            return found
        tries = self.throttle.wrong(request.remote or "", time.monotonic())
        if tries <= self.throttle.tries:
            raise errors.Unauthorized(
                "the token is not valid here: it is wrong, expired or revoked",
                code="bad_token",
                headers={hdrs.WWW_AUTHENTICATE: f'{REALM}, error="invalid_token"'},
            )
        if tries == self.throttle.tries + 1:
            await self._note_burst(request)
        raise errors.TooBusy(
            "too many wrong tokens came from this address: wait; a valid one is let in at any time",
            code="too_many_tries",
            headers={hdrs.RETRY_AFTER: f"{self.throttle.seconds:.0f}"},
        )

    async def _note_burst(self, request: web.Request) -> None:
        act = Act(who=NOBODY, address=request.remote or "", action="auth.burst")
        with suppress(errors.ApiError):  # a full disk must not change the answer
            await self._db.write(audit.record, act)


NO_PACE = nullcontext()
NO_AUTH = web.AppKey("no_auth", bool)
"""Whether the operator typed --insecure-no-auth."""
DOOR = web.AppKey("door", Door)
FOREIGN = web.RequestKey("foreign", str)
"""The allowed foreign origin that asks, if one does."""


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Lets a request in, or says why not."""
    door = request.app[DOOR]
    _check_method(request)
    door.origins.check_host(request)
    door.origins.check_forwarded(request)
    _check_query(request)
    request[FOREIGN] = door.origins.foreign(request)
    if request.method == hdrs.METH_OPTIONS and request[FOREIGN]:
        return web.Response(status=204, headers=_preflight())
    who = request[auth.WHO] = await door.who(request)
    route = wire.route_of(request)
    needs = route.needs if route is not None else "read"
    if not who.may(needs) or (who is NOBODY and not _shows(request, route)):
        return _refuse(request, who, needs)
    if request.can_read_body:
        _check_coding(request)
        _check_size(request, route)
    # Most requests have no body, and what a generator costs is to be had for nothing.
    paced = _paced(request, door.settings.body_timeout) if request.can_read_body else NO_PACE
    async with paced:
        await _go_on(request)
        response = await handler(request)
    if needs == "admin" and route is not None and route.method != hdrs.METH_GET:
        await audit.note(request, route)
    return response


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Lets an allowed foreign page read the answer, never with credentials of the browser; keeps shared caches off."""
    door = request.app[DOOR]
    if origin := request.get(FOREIGN):
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = CORS_SHOWN
    if door.origins.allowed:
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)
    if door.needs_token:
        kept = response.headers.get(hdrs.CACHE_CONTROL, "no-store")
        response.headers[hdrs.CACHE_CONTROL] = kept.replace("public", "private")


def _shows(request: web.Request, route: wire.Route | None) -> bool:
    """Whether a request without a token brings the secret that its route takes instead."""
    return route is None or not route.secret or route.secret in request.headers


def _check_method(request: web.Request) -> None:
    if request.method not in METHODS:
        raise errors.MethodNotAllowed(
            f"no path takes the method {request.method[:20]}",
            headers={hdrs.ALLOW: ", ".join(METHODS), hdrs.CONNECTION: "close"},
        )


def _check_query(request: web.Request) -> None:
    """A token in a URL ends up in histories and logs."""
    if request.query_string and {"token", "access_token"} & request.query.keys():
        raise errors.BadRequest(
            "a token does not belong into a URL: send `Authorization: Bearer TOKEN`; make a new one, "
            "for this one may be in logs now",
            code="token_in_query",
        )


def _preflight() -> dict[str, str]:
    return {
        hdrs.ACCESS_CONTROL_ALLOW_METHODS: ", ".join(METHODS),
        hdrs.ACCESS_CONTROL_ALLOW_HEADERS: CORS_HEADERS,
        hdrs.ACCESS_CONTROL_MAX_AGE: str(CORS_SECONDS),
    }


def _refuse(request: web.Request, who: Who, needs: str) -> web.StreamResponse:
    if who is not NOBODY:
        raise errors.Forbidden(
            f"this needs the scope {needs}, and {who.name!r} has {who.scope}",
            code="scope_too_small",
            headers={
                hdrs.WWW_AUTHENTICATE: f'{REALM}, error="insufficient_scope", scope="{needs}"'
            },
        )
    if login.wanted(request):
        return login.page({hdrs.WWW_AUTHENTICATE: REALM})
    raise errors.Unauthorized(
        "this server wants a token: send `Authorization: Bearer TOKEN` (`gfedge token create` makes one)",
        headers={hdrs.WWW_AUTHENTICATE: REALM},
    )


def _ticket(request: web.Request) -> str:
    offered = request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "").split(",")
    found = (one.strip() for one in offered)
    return next((one.removeprefix(TICKET) for one in found if one.startswith(TICKET)), "")


# The body


def _check_size(request: web.Request, route: wire.Route | None) -> None:
    most = wire.max_body(route, request.app[keys.SETTINGS].max_body)
    if most is not None and (request.content_length or 0) > most:
        raise errors.TooLarge(
            f"the body has {request.content_length:,} bytes; {most:,} are taken here"
        )


def _check_coding(request: web.Request) -> None:
    """aiohttp undoes the last coding, chunks, and would hand on what is packed by those before it (RFC 9112, 6.1)."""
    codings = ",".join(request.headers.getall(hdrs.TRANSFER_ENCODING, ("chunked",)))
    if codings.strip().lower() != "chunked":
        raise errors.UnknownCoding(
            f"the transfer coding {codings[:50]!r} is not known here: send `Content-Encoding: gzip` for a packed body",
            headers={hdrs.CONNECTION: "close"},
        )


async def _go_on(request: web.Request) -> None:
    """Asks for the body of a client that waits to be asked (RFC 9110, 10.1.1), now that it is welcome."""
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer has not begun


@asynccontextmanager
async def _paced(request: web.Request, seconds: float) -> AsyncIterator[None]:
    """Gives up a body that does not come, or comes too slowly; how long a handler takes is its own affair."""
    if not request.can_read_body or is_websocket(request):
        yield
        return
    try:
        async with asyncio.timeout(None) as limit:
            watch = _Pace(request.content, seconds, limit)
            try:
                yield
            finally:
                watch.stop()
    except TimeoutError:
        if not limit.expired():
            raise
        raise errors.TimedOut(
            f"the body stopped coming: at least {MIN_RATE} bytes a second are wanted",
            headers={hdrs.CONNECTION: "close"},
        ) from None


class _Pace:
    """Looks at a body from time to time, and ends the wait for one that does not go on."""

    def __init__(self, body: StreamReader, seconds: float, limit: asyncio.Timeout) -> None:
        self._body = body
        self._seconds = seconds
        self._limit = limit
        self._seen = body.total_bytes
        self._loop = asyncio.get_running_loop()
        self._look_later()

    def stop(self) -> None:
        self._timer.cancel()

    def _look_later(self) -> None:
        self._timer = self._loop.call_later(self._seconds, self._look)

    def _look(self) -> None:
        if self._body.is_eof():
            return
        came, self._seen = self._body.total_bytes - self._seen, self._body.total_bytes
        waited_for = self._body._waiter is not None  # noqa: SLF001  else the reader is the slow one
        if waited_for and came < MIN_RATE * self._seconds:
            self._limit.reschedule(self._loop.time())
        else:
            self._look_later()
