"""What one alerting rule knows: its alerts from pending over firing to resolved, as Prometheus keeps them.

Time is an argument (Unix seconds), what the expression found too; nothing here waits or asks anybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from gfedge.alerts.rules import ALERTNAME, Rule
from gfedge.alerts.types import AlertRow, State
from gfedge.db import new_id
from gfedge.promql.types import NAME, Labels, make_labels

RESOLVED_SECONDS = 15 * 60.0
"""For so long a resolved alert is kept and told to receivers."""
OUTAGE_SECONDS = 3600.0
"""A state older than this is not taken up after a start."""
GRACE_SECONDS = 600.0
"""Rules that wait this long go on waiting after a start, and at least so long; others begin anew."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One series that the expression gave, with labels and annotations filled in."""

    labels: Labels
    annotations: Mapping[str, str]
    value: float


class Alert(msgspec.Struct, kw_only=True, eq=False):
    """One label set of a rule."""

    id: str
    labels: Labels
    annotations: Mapping[str, str]
    value: float
    state: State
    active_at: float
    fired_at: float | None = None
    resolved_at: float | None = None
    keep_firing_since: float | None = None
    acknowledged_at: float | None = None
    acknowledged_by: str = ""
    comment: str = ""

    @property
    def name(self) -> str:
        return dict(self.labels).get(ALERTNAME, "")


class Changes(msgspec.Struct, kw_only=True):
    """What an evaluation changed."""

    changed: list[Alert] = msgspec.field(default_factory=list)
    """Those with a new state."""
    gone: list[Alert] = msgspec.field(default_factory=list)
    """Pending ones that never fired."""

    def __bool__(self) -> bool:
        return bool(self.changed or self.gone)


class RuleFailed(Exception):
    """An evaluation without a result; the text is the rule's `lastError`."""

    def __init__(self, text: str, changes: Changes | None = None) -> None:
        super().__init__(text)
        self.changes = changes or Changes()


class AlertingRule:
    """A rule and its alerts by label set."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.alerts: dict[Labels, Alert] = {}

    @property
    def active(self) -> list[Alert]:
        """Those that are pending or firing."""
        return [alert for alert in self.alerts.values() if alert.state != "resolved"]

    @property
    def state(self) -> str:
        states = {alert.state for alert in self.active}
        return next((state for state in ("firing", "pending") if state in states), "inactive")

    def step(self, now: float, found: Sequence[Found], limit: int = 0) -> Changes:
        """Takes what the expression gave at a time; RuleFailed where that cannot be."""
        by_labels = {one.labels: one for one in found}
        if len(by_labels) < len(found):
            raise RuleFailed(
                "vector contains metrics with the same labelset after applying alert labels"
            )
        changes = Changes()
        for labels, one in by_labels.items():
            self._see(now, labels, one, changes)
        for labels, alert in list(self.alerts.items()):
            if labels in by_labels:
                alert.keep_firing_since = None
            elif self._is_over(now, alert, changes):
                continue
            if alert.state == "pending" and now - alert.active_at >= self.rule.hold:
                alert.state, alert.fired_at = "firing", now
                if alert not in changes.changed:
                    changes.changed.append(alert)
        if limit and len(self.active) > limit:
            many = len(self.active)
            self._end_all(now, changes)
            raise RuleFailed(f"exceeded limit of {limit} with {many} alerts", changes)
        return changes

    def _see(self, now: float, labels: Labels, one: Found, changes: Changes) -> None:
        known = self.alerts.get(labels)
        if known is not None and known.state != "resolved":
            known.value, known.annotations = one.value, one.annotations
            return
        alert = self.alerts[labels] = Alert(
            id=new_id(),
            labels=labels,
            annotations=one.annotations,
            value=one.value,
            state="pending",
            active_at=now,
        )
        changes.changed.append(alert)

    def _is_over(self, now: float, alert: Alert, changes: Changes) -> bool:
        """What becomes of an alert whose series is gone; False where it goes on firing for a while."""
        if alert.state == "firing" and self.rule.keep_firing_for:
            if alert.keep_firing_since is None:
                alert.keep_firing_since = now
            if now - alert.keep_firing_since < self.rule.keep_firing_for:
                return False
        if alert.state == "pending":
            del self.alerts[alert.labels]
            changes.gone.append(alert)
        elif alert.state == "firing":
            alert.state, alert.resolved_at = "resolved", now
            changes.changed.append(alert)
        elif now - (alert.resolved_at or 0.0) > RESOLVED_SECONDS:
            del self.alerts[alert.labels]
        return True

    def _end_all(self, now: float, changes: Changes) -> None:
        """Ends all that is active, as where a rule is gone."""
        for alert in self.active:
            if alert.state == "pending":
                del self.alerts[alert.labels]
                changes.gone.append(alert)
            else:
                alert.state, alert.resolved_at = "resolved", now
                changes.changed.append(alert)

    def end(self, now: float) -> Changes:
        """The rule is gone: what fires is resolved."""
        changes = Changes()
        self._end_all(now, changes)
        return changes

    def samples(self) -> list[tuple[Labels, float]]:
        """`ALERTS` and `ALERTS_FOR_STATE` of what is pending or firing."""
        found = []
        for alert in self.active:
            pairs = dict(alert.labels)
            shown = make_labels({**pairs, "alertstate": alert.state, NAME: "ALERTS"})
            found.append((shown, 1.0))
            since = make_labels({**pairs, NAME: "ALERTS_FOR_STATE"})
            found.append((since, float(int(alert.active_at))))
        return found

    # Over a restart

    def restore(self, rows: Iterable[AlertRow], now: float) -> Changes:
        """Takes up what was known before a start. Outages longer than an hour end what was firing."""
        changes = Changes()
        for row in rows:
            alert = of_row(row)
            if alert.state == "pending":
                alert.active_at = self._waited_since(row, now)
            if alert.state == "pending" and (
                self.rule.hold < GRACE_SECONDS or now - row.seen_at > OUTAGE_SECONDS
            ):
                changes.gone.append(alert)
                continue
            self.alerts[alert.labels] = alert
            if alert.state == "firing" and now - row.seen_at > OUTAGE_SECONDS:
                alert.state, alert.resolved_at = "resolved", now
                changes.changed.append(alert)
        return changes

    def _waited_since(self, row: AlertRow, now: float) -> float:
        """The time pending goes on where it was; what would be due soon gets at least the grace."""
        hold = self.rule.hold
        remaining = hold - (row.seen_at - row.active_at)
        if remaining <= 0:
            return row.active_at
        if remaining < GRACE_SECONDS:
            return now + GRACE_SECONDS - hold
        return row.active_at + (now - row.seen_at)


def of_row(row: AlertRow) -> Alert:
    return Alert(
        id=row.id,
        labels=make_labels(row.labels),
        annotations=row.annotations,
        value=row.value,
        state=row.state,
        active_at=row.active_at,
        fired_at=row.fired_at,
        resolved_at=row.resolved_at,
        keep_firing_since=row.keep_firing_since,
        acknowledged_at=row.acknowledged_at,
        acknowledged_by=row.acknowledged_by,
        comment=row.comment,
    )


def row(alert: Alert, group: str, severity: str, now: float) -> AlertRow:
    return AlertRow(
        id=alert.id,
        rule_group=group,
        name=alert.name,
        severity=severity,
        labels=dict(alert.labels),
        annotations=dict(alert.annotations),
        value=alert.value,
        state=alert.state,
        active_at=alert.active_at,
        fired_at=alert.fired_at,
        resolved_at=alert.resolved_at,
        keep_firing_since=alert.keep_firing_since,
        seen_at=now,
        acknowledged_at=alert.acknowledged_at,
        acknowledged_by=alert.acknowledged_by,
        comment=alert.comment,
    )
