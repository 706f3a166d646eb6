"""Logging in, tokens and the audit log over HTTP."""

from __future__ import annotations

import time

from aiohttp import hdrs, web

from gfedge import auth, errors, keys
from gfedge.access import audit, store, tokens
from gfedge.access.guard import DOOR, TICKET_SECONDS, Door
from gfedge.access.sessions import WHOLE_SECONDS
from gfedge.access.types import (
    AuditPage,
    AuditQuery,
    Login,
    MadeToken,
    NewToken,
    Session,
    Ticket,
    Token,
    Tokens,
)
from gfedge.auth import Who
from gfedge.wire import Route, reply


def routes() -> list[Route]:
    session, made = "/auth/session", "/admin/tokens"
    return [
        Route(
            method="GET",
            path=session,
            handler=get_session,
            summary="Who is asking",
            reply=Session,
        ),
        Route(
            method="POST",
            path=session,
            handler=log_in,
            fails={401: ("bad_token",), 429: ("too_many_tries",)},
            example={"token": "gfe_1a2b3c4d_…"},
            summary="Log a browser in, by a token or the code of a setup link; answers with a cookie",
            body=Login,
            reply=Session,
            status=201,
            scope="open",
        ),
        Route(
            method="DELETE",
            path=session,
            handler=log_out,
            summary="Log this browser out",
            reply=Session,
            scope="read",
        ),
        Route(
            method="POST",
            path="/auth/ws-ticket",
            handler=make_ticket,
            summary="A ticket that opens one WebSocket, for pages of other origins",
            reply=Ticket,
            status=201,
            scope="read",
        ),
        Route(
            method="GET",
            path=made,
            handler=list_tokens,
            summary="All tokens, without their secrets",
            reply=Tokens,
            scope="admin",
        ),
        Route(
            method="POST",
            path=made,
            handler=make_token,
            fails={409: ("too_many_tokens",)},
            summary="Make a token; its text is shown this once",
            body=NewToken,
            reply=MadeToken,
            status=201,
            scope="admin",
        ),
        Route(
            method="DELETE",
            path=f"{made}/{{id}}",
            handler=revoke_token,
            fails={404: ("token_not_found",)},
            summary="Revoke a token, and log out who logged in with it",
            reply=Token,
            scope="admin",
        ),
        Route(
            method="GET",
            path="/admin/audit",
            handler=list_audit,
            summary="What admins did, newest first",
            query=AuditQuery,
            reply=AuditPage,
            scope="admin",
        ),
    ]


async def get_session(request: web.Request) -> Session:
    return _session(auth.who(request))


async def log_in(request: web.Request, body: Login) -> web.Response:
    door = request.app[DOOR]
    if bool(body.token) == bool(body.setup):
        raise errors.Invalid("give one of `token` and `setup`", field="token")
    if not door.needs_token:
        return reply(_session(auth.LOCAL), 201)
    found = door.tokens.who(body.token) if body.token else door.still(door.setups.take(body.setup))
    who = await door.known(request, found)
    response = reply(_session(who), 201)
    _give_cookie(response, door, await door.sessions.begin(who))
    return response


async def log_out(request: web.Request) -> web.Response:
    door = request.app[DOOR]
    response = reply(_session(auth.who(request)))
    if cookie := request.cookies.get(door.cookie):
        await door.sessions.end(cookie)
        response.del_cookie(door.cookie, path="/", secure=bool(door.settings.tls_cert))
    return response


async def make_ticket(request: web.Request) -> Ticket:
    ticket = request.app[DOOR].tickets.issue(auth.who(request))
    return Ticket(ticket=ticket, expires_in_seconds=TICKET_SECONDS)


async def list_tokens(request: web.Request) -> Tokens:
    return Tokens(tokens=request.app[DOOR].tokens.list())


async def make_token(request: web.Request, body: NewToken) -> MadeToken:
    text, row = tokens.made(body, time.time())
    act = audit.act(request, "token.create", row.id, f"{row.scope} {row.name}")
    return await request.app[DOOR].tokens.add(text, row, act)


async def revoke_token(request: web.Request) -> Token:
    token_id = request.match_info["id"]
    act = audit.act(request, "token.revoke", token_id)
    return await request.app[DOOR].tokens.revoke(token_id, act)


async def list_audit(request: web.Request, query: AuditQuery) -> AuditPage:
    found = await request.app[keys.DB].read(store.list_audit, query)
    page = found[: query.limit]
    following = str(page[-1].number) if len(found) > len(page) else None
    return AuditPage(records=page, next=following)


def _session(who: Who) -> Session:
    return Session(name=who.name, scope=who.scope, token_id=who.token_id)


def _give_cookie(response: web.Response, door: Door, cookie: str) -> None:
    """Scripts cannot read it, other sites cannot send it, and with TLS it never goes over a plain connection."""
    response.set_cookie(
        door.cookie,
        cookie,
        max_age=int(WHOLE_SECONDS),
        path="/",
        httponly=True,
        samesite="Strict",
        secure=bool(door.settings.tls_cert),
    )
    response.headers[hdrs.CACHE_CONTROL] = "no-store"
