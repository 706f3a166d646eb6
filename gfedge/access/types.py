"""Tokens, sessions and audit records, as rows and on the wire."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from gfedge.wire import Page

Scope = Literal["metrics", "read", "run", "admin"]
"""What a token may be made for; what a route needs has `open` besides."""
Name = Annotated[
    str,
    Meta(
        pattern=r"^[^\x00-\x1f\x7f]{1,100}$(?!\n)",
        description="Who or what uses the token: unreal-plugin.",
    ),
]


class TokenRow(msgspec.Struct, kw_only=True, frozen=True):
    """A token as it is stored."""

    table: ClassVar[str] = "tokens"

    id: str
    name: str
    scope: Scope
    sha256: str
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    used_at: float | None = None

    def valid(self, now: float) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class Token(msgspec.Struct, kw_only=True, frozen=True):
    """A token as admins see it."""

    id: str
    name: str
    scope: Scope
    state: Literal["valid", "expired", "revoked"]
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    used_at: float | None
    """Last use, to the minute."""


class Tokens(msgspec.Struct, kw_only=True, frozen=True):
    """All tokens that there ever were, newest first."""

    tokens: list[Token]


class NewToken(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What a new token is for."""

    name: Name
    scope: Scope = "run"
    expires_in_seconds: (
        Annotated[float, Meta(ge=1, le=10 * 366 * 86400, description="Absent: until revoked.")]
        | None
    ) = None


class MadeToken(msgspec.Struct, kw_only=True, frozen=True):
    """A new token. Its text is shown this once and stored nowhere."""

    token: str
    id: str
    name: str
    scope: Scope
    expires_at: float | None


class Login(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One of the two: a token, or the code of a setup link."""

    token: Annotated[str, Meta(max_length=300)] = ""
    setup: Annotated[str, Meta(max_length=300)] = ""


class Session(msgspec.Struct, kw_only=True, frozen=True):
    """Who is asking, and what they may do."""

    name: str
    scope: str
    token_id: str


class SessionRow(msgspec.Struct, kw_only=True, frozen=True):
    """A browser's session as it is stored."""

    table: ClassVar[str] = "sessions"

    sha256: str
    token_id: str
    created_at: float
    used_at: float


class Ticket(msgspec.Struct, kw_only=True, frozen=True):
    """Opens one WebSocket: `new WebSocket(url, ["gfedge.v1", "ticket." + ticket])`."""

    ticket: str
    expires_in_seconds: float


class AuditRow(msgspec.Struct, kw_only=True, frozen=True):
    """What an admin did, chained to what was done before."""

    table: ClassVar[str] = "audit"

    number: int
    made_at: float
    name: str
    token_id: str
    address: str
    action: str
    target: str
    detail: str
    previous: str
    sha256: str


class AuditQuery(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which audit records a listing shows."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    cursor: Annotated[str, Meta(pattern=r"^[0-9]{0,18}$(?!\n)")] = ""


class AuditPage(Page, kw_only=True):
    """Audit records, newest first."""

    records: list[AuditRow]


class Note(msgspec.Struct, kw_only=True, frozen=True):
    """What a running server leaves in its data folder for the commands on its machine."""

    address: str
    token: str
    certificate: str
