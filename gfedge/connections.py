"""Connections: what is no HTTP is told so in the shape of all errors, and there are never more than the server can hold.

Past the limit an idle connection makes room, the longest open first: so a client that opens many and says nothing
pushes out its own. Where none is idle the new one is refused.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
import warnings
import weakref
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
from aiohttp import BadContentDispositionHeader, BadContentDispositionParam, web
from aiohttp._websocket.reader import WebSocketReader
from aiohttp.web_protocol import RequestHandler

from gfedge import errors, wire
from gfedge.settings import Settings

log = logging.getLogger(__name__)

# aiohttp warns of broken Content-Disposition headers, with what the client sent: each new text would be a line in the log.
for kind in (BadContentDispositionHeader, BadContentDispositionParam):
    warnings.simplefilter("ignore", kind)

LINGER_SECONDS = 2.0
"""How long the rest of a refused body is read, so that its client sees the answer."""
LONGEST_LINE = 64 << 10
"""Bytes of a request line: filters and cursors are long, and aiohttp takes 8 KiB."""
SPARE_FILES = 64
"""Open files that are not connections: the database, models, pictures."""
MOST_FILES = 1 << 16
STALLS = 3
"""Times `body_timeout` in which a client must take something of an answer."""
TELL_SECONDS = 60.0
MOST_PIECES = 1024
"""Frames of one message of a client."""
EXTENDED = {126: 2, 127: 8}
"""Bytes that a frame's length takes more, by what its second byte says."""


class Protocol(RequestHandler):
    """A connection. What is no HTTP is not echoed or logged, as aiohttp would: it may hold a token."""

    __slots__ = ("_look_later", "stall_seconds")

    def __init__(self, *args: Any, stall_seconds: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self.stall_seconds = stall_seconds
        self._look_later: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Not where the connection was refused, or lost, before its task began: aiohttp would log a failure."""
        if self._manager is not None:
            await super().start()

    def pause_writing(self) -> None:
        """The client does not take what is sent to it: it may not hold a connection for ever."""
        super().pause_writing()
        self._look(None)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_looking()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_looking()
        super().connection_lost(exc)

    def _look(self, waited: int | None) -> None:
        """Cuts off a client that has taken nothing of the `waited` bytes since the last look."""
        transport = self.transport
        if transport is None:
            return
        waiting = transport.get_write_buffer_size()
        if waited is not None and waiting >= waited:
            transport.abort()
            return
        loop = asyncio.get_running_loop()
        self._look_later = loop.call_later(self.stall_seconds, self._look, waiting)

    def _stop_looking(self) -> None:
        if self._look_later is not None:
            self._look_later.cancel()
            self._look_later = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  aiohttp's text may hold what the client sent
    ) -> web.StreamResponse:
        if status >= 500 and not isinstance(exc, ConnectionError):
            log.error("a request from %s failed", request.remote, exc_info=exc)
        else:
            log.debug("a request from %s could not be read or answered", request.remote)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun already")
        failure = errors.BadRequest(
            "this is not HTTP as the server understands it", code="bad_http"
        )
        failure.status = status
        response = wire.problem(failure, "")
        response.headers["Server"] = "gfedge"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.force_close()
        return response

    def log_exception(self, *args: Any, exc_info: Any = None, **options: Any) -> None:
        """Not of a body that is not packed as it says, which was answered and of which the rest was to be read."""
        if isinstance(exc_info, web.RequestPayloadError):
            log.debug("the rest of a body could not be read")
        else:
            super().log_exception(*args, exc_info=exc_info, **options)

    def set_parser(
        self, parser: WebSocketReader, data_received_cb: Callable[[], None] | None = None
    ) -> None:
        frames: Any = Frames(parser)
        super().set_parser(frames, data_received_cb)

    @property
    def idle(self) -> bool:
        """Whether it waits for a request, or for the rest of a head."""
        return self._current_request is None and not self._messages


class Frames:
    """Looks over the frames of a WebSocket before aiohttp reads them, which takes unmasked ones (RFC 6455, 5.1) and
    messages in any number of pieces. One of those becomes a frame that every reader refuses, with 1002."""

    REFUSED = b"\x8f\x80\0\0\0\0"
    """A masked frame of an opcode that there is not."""

    def __init__(self, parser: WebSocketReader) -> None:
        self._parser = parser
        self._held = b""
        """The head of a frame, as far as it came."""
        self._left = 0
        """Bytes of a frame that are still to come after its head."""
        self._pieces = 0

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        data, self._held = self._held + data, b""
        at = min(self._left, len(data))
        self._left -= at
        while at < len(data):
            size = 2 if len(data) < at + 2 else 2 + EXTENDED.get(data[at + 1] & 0x7F, 0)
            if len(data) < at + size:
                data, self._held = data[:at], data[at:]
                break
            if not self._takes(*data[at : at + 2]):
                return self._parser.feed_data(data[:at] + self.REFUSED)
            whole = size + 4 + _length(data[at + 1 : at + size])
            step = min(whole, len(data) - at)
            self._left = whole - step
            at += step
        return self._parser.feed_data(data)

    def feed_eof(self) -> None:
        self._parser.feed_eof()

    def _takes(self, kind: int, length: int) -> bool:
        """Whether a frame with these first two bytes may follow those before it."""
        if not kind & 8:  # control frames may come between the pieces
            self._pieces = 0 if kind & 0x80 else self._pieces + 1
        return bool(length & 0x80) and self._pieces <= MOST_PIECES


def _length(head: bytes) -> int:
    """Bytes of a frame's content, after the mask."""
    return int.from_bytes(head[1:], "big") if head[1:] else head[0] & 0x7F


class Server(web.Server):
    """The listening side: makes a Protocol of every connection, and counts them."""

    def __init__(
        self,
        *args: Any,
        limit: int,
        limit_per_address: int,
        stall_seconds: float,
        idle_seconds: float,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.idle_seconds = idle_seconds
        self._limit = limit
        self._stall_seconds = stall_seconds
        self._limit_per_address = limit_per_address
        self._told = -TELL_SECONDS
        self._open: dict[RequestHandler, str] = {}
        self._agreeing: dict[int, weakref.ref[socket.socket]] = {}
        """Connections on which TLS is not agreed yet, by descriptor, the oldest first; some may be gone."""
        self._counts: Counter[str] = Counter()

    def __call__(self) -> RequestHandler:
        stall = self._stall_seconds
        return Protocol(self, loop=self._loop, stall_seconds=stall, **self._kwargs)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._agreeing.pop(transport.get_extra_info("socket").fileno(), None)
        peer = transport.get_extra_info("peername")
        address = self._open[handler] = str(peer[0]) if peer else ""
        self._counts[address] += 1
        if self._counts[address] > self._limit_per_address:
            self._make_room(handler, transport, address)
        elif len(self._open) > self._limit:
            self._make_room(handler, transport, None)

    def accepted(self, made: socket.socket) -> None:
        """Counts a connection on which TLS is not agreed yet. Past the limit those go that take the longest."""
        self._agreeing.pop(made.fileno(), None)
        self._agreeing[made.fileno()] = weakref.ref(made)
        while len(self._agreeing) + len(self._open) > self._limit and self._agreeing:
            oldest = self._agreeing.pop(next(iter(self._agreeing)))()
            if oldest is not None and oldest.fileno() >= 0:
                with suppress(OSError):  # it went by itself
                    oldest.shutdown(socket.SHUT_RDWR)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        if (address := self._open.pop(handler, None)) is not None:
            self._counts -= Counter([address])

    def _make_room(
        self, new: RequestHandler, transport: asyncio.Transport, address: str | None
    ) -> None:
        """Closes the oldest idle connection (of that address, if one is given), else the new one."""
        for other, where in self._open.items():
            assert isinstance(other, Protocol)
            if other.idle and other is not new and address in (None, where):
                other.force_close()
                return
        self._tell()
        transport.write(_full())
        new.force_close()

    def _tell(self) -> None:
        """Says in the log that connections are refused, once in a while."""
        now = time.monotonic()
        if now - self._told > TELL_SECONDS:
            self._told = now
            log.warning(
                "connections are refused: %d are open and none is idle (settings max_connections, "
                "max_connections_per_address; open files that the system allows)",
                len(self._open),
            )


def _full() -> bytes:
    """What a connection beyond the limit is told."""
    failure = errors.Unavailable(
        "too many connections are open: try again", code="too_many_connections"
    )
    body = msgspec.json.encode(failure.problem())
    return (
        f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: {wire.PROBLEM}\r\nServer: gfedge\r\n"
        f"Retry-After: 1\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class Runner(web.AppRunner):
    """Runs an application behind a Server of ours."""

    def __init__(self, app: web.Application, settings: Settings, **options: Any) -> None:
        super().__init__(
            app,
            access_log=None,
            keepalive_timeout=settings.idle_timeout,
            lingering_time=LINGER_SECONDS,
            max_line_size=LONGEST_LINE,
            handle_signals=False,
            **options,
        )
        self._settings = settings

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        options = made._kwargs  # noqa: SLF001  aiohttp has no other way to name a protocol class
        return Server(
            made.request_handler,
            request_factory=made.request_factory,
            limit=max(8, min(self._settings.max_connections, file_limit() - SPARE_FILES)),
            limit_per_address=self._settings.max_connections_per_address,
            stall_seconds=STALLS * self._settings.body_timeout,
            idle_seconds=self._settings.idle_timeout,
            **options,
        )


class Listening(socket.socket):
    """A socket that tells of each connection as it comes: of TLS a protocol hears only when it is agreed."""

    def __init__(self, listening: socket.socket, accepted: Callable[[socket.socket], None]) -> None:
        super().__init__(fileno=listening.detach())
        self._accepted = accepted

    def accept(self) -> tuple[socket.socket, Any]:
        made, address = super().accept()
        self._accepted(made)
        return made, address


class Site(web.SockSite):
    """Listens. TLS must be agreed in the time that a head may take; asyncio gives it a minute."""

    async def start(self) -> None:
        if self._ssl_context is None:
            return await super().start()
        await web.BaseSite.start(self)
        server = self._runner.server
        assert isinstance(server, Server)
        self._server = await asyncio.get_running_loop().create_server(
            server,
            sock=Listening(self._sock, server.accepted),
            ssl=self._ssl_context,
            ssl_handshake_timeout=server.idle_seconds,
        )
        return None


def file_limit() -> int:
    """Open files that this process may have, raised to what the system lets it."""
    try:
        import resource
    except ImportError:  # Windows
        return MOST_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return MOST_FILES if soft == resource.RLIM_INFINITY else soft
