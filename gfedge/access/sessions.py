"""What stands for a token for a while: a browser's session, and codes that work once (setup links, WebSocket tickets)."""

from __future__ import annotations

import time
from collections import OrderedDict

import msgspec

from gfedge.access import store
from gfedge.access.tokens import TokenBook, new_secret, sha256
from gfedge.access.types import SessionRow
from gfedge.auth import Who
from gfedge.db import Database

IDLE_SECONDS = 12 * 3600.0
WHOLE_SECONDS = 7 * 86400.0
"""How long a session lives at most, however much it is used."""
MAX_SESSIONS = 10_000
MAX_CODES = 10_000


class Sessions:
    """The browsers that are logged in: held in memory, written through, known by a sha256 of their cookie."""

    def __init__(self, db: Database, tokens: TokenBook) -> None:
        self._db = db
        self._tokens = tokens
        self._rows: dict[str, SessionRow] = {}
        self._used: dict[str, float] = {}

    async def open(self) -> None:
        self._rows = {row.sha256: row for row in await self._db.read(store.list_sessions)}
        await self.prune()

    async def begin(self, who: Who) -> str:
        """A new session of a token's holder; gives the cookie, which is kept nowhere here."""
        if len(self._rows) >= MAX_SESSIONS:
            oldest = min(self._rows.values(), key=lambda row: row.used_at)
            await self._delete([oldest.sha256])
        cookie, now = new_secret(), time.time()
        row = SessionRow(sha256=sha256(cookie), token_id=who.token_id, created_at=now, used_at=now)
        await self._db.insert(row)
        self._rows[row.sha256] = row
        return cookie

    def who(self, cookie: str) -> Who | None:
        """Whose session this is, while it lives and its token is valid."""
        row, now = self._rows.get(sha256(cookie)), time.time()
        if row is None or not self._lives(row, now):
            return None
        self._used[row.sha256] = now
        return self._tokens.holder(row.token_id)

    async def end(self, cookie: str) -> None:
        await self._delete([sha256(cookie)])

    async def write_uses(self) -> None:
        used, self._used = self._used, {}
        used = {key: at for key, at in used.items() if key in self._rows}
        for key, at in used.items():
            self._rows[key] = msgspec.structs.replace(self._rows[key], used_at=at)
        if used:
            await self._db.write(store.use_sessions, used)

    async def prune(self) -> None:
        """Forgets sessions that are over."""
        now = time.time()
        if over := [key for key, row in self._rows.items() if not self._lives(row, now)]:
            await self._delete(over)

    async def _delete(self, digests: list[str]) -> None:
        for key in digests:
            self._rows.pop(key, None)
        await self._db.write(store.delete_sessions, digests)

    def _lives(self, row: SessionRow, now: float) -> bool:
        used = self._used.get(row.sha256, row.used_at)
        return now < min(used + IDLE_SECONDS, row.created_at + WHOLE_SECONDS)


class Codes:
    """Codes that stand for somebody once, within some seconds; in memory alone."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._issued: OrderedDict[str, tuple[Who, float]] = OrderedDict()

    def issue(self, who: Who) -> str:
        self._prune()
        if len(self._issued) >= MAX_CODES:
            self._issued.popitem(last=False)
        code = new_secret()
        self._issued[sha256(code)] = (who, time.monotonic() + self.seconds)
        return code

    def take(self, code: str) -> Who | None:
        """The one it was issued for; it works once and in time."""
        who, until = self._issued.pop(sha256(code), (None, 0.0))
        return who if time.monotonic() < until else None

    def _prune(self) -> None:
        now = time.monotonic()
        while self._issued and next(iter(self._issued.values()))[1] < now:
            self._issued.popitem(last=False)
