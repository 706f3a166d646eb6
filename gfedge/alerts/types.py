"""Alerts, silences, rules and receivers, on the wire and as rows."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from gfedge.wire import Page

State = Literal["pending", "firing", "resolved"]
Limit = Annotated[int, Meta(ge=1, le=1000, description="Alerts on a page.")]
Text = Annotated[str, Meta(max_length=1000)]
Number = float | Literal["NaN", "+Inf", "-Inf"]


class AlertRow(msgspec.Struct, kw_only=True, frozen=True):
    """An alert as it is kept; times are Unix seconds."""

    table: ClassVar[str] = "alerts"

    id: str
    rule_group: str
    name: str
    severity: str
    labels: dict[str, str]
    annotations: dict[str, str]
    value: float
    state: State
    active_at: float
    fired_at: float | None
    resolved_at: float | None
    keep_firing_since: float | None
    seen_at: float
    """When it was last evaluated, roughly."""
    acknowledged_at: float | None
    acknowledged_by: str
    comment: str


class Alert(msgspec.Struct, kw_only=True, frozen=True):
    """An alert: a rule that found something."""

    id: str
    name: Annotated[str, Meta(description="Of the rule.")]
    group: str
    severity: Annotated[str, Meta(description="The label of this name; empty without one.")]
    state: Annotated[
        State, Meta(description="pending until the rule's `for` is over, firing, resolved.")
    ]
    labels: dict[str, str]
    annotations: dict[str, str]
    value: Annotated[Number, Meta(description="What the rule's expression gave last.")]
    active_at: Annotated[float, Meta(description="When the rule began to find it.")]
    fired_at: float | None
    resolved_at: float | None
    acknowledged_at: float | None
    acknowledged_by: str
    comment: Annotated[str, Meta(description="Of who acknowledged it.")]
    silenced_by: Annotated[list[str], Meta(description="Ids of the silences that hold it now.")]


class ActiveAlerts(msgspec.Struct, kw_only=True, frozen=True):
    """Alerts that are pending or firing, those that fire first."""

    alerts: list[Alert]


class AlertPage(Page, kw_only=True):
    """Alerts that fired, newest first."""

    alerts: list[Alert]


Match = Annotated[
    str,
    Meta(
        max_length=2000,
        description="A selector of labels.",
        examples=['{severity="critical",gpu=~"0|1"}'],
    ),
]


class ActiveQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which of the active alerts."""

    state: Annotated[
        Literal["active", "pending", "firing"], Meta(description="active is both of them.")
    ] = "active"
    name: Annotated[str, Meta(max_length=200, description="Of the rule.")] = ""
    severity: Annotated[str, Meta(max_length=200)] = ""
    match: Match = ""


class HistoryQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which of the alerts that ever fired."""

    state: Annotated[Literal["all", "firing", "resolved"], Meta(description="As they are now.")] = (
        "all"
    )
    name: Annotated[str, Meta(max_length=200, description="Of the rule.")] = ""
    severity: Annotated[str, Meta(max_length=200)] = ""
    since: Annotated[float, Meta(description="Fired at this time or later, Unix seconds.")] = 0.0
    until: Annotated[float, Meta(description="Fired before this time, Unix seconds.")] = 1e12
    cursor: Annotated[str, Meta(max_length=200, description="`next` of the page before.")] = ""
    limit: Limit = 100


class Acknowledgement(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Somebody looks after an alert: it is not repeated any more."""

    comment: Text = ""


class Matcher(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A condition for one label; a label that is missing counts as empty."""

    name: Annotated[str, Meta(min_length=1, max_length=200, examples=["alertname"])]
    op: Annotated[
        Literal["=", "!=", "=~", "!~"], Meta(description="=~ and !~ take a regular expression.")
    ] = "="
    value: Annotated[str, Meta(max_length=2000, examples=["GpuHot"])]


class NewSilence(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """No messages about the alerts that fulfil all matchers, from a time to another."""

    matchers: Annotated[list[Matcher], Meta(min_length=1, max_length=50)]
    starts_at: Annotated[
        Annotated[float, Meta(ge=0, le=1e11)] | None,
        Meta(description="Unix seconds; now, where it is not said."),
    ] = None
    ends_at: Annotated[
        Annotated[float, Meta(ge=0, le=1e11)] | None,
        Meta(description="Unix seconds; or give duration_seconds."),
    ] = None
    duration_seconds: Annotated[
        Annotated[float, Meta(gt=0, le=3.2e7)] | None,
        Meta(description="How long it holds; or give ends_at."),
    ] = None
    comment: Text = ""


class AlertSilence(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """No messages about one alert for a while."""

    duration_seconds: Annotated[float, Meta(gt=0, le=3.2e7)] = 3600.0
    comment: Text = ""


class Silence(msgspec.Struct, kw_only=True, frozen=True):
    """A silence."""

    table: ClassVar[str] = "alert_silences"

    id: str
    matchers: list[Matcher]
    starts_at: float
    ends_at: float
    created_at: float
    created_by: str
    comment: str


class ListedSilence(Silence, kw_only=True, frozen=True):
    """A silence, and whether it holds."""

    state: Literal["pending", "active", "expired"]


class Silences(msgspec.Struct, kw_only=True, frozen=True):
    """Silences, the newest first; those that ended are kept for a week."""

    silences: list[ListedSilence]


class RuleState(msgspec.Struct, kw_only=True, frozen=True):
    """A rule and how its latest evaluation went."""

    name: str
    type: Literal["alerting", "recording"]
    state: Annotated[
        Literal["unknown", "inactive", "pending", "firing", ""],
        Meta(description="Of an alerting rule; unknown before its first evaluation."),
    ]
    query: str
    for_seconds: float
    keep_firing_for_seconds: float
    labels: dict[str, str]
    annotations: Annotated[dict[str, str], Meta(description="As templates.")]
    health: Literal["ok", "err", "unknown"]
    last_error: str
    evaluated_at: float | None
    evaluation_seconds: float
    alerts: list[Alert]


class GroupState(msgspec.Struct, kw_only=True, frozen=True):
    """Rules that are evaluated together."""

    name: str
    file: str
    interval_seconds: float
    limit: int
    evaluated_at: float | None
    evaluation_seconds: float
    missed: Annotated[int, Meta(description="Evaluations left out: the one before still ran.")]
    rules: list[RuleState]


class RuleGroups(msgspec.Struct, kw_only=True, frozen=True):
    """All rules, by file and group."""

    groups: list[GroupState]
    faults: Annotated[
        list[str],
        Meta(description="Of files that could not be taken; what was read before goes on."),
    ]
    loaded_at: float


class ReceiverState(msgspec.Struct, kw_only=True, frozen=True):
    """Where messages go, and whether they arrive. Nothing secret is shown."""

    name: str
    kind: Literal["webhook", "ntfy", "email", "alertmanager"]
    target: str
    min_severity: str
    sent_at: Annotated[float | None, Meta(description="The latest message that arrived.")]
    failing_since: float | None
    failures: Annotated[int, Meta(description="Attempts since the latest that arrived.")]
    error: str
    next_try_at: float | None


class Receivers(msgspec.Struct, kw_only=True, frozen=True):
    """All receivers of the configuration."""

    receivers: list[ReceiverState]
    fault: Annotated[str, Meta(description="Of the file of receivers; empty where it is sound.")]


class NotedRow(msgspec.Struct, kw_only=True, frozen=True):
    """What a receiver was told last of one group of alerts: so a restart loses and repeats nothing."""

    table: ClassVar[str] = "alert_notifications"

    receiver: str
    group_key: str
    firing: list[str]
    """Fingerprints that it was told of as firing."""
    resolved: list[str]
    sent_at: float


class AlertsSnapshot(msgspec.Struct, kw_only=True, frozen=True):
    """What there is now."""

    alerts: list[Alert]
    silences: list[ListedSilence]


MESSAGES: dict[str, Any] = {
    "snapshot": AlertsSnapshot,
    "alert.pending": Alert,
    "alert.firing": Alert,
    "alert.resolved": Alert,
    "alert.dropped": Alert,
    "alert.acknowledged": Alert,
    "silence.created": ListedSilence,
    "silence.begun": ListedSilence,
    "silence.ended": ListedSilence,
}
"""The data of the stream's messages by type."""
