"""Live streams over WebSockets: one reader and one sender for each client, so that none waits for another."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from gfedge import auth, errors, keys, metrics, wire
from gfedge.events import BROKEN, FELL_BEHIND, Client, StreamName, Subscription
from gfedge.tasks import Tasks

log = logging.getLogger(__name__)

GRACE_SECONDS = 0.15
"""How long a new client may take to say what it wants before it gets everything."""
PING_SECONDS = 20.0
"""Between pings; a client that does not answer within half of it is gone."""
LOOK_SECONDS = 2.0
"""Between looks whether a client's token is still valid."""
FLUSH_SECONDS, CLOSE_SECONDS = 1.0, 2.0
"""What a client gets to take what waits for it, then to answer the close; then it is cut off."""
PROTOCOLS = ("gfedge.v1",)
"""What a client may ask for, as one does that brings its ticket in the same header."""
MAX_MESSAGE = 64 << 10
"""Bytes of a client's message; a larger one closes its connection with 1009."""
REASONS = {FELL_BEHIND: b"fell behind; resume with since_seq"}


async def stream(request: web.Request, name: StreamName) -> web.StreamResponse:
    """Serves one client of a stream until either side has enough."""
    ws = web.WebSocketResponse(
        heartbeat=PING_SECONDS, max_msg_size=MAX_MESSAGE, compress=False, protocols=PROTOCOLS
    )
    _check(request, ws)
    client = request.app[keys.EVENTS].join(name)
    gauge = metrics.event_clients.labels(name)
    gauge.inc()
    tasks = Tasks()
    try:
        await ws.prepare(request)
        tasks.spawn(f"read a client of {name}", _read(ws, client))
        tasks.every(f"look at a client of {name}", LOOK_SECONDS, partial(_look, request, client))
        sender = tasks.spawn(f"send to a client of {name}", _send(ws, client))
        if await client.gone != FELL_BEHIND:
            await asyncio.wait([sender], timeout=FLUSH_SECONDS)
    finally:
        gauge.dec()
        client.stream.part(client)
        await tasks.stop()
        await _close(request, ws, client)
    return ws


def _check(request: web.Request, ws: web.WebSocketResponse) -> None:
    """Refuses what is no WebSocket. Pages of other sites were refused at the door."""
    if not ws.can_prepare(request):
        failure = errors.ApiError(
            "this is a WebSocket: connect with ws://, as in `new WebSocket(url)`",
            code="upgrade_required",
            headers={"Upgrade": "websocket", "Connection": "Upgrade"},
        )
        failure.status, failure.title = 426, "Upgrade Required"
        raise failure


async def _look(request: web.Request, client: Client) -> None:
    """Ends the stream of a client whose token is no longer valid."""
    if not auth.still(request):
        client.leave(WSCloseCode.POLICY_VIOLATION)


async def _read(ws: web.WebSocketResponse, client: Client) -> None:
    """Takes what the client says; ends with its connection."""
    code = BROKEN
    try:
        try:
            said = await ws.receive(timeout=GRACE_SECONDS)
        except TimeoutError:
            await client.stream.subscribe(client, Subscription())
            said = await ws.receive()
        while said.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            await _take(client, said)
            said = await ws.receive()
        code = ws.close_code or 1000
    except ConnectionError:
        log.debug("a client of %s went away while a ping of it was answered", client.stream.name)
    finally:
        client.leave(code)


async def _take(client: Client, said: WSMessage) -> None:
    try:
        if said.type is WSMsgType.BINARY:
            raise errors.BadRequest("send text messages: JSON", code="malformed_json")
        wanted = wire.decode(said.data.encode(), Subscription, "the message")
        await client.stream.subscribe(client, wanted)
    except errors.ApiError as error:
        client.stream.refuse(client, error)
        if client.wanted is None:
            await client.stream.subscribe(client, Subscription())


async def _send(ws: web.WebSocketResponse, client: Client) -> None:
    """Empties what waits for the client, as fast as it reads."""
    try:
        while not (client.gone.done() and not client.waiting):
            await client.ready.wait()
            while (text := client.take()) is not None:
                await ws.send_frame(text, WSMsgType.TEXT)
            if client.wanted is not None and client.wanted.interval:
                await asyncio.wait([client.gone], timeout=client.wanted.interval)
    except ConnectionError:
        client.leave(BROKEN)


async def _close(request: web.Request, ws: web.WebSocketResponse, client: Client) -> None:
    """Says why, where the client still listens. A close frame would wait behind stuck data: it gets a time."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            if ws.prepared and client.gone.done() and not client.gone.cancelled():
                code = client.gone.result()
                await ws.close(code=code, message=REASONS.get(code, b""))
    except TimeoutError:
        log.debug("a client of %s did not take its close", client.stream.name)
    if request.transport is not None and ws.close_code in (None, WSCloseCode.ABNORMAL_CLOSURE):
        request.transport.abort()
