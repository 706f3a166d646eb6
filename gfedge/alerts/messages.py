"""What receivers are told: Alertmanager's webhook body (version 4) and its API's alerts, and plain text for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from gfedge.promql.lexer import quoted

Labels = Mapping[str, str]
NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time: the end of an alert that fires."""
RESEND_SECONDS = 60.0
MOST_TEXT = 3500
"""Characters of a message for people; ntfy takes 4096 bytes."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """An alert as receivers hear of it. Times are Unix seconds."""

    labels: Labels
    annotations: Labels
    started_at: float
    resolved_at: float | None
    """None while it fires."""
    interval: float
    """Of its group: how often it is evaluated."""
    url: str
    """Where what it found can be seen."""
    silenced: bool = False
    acknowledged: bool = False

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.labels)

    @property
    def fires(self) -> bool:
        return self.resolved_at is None


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """The notices that go together in one message."""

    receiver: str
    key: str
    group: Labels
    notices: Sequence[Notice]
    url: str
    """Of this server."""

    @property
    def firing(self) -> list[Notice]:
        return [one for one in self.notices if one.fires]

    @property
    def status(self) -> str:
        return "firing" if self.firing else "resolved"


def fingerprint(labels: Labels) -> str:
    """FNV-1a (64 bits) over the sorted labels, as Alertmanager names an alert."""
    found = 0xCBF29CE484222325
    for name, value in sorted(labels.items()):
        for part in (name, value):
            for byte in (*part.encode("utf-8", "surrogateescape"), 0xFF):
                found = (found ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{found:016x}"


def group_key(group: Labels) -> str:
    pairs = ", ".join(f"{name}={quoted(value)}" for name, value in sorted(group.items()))
    return f"{{}}:{{{pairs}}}"


def rfc3339(seconds: float) -> str:
    """With milliseconds, in UTC."""
    found = datetime.fromtimestamp(seconds, UTC)
    return found.strftime("%Y-%m-%dT%H:%M:%S.") + f"{found.microsecond // 1000:03d}Z"


def webhook(bundle: Bundle) -> dict[str, Any]:
    """Alertmanager's webhook body, version 4."""
    return {
        "receiver": bundle.receiver,
        "status": bundle.status,
        "alerts": [_of_webhook(one) for one in bundle.notices],
        "groupLabels": dict(bundle.group),
        "commonLabels": common(one.labels for one in bundle.notices),
        "commonAnnotations": common(one.annotations for one in bundle.notices),
        "externalURL": bundle.url,
        "version": "4",
        "groupKey": bundle.key,
        "truncatedAlerts": 0,
    }


def _of_webhook(notice: Notice) -> dict[str, Any]:
    return {
        "status": "firing" if notice.fires else "resolved",
        "labels": dict(notice.labels),
        "annotations": dict(notice.annotations),
        "startsAt": rfc3339(notice.started_at),
        "endsAt": NEVER if notice.resolved_at is None else rfc3339(notice.resolved_at),
        "generatorURL": notice.url,
        "fingerprint": notice.fingerprint,
    }


def alertmanager(notices: Iterable[Notice], now: float) -> list[dict[str, Any]]:
    """The body of `POST /api/v2/alerts`: what fires ends by itself when four turns were missed."""
    found = []
    for one in notices:
        ends_at = one.resolved_at
        if ends_at is None:
            ends_at = now + 4 * max(one.interval, RESEND_SECONDS)
        alert: dict[str, Any] = {
            "endsAt": rfc3339(ends_at),
            "startsAt": rfc3339(one.started_at),
            "generatorURL": one.url,
            "labels": dict(one.labels),
        }
        if one.annotations:
            alert["annotations"] = dict(one.annotations)
        found.append(alert)
    return found


def common(labels: Iterable[Labels]) -> dict[str, str]:
    """What all of them have."""
    rows = list(labels)
    first = dict(rows[0]) if rows else {}
    return {n: v for n, v in first.items() if all(row.get(n) == v for row in rows)}


def title(bundle: Bundle) -> str:
    """`[FIRING:2] GpuHot (warning)`."""
    firing = len(bundle.firing)
    status = f"FIRING:{firing}" if firing else f"RESOLVED:{len(bundle.notices)}"
    name = " ".join(bundle.group.values()) or "alerts"
    severity = common(one.labels for one in bundle.notices).get("severity", "")
    text = f"[{status}] {name}" + (f" ({severity})" if severity else "")
    return " ".join(text.split())[:200]


def text(bundle: Bundle) -> str:
    """For people: what is wrong, since when, where."""
    found = "\n\n".join(_text(one) for one in bundle.notices)
    if len(found) > MOST_TEXT:
        found = found[:MOST_TEXT] + "…"
    return f"{found}\n\n{bundle.url}"


def _text(notice: Notice) -> str:
    summary = notice.annotations.get("summary") or notice.labels.get("alertname", "")
    since = _moment(notice.started_at)
    when = f"since {since}"
    if notice.resolved_at is not None:
        when = f"resolved; it fired from {since} to {_moment(notice.resolved_at)}"
    labels = ", ".join(
        f"{n}={v}" for n, v in notice.labels.items() if n not in ("alertname", "severity")
    )
    description = notice.annotations.get("description", "")
    return "\n".join(line for line in (summary, description, when, labels) if line)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
