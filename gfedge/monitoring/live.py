"""The stream of metrics: after each sampling the vital values to all who listen, and to each what it asked for besides.

A topic is `metric:NAME` or `metric:EXPRESSION`; what several clients want is evaluated once.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final

import msgspec

from gfedge import errors
from gfedge.events import Events, Subscription
from gfedge.monitoring.history import History
from gfedge.monitoring.queries import Queries
from gfedge.monitoring.types import Value
from gfedge.monitoring.vitals import VITALS, evaluate, wanted

log = logging.getLogger(__name__)

STREAM: Final = "metrics"
PREFIX = "metric:"
MOST_TOPICS = 50
"""That one client may name."""
FRESH_SECONDS = 300.0
"""For so long after somebody asked, the vital values are evaluated at each tick."""


class Values(msgspec.Struct, kw_only=True, frozen=True):
    """Values of one moment."""

    at: float
    values: list[Value]


MESSAGES: dict[str, Any] = {"snapshot": Values, "values": Values, "value": Value}


class LiveMetrics:
    """The latest vital values, and their stream."""

    def __init__(self, history: History, queries: Queries, events: Events) -> None:
        self._history = history
        self._queries = queries
        self._events = events
        self._latest = Values(at=0.0, values=[])
        self._asked_at = 0.0
        history.ticked.append(self._publish)
        events.begin_with(STREAM, self._snapshot)

    async def vitals(self) -> Values:
        """The vital values of the latest tick: from memory, where somebody asked for them before."""
        self._asked_at = time.monotonic()
        latest = self._history.memory.last
        if latest and self._latest.at != latest / 1000:
            self._latest = await self._evaluate(latest)
        return self._latest

    async def _evaluate(self, time_ms: int) -> Values:
        values = await evaluate(self._queries, VITALS, time_ms)
        return Values(at=time_ms / 1000, values=values)

    async def _publish(self, time_ms: int) -> None:
        listened = self._events.listened(STREAM)
        if not listened and time.monotonic() - self._asked_at > FRESH_SECONDS:
            return
        self._latest = await self._evaluate(time_ms)
        self._events.publish(STREAM, "values", self._latest, key="values")
        for topic in sorted(self._events.topics(STREAM)):
            try:
                (value,) = await evaluate(
                    self._queries, [wanted(topic.removeprefix(PREFIX))], time_ms
                )
            except errors.ApiError as error:
                log.debug("%s has no value: %s", topic, error)
            else:
                self._events.publish(STREAM, "value", value, (topic,), key=topic)

    async def _snapshot(self, subscription: Subscription) -> Values:
        """What a new client gets first: what it asks for, or the vital values."""
        if not subscription.topics:
            return await self.vitals()
        if len(subscription.topics) > MOST_TOPICS:
            raise errors.Invalid(
                f"topics: {len(subscription.topics)} are more than the {MOST_TOPICS} of one client",
                code="too_many_topics",
                field="topics",
            )
        names = [topic.removeprefix(PREFIX) for topic in subscription.topics]
        now = self._history.memory.last
        values = await evaluate(self._queries, map(wanted, names), now)
        return Values(at=now / 1000, values=values)
