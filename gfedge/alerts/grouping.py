"""When a receiver is told of a group of alerts, as Alertmanager decides it. Time and alerts come in; nothing is sent here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from gfedge.alerts.messages import Labels, Notice, group_key


class Told(msgspec.Struct, kw_only=True):
    """What a receiver was told last of a group: fingerprints, and when."""

    firing: frozenset[str] = frozenset()
    resolved: frozenset[str] = frozenset()
    sent_at: float = 0.0


class AlertGroup(msgspec.Struct, kw_only=True):
    """Alerts that share the labels that they are grouped by."""

    labels: Labels
    notices: list[Notice] = msgspec.field(default_factory=list)


def grouped(notices: Iterable[Notice], by: Sequence[str]) -> dict[str, AlertGroup]:
    """The groups by key; `...` alone makes one of each alert."""
    found: dict[str, AlertGroup] = {}
    for one in notices:
        names = sorted(one.labels) if list(by) == ["..."] else by
        labels = {name: one.labels[name] for name in names if name in one.labels}
        found.setdefault(group_key(labels), AlertGroup(labels=labels)).notices.append(one)
    return found


def due(
    notices: Sequence[Notice], told: Told | None, *, send_resolved: bool, repeat: float, now: float
) -> list[Notice]:
    """What a receiver is to hear now of a group; nothing where it knows all of it.

    What it was never told of is not told as resolved. Acknowledged alerts are told once and not repeated.
    """
    known = told or Told()
    firing = [one for one in notices if one.fires]
    resolved = [
        one
        for one in notices
        if not one.fires and one.fingerprint in known.firing | known.resolved and send_resolved
    ]
    is_new = not {one.fingerprint for one in firing} <= known.firing
    is_over = any(one.fingerprint in known.firing for one in resolved)
    is_old = now - known.sent_at >= repeat and any(not one.acknowledged for one in firing)
    return [*firing, *resolved] if is_new or is_over or is_old else []


def after(notices: Sequence[Notice], told: Sequence[Notice], now: float) -> Told:
    """What a receiver knows after it was told."""
    return Told(
        firing=frozenset(one.fingerprint for one in notices if one.fires),
        resolved=frozenset(one.fingerprint for one in told if not one.fires),
        sent_at=now,
    )
