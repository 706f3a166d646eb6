"""The audit log: what admins did, each record chained to the one before by sha256.

The guard records every change that a route of scope `admin` made. A slice that has better words for it does so itself,
in the transaction of the act, so that there is never one without the other:

    await db.write(promote, version, audit.act(request, "model.promote", "sprite@3"))
    def promote(cursor, version, act): ...; audit.record(cursor, act)
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable

import msgspec
from aiohttp import web

from gfedge import auth, errors, keys
from gfedge.access import store
from gfedge.access.types import AuditRow
from gfedge.auth import Who
from gfedge.db import Cursor
from gfedge.wire import Route

log = logging.getLogger(__name__)

RECORDED = web.RequestKey("recorded", bool)
MOST = 500
"""Characters of a path in a record."""
GENESIS = "0" * 64


class Act(msgspec.Struct, kw_only=True, frozen=True):
    """Something done that is worth remembering. No prompts, no secrets."""

    who: Who
    address: str
    action: str
    target: str = ""
    detail: str = ""


def act(request: web.Request, action: str, target: str = "", detail: str = "") -> Act:
    """What the one who asks is about to do: `act(request, "model.promote", "sprite@3")`."""
    request[RECORDED] = True
    return Act(
        who=auth.who(request),
        address=request.remote or "",
        action=action,
        target=target,
        detail=detail,
    )


def record(cursor: Cursor, act: Act) -> None:
    """Appends an act, as part of the transaction that does it."""
    last = store.last_audit(cursor)
    store.insert_audit(cursor, chained(last, act, time.time()))


async def note(request: web.Request, route: Route) -> None:
    """Appends what an admin's request did, unless its slice did so in words of its own."""
    if request.get(RECORDED):
        return
    name = f"{route.method} {route.path}"
    try:
        await request.app[keys.DB].write(record, act(request, name, request.path[:MOST]))
    except errors.ApiError as failure:  # it is done already: the answer must not say otherwise
        log.error("the audit log misses that %s did %s: %s", auth.who(request).name, name, failure)


def chained(last: AuditRow | None, act: Act, now: float) -> AuditRow:
    """The record that follows `last`."""
    row = AuditRow(
        number=last.number + 1 if last else 1,
        made_at=now,
        name=act.who.name,
        token_id=act.who.token_id,
        address=act.address,
        action=act.action,
        target=act.target,
        detail=act.detail,
        previous=last.sha256 if last else GENESIS,
        sha256="",
    )
    return msgspec.structs.replace(row, sha256=digest(row))


def digest(row: AuditRow) -> str:
    """sha256 (hex) over a record's other fields, as a JSON array in their order."""
    values = [getattr(row, name) for name in AuditRow.__struct_fields__ if name != "sha256"]
    return hashlib.sha256(msgspec.json.encode(values)).hexdigest()


class Broken(Exception):
    """The chain does not hold; the text says where."""


def follow(rows: Iterable[AuditRow]) -> tuple[int, str]:
    """(number, sha256) of the last record, oldest first; Broken where one was changed or is missing.

    Records cut off at the end leave a chain that holds: keep the last digest elsewhere to notice that.
    """
    number, previous = 0, GENESIS
    for row in rows:
        if row.number != number + 1:
            raise Broken(f"record {number + 1} is missing")
        if row.previous != previous or row.sha256 != digest(row):
            raise Broken(f"record {row.number} was changed, or the one before it")
        number, previous = row.number, row.sha256
    return number, previous
