"""Access in the database: functions of a cursor."""

from __future__ import annotations

import msgspec

from gfedge.access.types import AuditQuery, AuditRow, SessionRow, TokenRow
from gfedge.db import Cursor
from gfedge.rows import append, rows


def list_tokens(cursor: Cursor) -> list[TokenRow]:
    found = rows(cursor, "select * from tokens order by created_at desc, id")
    return msgspec.convert(found, list[TokenRow])


def insert_token(cursor: Cursor, row: TokenRow) -> None:
    append(cursor, {TokenRow: [row]})


def revoke_token(cursor: Cursor, token_id: str, at: float) -> None:
    cursor.execute(
        "update tokens set revoked_at = $2 where id = $1 and revoked_at is null", [token_id, at]
    )
    cursor.execute("delete from sessions where token_id = $1", [token_id])


def use_tokens(cursor: Cursor, used: dict[str, float]) -> None:
    for token_id, at in used.items():
        cursor.execute("update tokens set used_at = $2 where id = $1", [token_id, at])


def list_sessions(cursor: Cursor) -> list[SessionRow]:
    return msgspec.convert(rows(cursor, "select * from sessions"), list[SessionRow])


def use_sessions(cursor: Cursor, used: dict[str, float]) -> None:
    for sha256, at in used.items():
        cursor.execute("update sessions set used_at = $2 where sha256 = $1", [sha256, at])


def delete_sessions(cursor: Cursor, digests: list[str]) -> None:
    cursor.execute("delete from sessions where list_contains($1, sha256)", [digests])


def last_audit(cursor: Cursor) -> AuditRow | None:
    found = rows(cursor, "select * from audit order by number desc limit 1")
    return msgspec.convert(found[0], AuditRow) if found else None


def insert_audit(cursor: Cursor, row: AuditRow) -> None:
    append(cursor, {AuditRow: [row]})


def list_audit(cursor: Cursor, query: AuditQuery) -> list[AuditRow]:
    """One more than the page holds, so that its caller knows whether another follows."""
    found = rows(
        cursor,
        "select * from audit where $1 = 0 or number < $1 order by number desc limit $2",
        [int(query.cursor or 0), query.limit + 1],
    )
    return msgspec.convert(found, list[AuditRow])


def all_audit(cursor: Cursor) -> list[AuditRow]:
    """Every audit record, newest first."""
    return msgspec.convert(rows(cursor, "select * from audit order by number desc"), list[AuditRow])
