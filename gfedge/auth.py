"""Who asks. The guard at the door finds it out once a request; handlers read it with `auth.who(request)`."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from aiohttp import web

from gfedge.wire import Scope

GRANTS: dict[Scope, tuple[Scope, ...]] = {
    "open": ("open",),
    "metrics": ("open", "metrics"),
    "read": ("open", "metrics", "read"),
    "run": ("open", "metrics", "read", "run"),
    "admin": ("open", "metrics", "read", "run", "admin"),
}
"""What each scope may do: a ladder, with `metrics` beside it for scrapers."""


class Who(msgspec.Struct, kw_only=True, frozen=True):
    """The one who asks: a token by its name, or `local` where none is needed."""

    name: str
    scope: Scope
    token_id: str = ""
    """Id of the token, also where a browser's session stands for it; empty without one."""

    def may(self, scope: Scope) -> bool:
        return scope in GRANTS[self.scope]


LOCAL = Who(name="local", scope="admin")
"""Everybody on the machine itself, while the server listens on loopback alone."""
WHO = web.RequestKey("who", Who)


def who(request: web.Request) -> Who:
    """The one who asks; a KeyError means that the request did not come through the guard."""
    return request[WHO]


def own_key(request: web.Request, key: str) -> str:
    """An Idempotency-Key as it is kept: each token has its own, so that nobody meets the jobs of another by guessing."""
    token_id = who(request).token_id
    return f"{token_id} {key}" if token_id else key


STILL: web.AppKey[Callable[[Who], bool]] = web.AppKey("still")


def still(request: web.Request) -> bool:
    """Whether the one who asked may go on: their token may have been revoked meanwhile. For long connections."""
    return request.app[STILL](who(request))
