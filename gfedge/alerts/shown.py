"""Rules and alerts as clients see them: our own routes, and Prometheus' API."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from gfedge.alerts import types
from gfedge.alerts.alerting import Alert
from gfedge.alerts.humanize import scientific
from gfedge.alerts.messages import rfc3339
from gfedge.alerts.ruler import RunningGroup, RunningRule
from gfedge.alerts.types import AlertRow, GroupState, RuleState
from gfedge.promql.numbers import format_value

Plain = dict[str, Any]
NEVER = "0001-01-01T00:00:00Z"


def severity(labels: Mapping[str, str]) -> str:
    return labels.get("severity", "")


def alert(one: Alert, group: str, silenced_by: list[str]) -> types.Alert:
    labels = dict(one.labels)
    return types.Alert(
        id=one.id,
        name=one.name,
        group=group,
        severity=severity(labels),
        state=one.state,
        labels=labels,
        annotations=dict(one.annotations),
        value=_number(one.value),
        active_at=one.active_at,
        fired_at=one.fired_at,
        resolved_at=one.resolved_at,
        acknowledged_at=one.acknowledged_at,
        acknowledged_by=one.acknowledged_by,
        comment=one.comment,
        silenced_by=silenced_by,
    )


def of_row(row: AlertRow) -> types.Alert:
    """An alert of the history."""
    return types.Alert(
        id=row.id,
        name=row.name,
        group=row.rule_group,
        severity=row.severity,
        state=row.state,
        labels=row.labels,
        annotations=row.annotations,
        value=_number(row.value),
        active_at=row.active_at,
        fired_at=row.fired_at,
        resolved_at=row.resolved_at,
        acknowledged_at=row.acknowledged_at,
        acknowledged_by=row.acknowledged_by,
        comment=row.comment,
        silenced_by=[],
    )


def _number(value: float) -> Any:
    return value if math.isfinite(value) else format_value(value)


def group(one: RunningGroup, alerts: Mapping[str, types.Alert]) -> GroupState:
    """A group with its rules; `alerts` are the active ones by id."""
    return GroupState(
        name=one.group.name,
        file=one.group.file,
        interval_seconds=one.interval,
        limit=one.group.limit,
        evaluated_at=one.evaluated_at,
        evaluation_seconds=one.seconds,
        missed=one.missed,
        rules=[_rule(rule, alerts) for rule in one.rules],
    )


def _rule(one: RunningRule, alerts: Mapping[str, types.Alert]) -> RuleState:
    rule, active = one.rule, one.alerting.active if one.alerting is not None else []
    return RuleState(
        name=rule.name,
        type="alerting" if rule.alerting else "recording",
        state=_state(one),
        query=rule.expr,
        for_seconds=rule.hold,
        keep_firing_for_seconds=rule.keep_firing_for,
        labels=dict(rule.labels),
        annotations=dict(rule.annotations),
        health=one.health,
        last_error=one.error,
        evaluated_at=one.evaluated_at,
        evaluation_seconds=one.seconds,
        alerts=[alerts[known.id] for known in active if known.id in alerts],
    )


def _state(one: RunningRule) -> Any:
    if one.alerting is None:
        return ""
    return "unknown" if one.evaluated_at is None else one.alerting.state


def prometheus_groups(groups: Iterable[RunningGroup]) -> list[Plain]:
    """`/rules` of Prometheus' API."""
    ordered = sorted(groups, key=lambda one: (one.group.file, one.group.name))
    return [
        {
            "name": one.group.name,
            "file": one.group.file,
            "rules": [_prometheus_rule(rule) for rule in one.rules],
            "interval": one.interval,
            "limit": one.group.limit,
            "evaluationTime": one.seconds,
            "lastEvaluation": _moment(one.evaluated_at),
        }
        for one in ordered
    ]


def _prometheus_rule(one: RunningRule) -> Plain:
    rule = one.rule
    found: Plain = {
        "name": rule.name,
        "query": rule.expr,
        "labels": dict(rule.labels),
        "health": one.health,
        "evaluationTime": one.seconds,
        "lastEvaluation": _moment(one.evaluated_at),
        "type": "alerting" if rule.alerting else "recording",
    }
    if one.error:
        found["lastError"] = one.error
    if one.alerting is None:
        return found
    return {
        "state": _state(one),
        "duration": rule.hold,
        "keepFiringFor": rule.keep_firing_for,
        "annotations": dict(rule.annotations),
        "alerts": [prometheus_alert(known) for known in one.alerting.active],
        **found,
    }


def prometheus_alert(one: Alert) -> Plain:
    """`/alerts` of Prometheus' API."""
    found: Plain = {
        "labels": dict(one.labels),
        "annotations": dict(one.annotations),
        "state": one.state,
        "activeAt": rfc3339(one.active_at),
        "value": scientific(one.value),
    }
    if one.keep_firing_since is not None:
        found["keepFiringSince"] = rfc3339(one.keep_firing_since)
    return found


def _moment(seconds: float | None) -> str:
    return NEVER if seconds is None else rfc3339(seconds)
