"""Evaluates one rule at one time, in a worker thread: its expression, then the labels and annotations of each series."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec

from gfedge.alerts.alerting import Found, RuleFailed
from gfedge.alerts.functions import Context, Sample, TemplateFailed
from gfedge.alerts.rules import ALERTNAME, Rule
from gfedge.promql.engine import Engine
from gfedge.promql.types import NAME, Labels, QueryError, Result, make_labels

SECONDS = 10.0
"""What one expression may take."""
MOST_ALERTS = 10_000
"""Series of one alerting rule."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What an evaluation needs besides the rule."""

    engine: Engine
    time_ms: int
    cancelled: Callable[[], bool]
    external_labels: Mapping[str, str]
    external_url: str

    def instant(self, text: str) -> list[tuple[Labels, float]]:
        """Series and values; RuleFailed where there is no answer."""
        limits = msgspec.structs.replace(self.engine.limits, seconds=SECONDS)
        try:
            result = self.engine.instant(
                text, self.time_ms, limits=limits, cancelled=self.cancelled
            )
        except QueryError as error:
            raise RuleFailed(str(error)) from None
        return list(_series(result))


def _series(result: Result) -> Iterator[tuple[Labels, float]]:
    if result.type == "scalar" and result.scalar is not None:
        yield (), float(result.scalar[0])
    elif result.type == "vector" and result.vector is not None:
        values, mask = result.vector.values[:, 0], result.vector.mask[:, 0]
        for labels, value, there in zip(result.vector.labels.rows, values, mask, strict=True):
            if there:
                yield labels, float(value)
    else:
        raise RuleFailed("rule result is not a vector or scalar")


def recorded(rule: Rule, setting: Setting, limit: int) -> list[tuple[Labels, float]]:
    """The samples of a recording rule; RuleFailed."""
    found = [
        (make_labels({**dict(labels), **rule.labels, NAME: rule.name}), value)
        for labels, value in setting.instant(rule.expr)
    ]
    if len({labels for labels, _ in found}) < len(found):
        raise RuleFailed(
            "vector contains metrics with the same labelset after applying rule labels"
        )
    if limit and len(found) > limit:
        raise RuleFailed(f"exceeded limit of {limit} with {len(found)} series")
    return found


def found(rule: Rule, setting: Setting) -> list[Found]:
    """What an alerting rule found, with its templates filled in; RuleFailed."""
    series = setting.instant(rule.expr)
    if len(series) > MOST_ALERTS:
        raise RuleFailed(f"{len(series)} series are more than the {MOST_ALERTS} of one rule")
    return [_alert(rule, setting, labels, value) for labels, value in series]


def _alert(rule: Rule, setting: Setting, labels: Labels, value: float) -> Found:
    def query(text: str) -> list[Sample]:
        try:
            return [{"Labels": dict(row), "Value": one} for row, one in setting.instant(text)]
        except RuleFailed as error:
            raise TemplateFailed(str(error)) from None

    pairs = dict(labels)
    context = Context(
        labels=pairs,
        value=value,
        external_labels=setting.external_labels,
        external_url=setting.external_url,
        query=query,
        now=setting.time_ms / 1000,
    )
    pairs_of_alert = {name: text for name, text in pairs.items() if name != NAME}
    pairs_of_alert |= {n: rule.template(text).expand(context) for n, text in rule.labels.items()}
    return Found(
        labels=make_labels({**pairs_of_alert, ALERTNAME: rule.name}),
        annotations={n: rule.template(t).expand(context) for n, t in rule.annotations.items()},
        value=value,
    )
