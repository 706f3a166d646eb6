"""Alerts, silences and what receivers were told, in the database: functions of a cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gfedge.alerts.types import AlertRow, HistoryQuery, NotedRow, Silence
from gfedge.rows import Cursor, append, rows

KEPT_SILENCES_SECONDS = 7 * 86_400.0


def _read(kind: Any, found: list[dict[str, Any]], *structured: str) -> list[Any]:
    """Rows as structs; columns with JSON are read."""
    for row in found:
        for name in structured:
            row[name] = msgspec.json.decode(row[name])
    return [msgspec.convert(row, kind) for row in found]


def save(cursor: Cursor, changed: Sequence[AlertRow], gone: Sequence[str]) -> None:
    """Writes alerts as they are now and removes pending ones that never fired."""
    ids = [*(row.id for row in changed), *gone]
    cursor.execute("delete from alerts where id in (select unnest($1::varchar[]))", [ids])
    append(cursor, {AlertRow: list(changed)})


def seen(cursor: Cursor, now: float) -> None:
    """Notes that what is active was evaluated until now."""
    cursor.execute("update alerts set seen_at = $1 where state in ('pending', 'firing')", [now])


def unended(cursor: Cursor, resolved_since: float) -> list[AlertRow]:
    """What a start takes up: active alerts, and those that were resolved a moment ago."""
    found = rows(
        cursor,
        """
        select * from alerts
        where state in ('pending', 'firing') or (state = 'resolved' and resolved_at >= $1) order by id
        """,
        [resolved_since],
    )
    return _read(AlertRow, found, "labels", "annotations")


def find_alert(cursor: Cursor, alert_id: str) -> AlertRow | None:
    found = rows(cursor, "select * from alerts where id = $1", [alert_id])
    return next(iter(_read(AlertRow, found, "labels", "annotations")), None)


def list_history(cursor: Cursor, query: HistoryQuery) -> list[AlertRow]:
    """Alerts that fired, newest first, and one more than a page holds."""
    found = rows(
        cursor,
        """
        select * from alerts
        where fired_at >= $1 and fired_at < $2
          and ($3 = 'all' or state = $3) and ($4 = '' or name = $4) and ($5 = '' or severity = $5)
          and ($6 = '' or id < $6)
        order by id desc limit $7
        """,
        [
            query.since,
            query.until,
            query.state,
            query.name,
            query.severity,
            query.cursor,
            query.limit + 1,
        ],
    )
    return _read(AlertRow, found, "labels", "annotations")


def save_silence(cursor: Cursor, silence: Silence) -> None:
    """Writes a silence in place of what it was; those that ended long ago go."""
    old = silence.created_at - KEPT_SILENCES_SECONDS
    cursor.execute("delete from alert_silences where id = $1 or ends_at < $2", [silence.id, old])
    append(cursor, {Silence: [silence]})


def list_silences(cursor: Cursor) -> list[Silence]:
    found = rows(cursor, "select * from alert_silences order by id desc")
    return _read(Silence, found, "matchers")


def save_noted(cursor: Cursor, noted: NotedRow) -> None:
    """Writes what a receiver was told of a group of alerts, in place of what it was told before."""
    cursor.execute(
        "delete from alert_notifications where receiver = $1 and group_key = $2",
        [noted.receiver, noted.group_key],
    )
    if noted.firing or noted.resolved:
        append(cursor, {NotedRow: [noted]})


def list_noted(cursor: Cursor) -> list[NotedRow]:
    found = rows(cursor, "select * from alert_notifications")
    return _read(NotedRow, found, "firing", "resolved")


def prune(cursor: Cursor, before: float) -> None:
    """Removes alerts that were resolved before a time."""
    cursor.execute("delete from alerts where state = 'resolved' and resolved_at < $1", [before])
