"""Tokens `gfe_<id>_<secret>`: held in memory, written through; of the secret only its sha256 is kept anywhere."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time

import msgspec

from gfedge import errors
from gfedge.access import audit, store
from gfedge.access.audit import Act
from gfedge.access.types import MadeToken, NewToken, Token, TokenRow
from gfedge.auth import Who
from gfedge.db import Cursor, Database

FORM = re.compile(r"gfe_([A-Za-z0-9]{4,32})_([A-Za-z0-9_-]{32,128})")
MAX_TOKENS = 10_000
USE_SECONDS = 60.0
"""How coarse the last use of a token is, and how often it is written."""
NOBODY = "0" * 64


def new_secret(size: int = 32) -> str:
    """Random bytes as lower-case base32, which nobody misreads and every shell takes."""
    return base64.b32encode(secrets.token_bytes(size)).decode().rstrip("=").lower()


def sha256(text: str) -> str:
    """Digest (hex) under which a secret is kept: fast on purpose, because secrets are random and long."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def made(asked: NewToken, now: float) -> tuple[str, TokenRow]:
    """A new token: its text, and the row that knows it."""
    text = f"gfe_{new_secret(5)}_{new_secret()}"
    expires = None if asked.expires_in_seconds is None else now + asked.expires_in_seconds
    return text, row_of(text, asked.name, asked.scope, now, expires)


def row_of(
    text: str, name: str, scope: str, now: float, expires_at: float | None = None
) -> TokenRow:
    """The row of a token's text; ValueError where it has not the form of a token."""
    if (found := FORM.fullmatch(text)) is None:
        raise ValueError(
            "a token looks like gfe_<id>_<secret>, with at least 32 characters of secret"
        )
    values = {"id": found[1], "name": name, "scope": scope, "sha256": sha256(text)}
    return msgspec.convert({**values, "created_at": now, "expires_at": expires_at}, TokenRow)


def shown(row: TokenRow, now: float) -> Token:
    state = "revoked" if row.revoked_at is not None else "valid" if row.valid(now) else "expired"
    values = {name: getattr(row, name, None) for name in Token.__struct_fields__}
    return msgspec.convert({**values, "state": state}, Token)


def insert(cursor: Cursor, row: TokenRow, act: Act) -> None:
    """Adds a token, and remembers who did."""
    store.insert_token(cursor, row)
    audit.record(cursor, act)


def revoke(cursor: Cursor, token_id: str, at: float, act: Act) -> None:
    """Ends a token and its sessions, and remembers who did."""
    store.revoke_token(cursor, token_id, at)
    audit.record(cursor, act)


class TokenBook:
    """The tokens of this server."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._rows: dict[str, TokenRow] = {}
        self._lent: dict[str, TokenRow] = {}
        self._used: dict[str, float] = {}

    async def open(self) -> None:
        self._rows = {row.id: row for row in await self._db.read(store.list_tokens)}

    def list(self) -> list[Token]:
        """All tokens, newest first."""
        now = time.time()
        found = [self._seen(row) for row in self._rows.values()]
        return [shown(row, now) for row in sorted(found, key=lambda row: -row.created_at)]

    @property
    def any_valid(self) -> bool:
        now = time.time()
        return any(row.valid(now) for row in self._rows.values())

    def who(self, text: str) -> Who | None:
        """Whose token this is; takes as long for a wrong one as for a right one."""
        found = FORM.fullmatch(text)
        row = self._find(found[1]) if found else None
        same = hmac.compare_digest(sha256(text), row.sha256 if row else NOBODY)
        return self.holder(row.id) if row and same else None

    def holder(self, token_id: str) -> Who | None:
        """Who holds the token of this id, if it is valid now; counts as a use."""
        row, now = self._find(token_id), time.time()
        if row is None or not row.valid(now):
            return None
        if row.id in self._rows:
            self._used[row.id] = now
        return Who(name=row.name, scope=row.scope, token_id=row.id)

    async def add(self, text: str, row: TokenRow, act: Act) -> MadeToken:
        """Stores a token; after this it is valid."""
        if len(self._rows) >= MAX_TOKENS:
            raise errors.Conflict(f"there are {MAX_TOKENS} tokens already", code="too_many_tokens")
        await self._db.write(insert, row, act)
        self._rows[row.id] = row
        values = {name: getattr(row, name) for name in ("id", "name", "scope", "expires_at")}
        return MadeToken(token=text, **values)

    def lend(self, row: TokenRow) -> None:
        """Takes a token that is valid while this process lives, and that no list shows."""
        self._lent[row.id] = row

    async def revoke(self, token_id: str, act: Act) -> Token:
        """Ends a token at once; revoking it again changes nothing."""
        if (row := self._rows.get(token_id)) is None:
            raise errors.NotFound(f"no token {token_id!r} is here", code="token_not_found")
        now = time.time()
        if row.revoked_at is None:
            # Dead before it is written: a write that fails must not leave it alive.
            row = self._rows[token_id] = msgspec.structs.replace(row, revoked_at=now)
            await self._db.write(revoke, token_id, now, act)
        return shown(self._seen(row), now)

    async def write_uses(self) -> None:
        """Writes when tokens were used last."""
        used, self._used = self._used, {}
        for token_id, at in used.items():
            self._rows[token_id] = msgspec.structs.replace(self._rows[token_id], used_at=at)
        if used:
            await self._db.write(store.use_tokens, used)

    def knows(self, token_id: str) -> bool:
        return token_id in self._rows

    def _find(self, token_id: str) -> TokenRow | None:
        return self._rows.get(token_id) or self._lent.get(token_id)

    def _seen(self, row: TokenRow) -> TokenRow:
        return msgspec.structs.replace(row, used_at=self._used.get(row.id, row.used_at))
