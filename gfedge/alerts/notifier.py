"""Tells one receiver of alerts: waits for company, groups, repeats, and tries again after failures. Each has a task of
its own, so that none waits for another."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress

from gfedge import metrics
from gfedge.alerts import senders
from gfedge.alerts.grouping import Told, after, due, grouped
from gfedge.alerts.messages import RESEND_SECONDS, Bundle, Labels, Notice
from gfedge.alerts.receivers import Receiver, Routing
from gfedge.alerts.senders import NotSent
from gfedge.alerts.types import NotedRow, ReceiverState
from gfedge.outbound import Outbound

log = logging.getLogger(__name__)

RETRY_SECONDS, MOST_RETRY_SECONDS = 5.0, 300.0
"""Before the first new try; each further one waits twice as long, up to this."""
FOREVER = 1e12
ALL = ""
"""The group key of what an Alertmanager was told: it groups by itself."""

Look = Callable[[], Sequence[Notice]]
Save = Callable[[NotedRow], Awaitable[None]]


class Notifier:
    """One receiver: what it was told, and how sending goes."""

    def __init__(
        self,
        receiver: Receiver,
        routing: Routing,
        client: Outbound | None,
        look: Look,
        save: Save,
        url: str,
    ) -> None:
        self.receiver = receiver
        self._routing = routing
        self._client = client
        self._look = look
        self._save = save
        self._url = url
        self._told: dict[str, Told] = {}
        self._next: dict[str, float] = {}
        """When each group is looked at again."""
        self._woken = asyncio.Event()
        self.sent_at: float | None = None
        self.failing_since: float | None = None
        self.failures = 0
        self.error = ""
        self.retry_at = 0.0
        for counter in (metrics.notifications_total, metrics.notifications_failed_total):
            counter.labels(receiver.name)  # so that the first failure is an increase

    @property
    def state(self) -> ReceiverState:
        return ReceiverState(
            name=self.receiver.name,
            kind=self.receiver.kind,
            target=self.receiver.address,
            min_severity=self.receiver.min_severity,
            sent_at=self.sent_at,
            failing_since=self.failing_since,
            failures=self.failures,
            error=self.error,
            next_try_at=self.retry_at if self.failures else None,
        )

    def restore(self, rows: Iterable[NotedRow]) -> None:
        """Takes up what it was told before a start."""
        for row in rows:
            firing, resolved = frozenset(row.firing), frozenset(row.resolved)
            self._told[row.group_key] = Told(firing=firing, resolved=resolved, sent_at=row.sent_at)

    def wake(self) -> None:
        """Something changed."""
        self._woken.set()

    async def run(self) -> None:
        """Sends what is due, until it is cancelled."""
        while True:
            self._woken.clear()
            try:
                until = await self.step(time.time())
            except Exception:
                log.exception("telling the receiver %s failed", self.receiver.name)
                until = time.time() + MOST_RETRY_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, until - time.time())):
                    await self._woken.wait()

    async def step(self, now: float) -> float:
        """Sends what is due and says when there may be more; while it fails, nothing before the next try."""
        if now < self.retry_at:
            return self.retry_at
        wanted = [one for one in self._look() if self.receiver.wants(one.labels)]
        if self.receiver.kind == "alertmanager":
            return await self._feed(wanted, now)
        return await self._tell_groups(wanted, now)

    async def test(self, now: float) -> None:
        """Sends an alert that says it is a test; NotSent."""
        notice = Notice(
            labels={"alertname": "GfedgeTest", "severity": "info"},
            annotations={"summary": "a test: messages of this server arrive"},
            started_at=now,
            resolved_at=None,
            interval=15.0,
            url=self._url,
        )
        await self._send(ALL, {"alertname": "GfedgeTest"}, [notice], now)

    # Receivers for people

    async def _tell_groups(self, wanted: Sequence[Notice], now: float) -> float:
        groups = grouped(wanted, self._routing.group_by)
        for key in [key for key in {*self._told, *self._next} if key not in groups]:
            await self._forget(key)
        for key, group in groups.items():
            wait = 0.0 if key in self._told else self._routing.group_wait
            if self._next.setdefault(key, now + wait) > now:
                continue
            heard = [one for one in group.notices if not one.silenced]
            told = due(
                heard,
                self._told.get(key),
                send_resolved=self.receiver.send_resolved,
                repeat=self.receiver.repeat_seconds,
                now=now,
            )
            if told and not await self._try(key, group.labels, told, now):
                return self.retry_at
            if told:
                await self._note(key, after(heard, told, now))
            self._next[key] = now + self._routing.group_interval
        return min(self._next.values(), default=FOREVER)

    # Alertmanagers, which group and repeat by themselves

    async def _feed(self, wanted: Sequence[Notice], now: float) -> float:
        """Everything at each change and every minute. What it knows already goes on though it is silenced here, or it
        would take it for resolved."""
        known = self._told.get(ALL, Told())
        sent = [
            one
            for one in wanted
            if (one.fires and (not one.silenced or one.fingerprint in known.firing))
            or (not one.fires and one.fingerprint in known.firing | known.resolved)
        ]
        if not sent:
            await self._forget(ALL)
            return FOREVER
        found = after(sent, sent, now)
        changed = (found.firing, found.resolved) != (known.firing, known.resolved)
        if not changed and now - known.sent_at < RESEND_SECONDS:
            return known.sent_at + RESEND_SECONDS
        if not await self._try(ALL, {}, sent, now):
            return self.retry_at
        await self._note(ALL, found)
        return now + RESEND_SECONDS

    # Sending

    async def _try(self, key: str, labels: Labels, told: list[Notice], now: float) -> bool:
        try:
            await self._send(key, labels, told, now)
        except NotSent:
            return False
        return True

    async def _send(self, key: str, labels: Labels, told: list[Notice], now: float) -> None:
        metrics.notifications_total.labels(self.receiver.name).inc()
        try:
            if self.receiver.kind == "alertmanager":
                assert self._client is not None
                await senders.to_alertmanager(self.receiver, self._client, told, now)
            else:
                bundle = Bundle(
                    receiver=self.receiver.name, key=key, group=labels, notices=told, url=self._url
                )
                await senders.send(self.receiver, self._client, bundle)
        except NotSent as error:
            self._failed(str(error), now)
            raise
        if self.failures:
            log.info("the receiver %s is reached again", self.receiver.name)
        self.sent_at, self.failing_since, self.failures, self.error = now, None, 0, ""
        self.retry_at = 0.0

    def _failed(self, reason: str, now: float) -> None:
        metrics.notifications_failed_total.labels(self.receiver.name).inc()
        if not self.failures:
            self.failing_since = now
            log.warning("the receiver %s is not reached: %s", self.receiver.name, reason)
        self.retry_at = now + min(RETRY_SECONDS * 2 ** min(self.failures, 10), MOST_RETRY_SECONDS)
        self.failures += 1
        self.error = reason

    async def _note(self, key: str, told: Told) -> None:
        self._told[key] = told
        await self._save(
            NotedRow(
                receiver=self.receiver.name,
                group_key=key,
                firing=sorted(told.firing),
                resolved=sorted(told.resolved),
                sent_at=told.sent_at,
            )
        )

    async def _forget(self, key: str) -> None:
        self._next.pop(key, None)
        if key in self._told:
            await self._note(key, Told())
            del self._told[key]
