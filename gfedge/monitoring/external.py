"""A Prometheus elsewhere, where one is set: PromQL is asked of it, and nothing else.

Only its query calls are made, by GET, with what our own query takes; a caller's headers and credentials stay here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gfedge import errors
from gfedge.monitoring.types import SeriesValue, Value
from gfedge.monitoring.vitals import Vital, number
from gfedge.outbound import Outbound, TargetFailed


class Result(msgspec.Struct, kw_only=True):
    """What Prometheus answers to a query."""

    result_type: str = msgspec.field(name="resultType")
    result: Any


class Sample(msgspec.Struct, kw_only=True):
    """One series of an instant vector."""

    metric: dict[str, str] = {}
    value: tuple[float, str]


class Reply(msgspec.Struct, kw_only=True):
    """The envelope around it."""

    status: str
    data: Result | None = None
    error: str = ""
    warnings: list[str] = []
    infos: list[str] = []


class External:
    """Queries to the Prometheus of `PROMETHEUS_URL`; None stands for that none is set."""

    def __init__(self, outbound: Outbound | None) -> None:
        self._outbound = outbound

    async def query(self, call: str, query: Mapping[str, str]) -> Reply:
        """`call` is query or query_range. Raises Invalid for what it refuses, TargetFailed and TargetTimeout."""
        if self._outbound is None:
            raise errors.Conflict(
                "no other Prometheus is set: start the server with PROMETHEUS_URL=http://HOST:9090",
                code="no_external_prometheus",
            )
        answer = await self._outbound.fetch(f"/api/v1/{call}", query=query)
        if answer.status not in (200, 400, 422, 503):
            raise TargetFailed(f"{self._outbound.target.url} answered {answer.status} to a query")
        reply: Reply = answer.json(Reply)
        if reply.status != "success" or reply.data is None:
            raise errors.Invalid(
                f"the other Prometheus refuses this query: {reply.error[:500]}",
                code="bad_query",
                field="query",
            )
        return reply

    async def value(self, vital: Vital, time_ms: int) -> Value:
        """One value, as our own engine gives it; raises as `query` does."""
        at = f"{time_ms / 1000:.3f}"
        reply = await self.query("query", {"query": vital.query, "time": at})
        assert reply.data is not None
        try:
            series = _series(reply.data)
        except (msgspec.ValidationError, ValueError) as error:
            raise TargetFailed("the other server answered with unexpected content") from error
        alone = series[0].value if len(series) == 1 else None
        return Value(
            name=vital.name,
            query=vital.query,
            unit=vital.unit,
            at=time_ms / 1000,
            value=alone,
            series=series,
        )


def _series(found: Result) -> list[SeriesValue]:
    if found.result_type == "scalar":
        _, text = msgspec.convert(found.result, tuple[float, str])
        return [SeriesValue(labels={}, value=number(float(text)))]
    if found.result_type != "vector":
        return []
    return [
        SeriesValue(labels=one.metric, value=number(float(one.value[1])))
        for one in msgspec.convert(found.result, list[Sample])
    ]
