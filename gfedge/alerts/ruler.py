"""The rules in their groups: when each is evaluated, what it records, and what changed by it.

A group is evaluated at a tick of the history's clock, so all its rules see the same time and write to the same column;
its rules run one after the other and see what the ones before recorded. A group that still runs misses its turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from gfedge import metrics
from gfedge.alerts.alerting import RESOLVED_SECONDS, Alert, AlertingRule, Changes, RuleFailed
from gfedge.alerts.evaluation import Setting, found, recorded
from gfedge.alerts.rules import Group, Rule
from gfedge.alerts.types import AlertRow
from gfedge.monitoring.queries import Cancelled, Queries
from gfedge.promql.engine import Engine
from gfedge.promql.types import STALE, Labels, QueryError
from gfedge.tasks import Tasks

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 15.0
"""Of groups that do not say."""

LATE = "its results came too late for the history: its group takes longer than its interval"

Samples = list[tuple[Labels, float]]
Record = Callable[[int, Samples], Awaitable[bool]]
Changed = Callable[["RunningGroup", Changes, float], Awaitable[None]]


class RunningRule(msgspec.Struct, kw_only=True, eq=False):
    """A rule, and how it is."""

    rule: Rule
    alerting: AlertingRule | None
    wrote: frozenset[Labels] = frozenset()
    """Series that it wrote last."""
    error: str = ""
    evaluated_at: float | None = None
    seconds: float = 0.0

    @property
    def health(self) -> Literal["ok", "err", "unknown"]:
        if self.evaluated_at is None:
            return "unknown"
        return "err" if self.error else "ok"


class RunningGroup(msgspec.Struct, kw_only=True, eq=False):
    """A group, and how it is."""

    group: Group
    rules: list[RunningRule]
    turn: int = -1
    """Number of the interval of its latest evaluation."""
    task: asyncio.Task[None] | None = None
    """The evaluation that runs, or ran last."""
    missed: int = 0
    evaluated_at: float | None = None
    seconds: float = 0.0

    @property
    def interval(self) -> float:
        return self.group.interval or INTERVAL_SECONDS

    @property
    def runs(self) -> bool:
        return self.task is not None and not self.task.done()


def running(group: Group) -> RunningGroup:
    rules = [
        RunningRule(rule=rule, alerting=AlertingRule(rule) if rule.alerting else None)
        for rule in group.rules
    ]
    return RunningGroup(group=group, rules=rules)


class Ruler:
    """Evaluates groups as time passes. `record` writes samples, `changed` hears of alerts."""

    def __init__(
        self,
        queries: Queries,
        record: Record,
        changed: Changed,
        external_url: str,
    ) -> None:
        self._queries = queries
        self._record = record
        self._changed = changed
        self.external_labels: Mapping[str, str] = {}
        self._url = external_url
        self._tasks = Tasks()
        self._orphans: set[Labels] = set()
        """Series of rules that are gone, which end at the next evaluation."""
        self._over: list[tuple[RunningGroup, RunningRule, Alert]] = []
        """Alerts of rules that are gone, which receivers are still to hear of."""
        self._taking = False
        self.groups: list[RunningGroup] = []

    # What there is

    def alerts(self) -> list[tuple[RunningGroup, RunningRule, Alert]]:
        """All alerts, resolved ones of the last minutes too, also of rules that are gone."""
        return self._over + [
            (group, rule, alert)
            for group in self.groups
            for rule in group.rules
            if rule.alerting is not None
            for alert in rule.alerting.alerts.values()
        ]

    # New rules

    async def take(self, groups: Sequence[Group], now: float) -> None:
        """Takes new rules in place of those before; a rule of the same group and name keeps its alerts.

        Evaluations that run come to their end first.
        """
        self._taking = True
        try:
            if tasks := [group.task for group in self.groups if group.task is not None]:
                await asyncio.wait(tasks)
            await self._replace(groups, now)
        finally:
            self._taking = False

    async def _replace(self, groups: Sequence[Group], now: float) -> None:
        before = {(g.group.key, r.rule.name, at): (g, r) for g, r, at in _numbered(self.groups)}
        after = [running(group) for group in groups]
        for group, rule, at in _numbered(after):
            known = before.get((group.group.key, rule.rule.name, at))
            if known is None or (known[1].alerting is None) != (rule.alerting is None):
                continue
            del before[group.group.key, rule.rule.name, at]
            rule.wrote = known[1].wrote
            if group.interval == known[0].interval:
                group.turn = known[0].turn
            if rule.alerting is not None and known[1].alerting is not None:
                rule.alerting.alerts = known[1].alerting.alerts
        for key in {group.group.key for group in self.groups} - {g.group.key for g in after}:
            _forget(key)
        self.groups = after
        for group in after:
            metrics.rule_group_interval_seconds.labels(group.group.key).set(group.interval)
            metrics.rule_group_rules.labels(group.group.key).set(len(group.rules))
        for group, rule in before.values():
            self._orphans |= rule.wrote
            if rule.alerting is not None:
                changes = rule.alerting.end(now)
                self._over += [(group, rule, one) for one in rule.alerting.alerts.values()]
                if changes:
                    await self._changed(group, changes, now)

    def restore(
        self, rows: Iterable[AlertRow], now: float
    ) -> tuple[list[tuple[RunningGroup, Changes]], list[AlertRow]]:
        """Gives each rule the alerts that it had before the start; also gives those that no rule wants."""
        changes, left = [], list(rows)
        for group, rule, _ in _numbered(self.groups):
            if rule.alerting is not None:
                own = [row for row in left if _is_of(row, group.group, rule.rule)]
                ids = {row.id for row in own}
                left = [row for row in left if row.id not in ids]
                changes.append((group, rule.alerting.restore(own, now)))
        return changes, left

    # The clock

    async def tick(self, time_ms: int) -> None:
        """Starts the groups whose turn it is; does not wait for them."""
        kept = time_ms / 1000 - RESOLVED_SECONDS
        self._over = [known for known in self._over if (known[2].resolved_at or 0.0) > kept]
        for group in self.groups if not self._taking else ():
            turn = time_ms // round(group.interval * 1000)
            if turn <= group.turn:
                continue
            if group.runs:
                group.missed += 1
                group.turn = turn
                metrics.rule_group_iterations_missed_total.labels(group.group.key).inc()
                continue
            group.turn = turn
            work = self.evaluate(group, time_ms)
            group.task = self._tasks.spawn(f"rules of {group.group.name}", work)

    async def stop(self) -> None:
        await self._tasks.stop()

    async def evaluate(self, group: RunningGroup, time_ms: int) -> None:
        """Evaluates a group once."""
        began = time.perf_counter()
        for rule in group.rules:
            await self._evaluate(group, rule, time_ms)
        if self._orphans:
            orphans, self._orphans = self._orphans, set()
            await self._record(time_ms, [(labels, STALE) for labels in orphans])
        group.seconds = time.perf_counter() - began
        group.evaluated_at = time_ms / 1000
        key = group.group.key
        metrics.rule_group_last_duration_seconds.labels(key).set(group.seconds)
        metrics.rule_group_last_evaluation_timestamp_seconds.labels(key).set(group.evaluated_at)

    async def _evaluate(self, group: RunningGroup, rule: RunningRule, time_ms: int) -> None:
        began, now = time.perf_counter(), time_ms / 1000
        metrics.rule_evaluations_total.labels(group.group.key).inc()
        samples: Samples | None = None
        try:
            samples, changes = await self._result(group, rule, time_ms)
            rule.error = ""
        except (RuleFailed, QueryError) as error:
            rule.error = str(error)
            changes = error.changes if isinstance(error, RuleFailed) else Changes()
        except Exception:
            log.exception("the rule %s of %s failed", rule.rule.name, group.group.key)
            rule.error, changes = "internal error; the server's log says more", Changes()
        rule.seconds = time.perf_counter() - began
        rule.evaluated_at = now
        metrics.rule_evaluation_duration_seconds.observe(rule.seconds)
        if samples is not None:
            await self._write(rule, time_ms, samples)
        if rule.error:
            metrics.rule_evaluation_failures_total.labels(group.group.key).inc()
        if changes:
            await self._changed(group, changes, now)

    async def _write(self, rule: RunningRule, time_ms: int, samples: Samples) -> None:
        """Gives the history what a rule found; series that it finds no longer end."""
        written = frozenset(labels for labels, _ in samples)
        ended = [(labels, STALE) for labels in rule.wrote - written]
        rule.wrote = written
        if (samples or ended) and not await self._record(time_ms, samples + ended):
            rule.error = LATE
            log.warning("the rule %s: %s", rule.rule.name, LATE)

    async def _result(
        self, group: RunningGroup, rule: RunningRule, time_ms: int
    ) -> tuple[Samples, Changes]:
        limit = group.group.limit

        def setting(engine: Engine, cancelled: Cancelled) -> Setting:
            return Setting(
                engine=engine,
                time_ms=time_ms - round(group.group.query_offset * 1000),
                cancelled=cancelled,
                external_labels=self.external_labels,
                external_url=self._url,
            )

        if rule.alerting is None:
            samples = await self._queries.run(
                lambda engine, cancelled: recorded(rule.rule, setting(engine, cancelled), limit)
            )
            return samples, Changes()
        now_found = await self._queries.run(
            lambda engine, cancelled: found(rule.rule, setting(engine, cancelled))
        )
        changes = rule.alerting.step(time_ms / 1000, now_found, limit)
        return rule.alerting.samples(), changes


def _forget(key: str) -> None:
    """A group that is gone has no metrics."""
    for metric in (
        metrics.rule_group_last_duration_seconds,
        metrics.rule_group_last_evaluation_timestamp_seconds,
        metrics.rule_group_interval_seconds,
        metrics.rule_group_rules,
    ):
        with contextlib.suppress(KeyError):
            metric.remove(key)


def _numbered(groups: Iterable[RunningGroup]) -> list[tuple[RunningGroup, RunningRule, int]]:
    """Rules with their group and their number among those of the same name in it."""
    found_rules = []
    for group in groups:
        counts: dict[str, int] = {}
        for rule in group.rules:
            at = counts[rule.rule.name] = counts.get(rule.rule.name, -1) + 1
            found_rules.append((group, rule, at))
    return found_rules


def _is_of(row: AlertRow, group: Group, rule: Rule) -> bool:
    """Whether a row is of a rule: the labels that it sets without a template agree."""
    return (
        row.rule_group == group.name
        and row.name == rule.name
        and all("{{" in text or row.labels.get(n, "") == text for n, text in rule.labels.items())
    )
