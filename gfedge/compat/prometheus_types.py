"""What the Prometheus API takes and answers. All values are text, in a query or a form; unknown ones are ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Time = Annotated[str, Meta(description="Unix seconds or RFC 3339.")]
Duration = Annotated[str, Meta(description="Seconds, or a duration such as 1h30m.")]
Query = Annotated[str, Meta(description="A PromQL expression.")]
Limit = Annotated[str, Meta(description="How many at most; 0 for all.")]
Matches = Annotated[list[str], Meta(description="Selectors of series, any of which may match.")]


class Answer(msgspec.Struct, kw_only=True):
    """What every call answers. `data` is there where the status is success, the error texts where it is not."""

    status: Literal["success", "error"]
    data: Any = None
    error_type: str = msgspec.field(name="errorType", default="")
    error: str = ""
    warnings: list[str] = []
    infos: list[str] = []


class Instant(msgspec.Struct, kw_only=True):
    """The parameters of a query at one time."""

    query: Query
    time: Time = ""
    timeout: Duration = ""
    limit: Limit = ""
    lookback_delta: Duration = ""
    stats: Annotated[str, Meta(description="all: say what it cost.")] = ""


class Ranged(msgspec.Struct, kw_only=True):
    """The parameters of a query over a range of time."""

    query: Query
    start: Time
    end: Time
    step: Duration
    timeout: Duration = ""
    limit: Limit = ""
    lookback_delta: Duration = ""
    stats: Annotated[str, Meta(description="all: say what it cost.")] = ""


class Exemplars(msgspec.Struct, kw_only=True):
    """The parameters of a question for exemplars."""

    query: Query
    start: Time = ""
    end: Time = ""


class Expression(msgspec.Struct, kw_only=True):
    """An expression alone."""

    query: Query


class Matching(msgspec.Struct, kw_only=True):
    """Which series are meant, and when they were seen."""

    match: Matches = msgspec.field(name="match[]", default_factory=list)
    start: Time = ""
    end: Time = ""
    limit: Limit = ""


class MetricNames(msgspec.Struct, kw_only=True):
    """Which metrics are meant."""

    metric: str = ""
    limit: Limit = ""
    limit_per_metric: Limit = ""


class RuleNames(msgspec.Struct, kw_only=True):
    """Which rules are meant."""

    type: Annotated[str, Meta(description="alert or record.")] = ""
    rule_name: list[str] = msgspec.field(name="rule_name[]", default_factory=list)
    rule_group: list[str] = msgspec.field(name="rule_group[]", default_factory=list)
    file: list[str] = msgspec.field(name="file[]", default_factory=list)
    match: Matches = msgspec.field(name="match[]", default_factory=list)
    exclude_alerts: Annotated[str, Meta(description="true: without the alerts of each rule.")] = ""
    group_limit: Limit = ""
    group_next_token: str = ""


class Anything(msgspec.Struct, kw_only=True):
    """What a client may send along and this call does not need."""

    limit: Limit = ""
    state: str = ""
