"""The alerts of the server: rules, what they found, silences and receivers, kept in the database and told to who listens."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from gfedge import errors, metrics
from gfedge.access import audit
from gfedge.alerts import alerting, rules, shown, silences, store, types
from gfedge.alerts.alerting import Alert, Changes
from gfedge.alerts.delivery import Delivery
from gfedge.alerts.messages import Notice
from gfedge.alerts.receivers import Routing
from gfedge.alerts.receivers import checked as read_receivers
from gfedge.alerts.ruler import Ruler, RunningGroup
from gfedge.alerts.silences import Silencing
from gfedge.alerts.types import AlertRow, AlertsSnapshot, ListedSilence, NewSilence, NotedRow
from gfedge.db import Database, new_id
from gfedge.events import Events, Subscription
from gfedge.monitoring.history import History
from gfedge.monitoring.queries import Queries
from gfedge.monitoring.types import AlertSummary
from gfedge.settings import Settings
from gfedge.tasks import Tasks

log = logging.getLogger(__name__)

STREAM: Final = "alerts"
SEEN_SECONDS = 60.0
"""How often it is noted that rules were evaluated, for the next start."""
SUMMARY = 200
"""Alerts that a first screen gets; it is told how many there are."""
KEPT_SECONDS = 366 * 86_400.0
"""For so long alerts that were resolved are kept."""


class Alerts:
    """Open it when the history runs."""

    def __init__(
        self, settings: Settings, db: Database, events: Events, history: History, queries: Queries
    ) -> None:
        self._settings = settings
        self._db = db
        self._events = events
        self._tasks = Tasks()
        self._unsaved: dict[str, AlertRow] = {}
        self._gone: set[str] = set()
        self._reloading = asyncio.Lock()
        self.silencing = Silencing()
        self.ruler = Ruler(queries, history.record, self._changed, settings.address)
        self.delivery = Delivery(self.notices, self._note, settings.address)
        self.faults: list[str] = []
        self.receivers_fault = ""
        self.loaded_at = 0.0
        history.ticked += [self.ruler.tick, self._turn_silences]
        events.begin_with(STREAM, self._snapshot)

    # Its life

    async def open(self) -> None:
        """Takes up what was there before the start."""
        now = time.time()
        for silence in await self._db.read(store.list_silences):
            self.silencing.put(silence, now)
        await self._load()
        rows = await self._db.read(store.unended, now - alerting.RESOLVED_SECONDS)
        restored, left = self.ruler.restore(rows, now)
        for group, changes in restored:
            await self._changed(group, changes, now)
        await self._end(left, now)
        self._tasks.spawn("forget old alerts", self._db.write(store.prune, now - KEPT_SECONDS))
        self._tasks.every("note that rules were evaluated", SEEN_SECONDS, self._seen)

    async def close(self) -> None:
        await self.ruler.stop()
        await self._tasks.stop()
        await self.delivery.close()
        with contextlib.suppress(errors.ApiError):
            await self._seen()

    async def _end(self, left: Sequence[AlertRow], now: float) -> None:
        """Alerts of rules that are gone."""
        for row in left:
            if row.state == "pending":
                self._gone.add(row.id)
            elif row.state == "firing":
                one = alerting.of_row(row)
                one.state, one.resolved_at = "resolved", now
                self._unsaved[row.id] = alerting.row(one, row.rule_group, row.severity, now)
        await self._save()

    async def _seen(self) -> None:
        await self._save()
        await self._db.write(store.seen, time.time())

    # The files

    async def reread(self) -> list[str]:
        """Reads the files again, with all else that can be; ValueError tells their faults."""
        before = self.loaded
        await self.reload()
        if text := "; ".join(filter(None, [*self.faults, self.receivers_fault])):
            raise ValueError(f"{text}; what was read before goes on")
        return [] if before == self.loaded else [f"{before} -> {self.loaded}"]

    @property
    def loaded(self) -> str:
        rules_now = sum(len(group.rules) for group in self.ruler.groups)
        return f"{rules_now} rules and {len(self.delivery.notifiers)} receivers"

    async def reload(self, act: audit.Act | None = None) -> list[str]:
        """Reads the files again; those with faults leave what was read before, and the faults are given."""
        async with self._reloading:
            await self._load()
        if act is not None:
            await self._db.write(audit.record, act)
        return self.faults

    async def _load(self) -> None:
        groups, faults = await asyncio.to_thread(
            rules.load_all,
            self._settings.listed("rule_files"),
            shipped=self._settings.shipped_rules,
        )
        routing, fault = await self._routing()
        self.faults, self.receivers_fault = faults, fault
        for text in [*faults, *([fault] if fault else [])]:
            log.error("%s (what was read before goes on)", text)
        metrics.rules_last_reload_successful.set(not faults and not fault)
        if not faults or not self.ruler.groups:  # at the start the sound ones are better than none
            await self.ruler.take(groups, time.time())
        if not fault:
            self.ruler.external_labels = routing.external_labels
            await self.delivery.open(routing, await self._db.read(store.list_noted))
        self.loaded_at = time.time()

    async def _routing(self) -> tuple[Routing, str]:
        if not (name := self._settings.receivers_file):
            return Routing(), ""
        return await asyncio.to_thread(read_receivers, Path(name))

    # What changes

    async def _changed(self, group: RunningGroup, changes: Changes, now: float) -> None:
        """Saves and publishes what an evaluation changed, and wakes those who tell of it."""
        for one in changes.changed:
            labels = dict(one.labels)
            self._unsaved[one.id] = alerting.row(
                one, group.group.name, labels.get("severity", ""), now
            )
            self._publish(f"alert.{one.state}", one, group.group.name)
        for one in changes.gone:
            self._unsaved.pop(one.id, None)
            self._gone.add(one.id)
            self._publish("alert.dropped", one, group.group.name)
        for state, many in self._counts().items():
            metrics.alerts.labels(state).set(many)
        self.delivery.wake()
        await self._save()

    async def _save(self) -> None:
        """Writes what changed; where that fails it is tried again with the next."""
        rows, gone = dict(self._unsaved), set(self._gone)
        if not rows and not gone:
            return
        try:
            await self._db.write(store.save, list(rows.values()), sorted(gone))
        except (errors.NoSpace, errors.Unavailable) as failure:
            log.warning("alerts are not written for now: %s", failure)
            return
        self._gone -= gone
        for alert_id, row in rows.items():
            if self._unsaved.get(alert_id) is row:
                del self._unsaved[alert_id]

    def _publish(self, type_: str, one: Alert, group: str) -> None:
        if self._events.listened(STREAM):
            topics = (f"rule:{one.name}", f"alert:{one.id}")
            self._events.publish(STREAM, type_, self._shown(one, group), topics)

    async def _note(self, row: NotedRow) -> None:
        try:
            await self._db.write(store.save_noted, row)
        except (errors.NoSpace, errors.Unavailable) as failure:
            log.warning("a restart may repeat messages to %s: %s", row.receiver, failure)

    # What there is

    def _shown(self, one: Alert, group: str) -> types.Alert:
        return shown.alert(one, group, self.silencing.holding(dict(one.labels), time.time()))

    def active(self, wanted: Callable[[types.Alert], bool] = lambda one: True) -> list[types.Alert]:
        """Alerts that are pending or fire: those that fire first, then by how long."""
        found = [
            self._shown(one, group.group.name)
            for group, _, one in self.ruler.alerts()
            if one.state != "resolved"
        ]
        return sorted(filter(wanted, found), key=lambda a: (a.state != "firing", a.active_at, a.id))

    def _counts(self) -> dict[str, int]:
        states = Counter(one.state for _, _, one in self.ruler.alerts())
        return {"firing": states["firing"], "pending": states["pending"]}

    def summary(self) -> AlertSummary:
        """How many there are, and the first of them."""
        known = [
            (group.group.name, one)
            for group, _, one in self.ruler.alerts()
            if one.state != "resolved"
        ]
        first = heapq.nsmallest(
            SUMMARY, known, key=lambda k: (k[1].state != "firing", k[1].active_at, k[1].id)
        )
        return AlertSummary(
            **self._counts(), active=[self._shown(one, group) for group, one in first]
        )

    def _held(self, alert_id: str) -> tuple[RunningGroup, Alert] | None:
        known = ((group, one) for group, _, one in self.ruler.alerts() if one.id == alert_id)
        return next(known, None)

    async def find(self, alert_id: str) -> types.Alert:
        """An alert, also of the history; NotFound."""
        if (held := self._held(alert_id)) is not None:
            return self._shown(held[1], held[0].group.name)
        if (row := await self._db.read(store.find_alert, alert_id)) is None:
            raise errors.NotFound(f"no alert {alert_id!r}", code="alert_not_found")
        return shown.of_row(row)

    def notices(self) -> list[Notice]:
        """What receivers may hear of: alerts that fire, and those that were resolved a moment ago."""
        now, found = time.time(), []
        for group, _, one in self.ruler.alerts():
            if one.fired_at is None or one.state == "pending":
                continue
            labels = dict(one.labels)
            notice = Notice(
                labels={**self.ruler.external_labels, **labels},
                annotations=one.annotations,
                started_at=one.fired_at,
                resolved_at=one.resolved_at,
                interval=group.interval,
                url=f"{self._settings.address}/api/v1/monitoring/alerts/{one.id}",
                silenced=bool(self.silencing.holding(labels, now)),
                acknowledged=one.acknowledged_at is not None,
            )
            found.append(notice)
        return found

    async def _snapshot(self, wanted: Subscription) -> AlertsSnapshot:
        def fits(one: types.Alert) -> bool:
            return not wanted.topics or bool(
                {f"rule:{one.name}", f"alert:{one.id}"} & set(wanted.topics)
            )

        return AlertsSnapshot(alerts=self.active(fits), silences=self.silences())

    # Acknowledging and silencing

    async def acknowledge(
        self, alert_id: str, by: str, comment: str, *, undo: bool = False
    ) -> types.Alert:
        """Notes who looks after an alert that is active, or that nobody does; NotFound, Conflict."""
        held = self._held(alert_id)
        if held is None or held[1].state == "resolved":
            await self.find(alert_id)
            raise errors.Conflict(
                "the alert is over: only active ones can be acknowledged", code="alert_over"
            )
        group, one = held
        one.acknowledged_at = None if undo else time.time()
        one.acknowledged_by, one.comment = ("", "") if undo else (by, comment)
        severity = dict(one.labels).get("severity", "")
        row = alerting.row(one, group.group.name, severity, time.time())
        await self._db.write(store.save, [row], [])
        self._publish("alert.acknowledged", one, group.group.name)
        self.delivery.wake()
        return self._shown(one, group.group.name)

    def silences(self) -> list[ListedSilence]:
        now = time.time()
        return [silences.listed(one, now) for one in self.silencing.all()]

    async def silence(self, wanted: NewSilence, by: str) -> ListedSilence:
        """Makes a silence; Invalid, Conflict."""
        now = time.time()
        self.silencing.check_room(now)
        return await self._put(silences.made(wanted, new_id(), by, now), "silence.created", now)

    async def end_silence(self, silence_id: str) -> ListedSilence:
        """Ends a silence now; NotFound. One that has ended stays as it is."""
        now = time.time()
        ended = silences.ended(self.silencing.find(silence_id), now)
        return await self._put(ended, "silence.ended", now)

    async def _put(self, silence: types.Silence, type_: str, now: float) -> ListedSilence:
        await self._db.write(store.save_silence, silence)
        found = self.silencing.put(silence, now)
        self._tell_silence(type_, found)
        return found

    async def _turn_silences(self, _time_ms: int) -> None:
        """Says which silences began or ended by the clock."""
        for one in self.silencing.turned(time.time()):
            self._tell_silence("silence.ended" if one.state == "expired" else "silence.begun", one)

    def _tell_silence(self, type_: str, silence: ListedSilence) -> None:
        self.delivery.wake()
        self._events.publish(STREAM, type_, silence)

    # Prometheus' API

    def prometheus_groups(self) -> list[dict[str, Any]]:
        return shown.prometheus_groups(self.ruler.groups)

    def prometheus_alerts(self) -> list[dict[str, Any]]:
        found = (one for _, _, one in self.ruler.alerts() if one.state != "resolved")
        return [shown.prometheus_alert(one) for one in found]

    def alertmanagers(self) -> list[str]:
        known = (one.receiver for one in self.delivery.notifiers)
        return [
            f"{one.target.url}/api/v2/alerts"
            for one in known
            if one.kind == "alertmanager" and one.target is not None
        ]

    def reloaded(self) -> tuple[bool, float]:
        return not self.faults and not self.receivers_fault, self.loaded_at
