"""Answered HTTP requests as plain numbers, which the event loop alone counts.

The client library's own counters take a lock each, which for a small request costs a twelfth of all it does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from itertools import accumulate
from math import inf

from aiohttp import web
from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from gfedge.metrics import SHORT

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class Requests(Collector):
    """How many requests were answered, and in what time. The times are those of a histogram with the bounds `SHORT`."""

    def __init__(self) -> None:
        self._answers: Counter[tuple[str, str, int]] = Counter()
        """By method, route and status."""
        self._times: dict[str, Times] = {}
        """By route."""

    @property
    def total(self) -> int:
        return self._answers.total()

    def answered(self, request: web.Request, status: int, seconds: float) -> None:
        """Counts the answer of a request."""
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "unmatched"
        method = request.method if request.method in METHODS else "other"
        self.count(method, route, status, seconds)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        self._answers[method, route, status] += 1
        if status == 101:  # a WebSocket is open for hours and is no slow answer
            return
        if (times := self._times.get(route)) is None:
            times = self._times[route] = Times()
        times.counts[bisect_left(SHORT, seconds)] += 1
        times.sum += seconds

    def collect(self) -> Iterable[Metric]:
        """The two metrics; other threads may ask while requests are counted, so of copies."""
        totals, times = self.describe()
        for (method, route, status), count in self._answers.copy().items():
            totals.add_metric((method, route, str(status)), count)
        for route, found in self._times.copy().items():
            times.add_metric((route,), found.buckets(), found.sum)
        return totals, times

    def describe(self) -> tuple[CounterMetricFamily, HistogramMetricFamily]:
        """The two metrics without values."""
        return (
            CounterMetricFamily(
                "gfedge_http_requests",
                "HTTP requests.",
                labels=("method", "route", "status"),
            ),
            HistogramMetricFamily(
                "gfedge_http_request_seconds",
                "Time to answer an HTTP request.",
                labels=("route",),
            ),
        )


class Times:
    """How many requests took how long."""

    def __init__(self) -> None:
        self.counts = [0] * (len(SHORT) + 1)
        self.sum = 0.0

    def buckets(self) -> list[tuple[str, float]]:
        """The counts up to each bound, as a histogram is written."""
        return [
            (str(floatToGoString(bound)), count)  # type: ignore[no-untyped-call]
            for bound, count in zip((*SHORT, inf), accumulate(self.counts), strict=True)
        ]


requests = Requests()
REGISTRY.register(requests)
