"""/metrics with 5,000 samples: its time, its CPU against prometheus-client's own text, and how long the event loop waits.

And the first screen: `/monitoring/dashboard-data` of a running server, without alerts and with 200 of them.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest
from running import Server, server, wait_until_ready
from table import Table, arguments

from gfedge.monitoring.exposition import exposition

PATH = "/api/v1/monitoring/dashboard-data"
ALERTS = 200


def registry(samples: int) -> CollectorRegistry:
    """As many samples as asked for: histograms of 15 buckets, and counters."""
    made = CollectorRegistry()
    histogram = Histogram("bench_seconds", "Times.", ["route"], registry=made)
    for number in range(samples // 18):
        histogram.labels(f"/api/v1/things/{number}").observe(0.1 * number)
    counter = Counter("bench_total", "Things.", ["route", "status"], registry=made)
    for number in range(samples - samples // 18 * 17):
        counter.labels(f"/api/v1/things/{number}", "200").inc(number)
    return made


async def stalls(made: CollectorRegistry, rounds: int) -> tuple[list[float], list[float]]:
    """(seconds of each text in a thread, seconds by which a loop that wakes each millisecond was late meanwhile)."""
    late: list[float] = []

    async def watch() -> None:
        while True:
            asked = time.perf_counter() + 0.001
            await asyncio.sleep(0.001)
            late.append(time.perf_counter() - asked)

    watching = asyncio.create_task(watch())
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        await asyncio.to_thread(exposition, made, "", True)
        took.append(time.perf_counter() - began)
    await asyncio.sleep(0.002)  # one look at least, however short the text
    watching.cancel()
    return took, late


def cpu(work: Callable[[], object], rounds: int) -> float:
    """The least CPU seconds of a call: what disturbs only adds."""
    found = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def ask(found: Server, rounds: int) -> list[float]:
    connection = http.client.HTTPConnection(found.host, found.port, timeout=5)
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        connection.request("GET", PATH)
        connection.getresponse().read()
        times.append(time.perf_counter() - began)
    return times


def first_screen(table: Table, alerts: int, rounds: int) -> None:
    """The time of the first screen while so many alerts fire."""
    rules = [
        {"alert": f"Number{n}", "expr": "vector(1)", "annotations": {"summary": "one of many"}}
        for n in range(alerts)
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        json.dump({"groups": [{"name": "many", "rules": rules}]}, file)
        file.flush()
        os.environ["GFEDGE_RULE_FILES"] = file.name
        with server() as found:
            wait_until_ready(found)
            time.sleep(6)
            while firing(found) < alerts:
                time.sleep(1)
            times = ask(found, rounds)
    word = f"dashboard-data with {alerts} alerts"
    table.add(f"{word}, p50", 1e3 * statistics.median(times), "ms", at_most=10)
    table.add(f"{word}, p99", 1e3 * sorted(times)[int(len(times) * 0.99)], "ms")


def firing(found: Server) -> int:
    connection = http.client.HTTPConnection(found.host, found.port, timeout=5)
    connection.request("GET", PATH)
    return int(json.load(connection.getresponse())["alerts"]["firing"])


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=30)
    args = parser.parse_args()
    table = Table(__file__, args.json)
    made = registry(args.samples)
    ours = cpu(lambda: exposition(made, "", False), args.rounds)
    theirs = cpu(lambda: generate_latest(made), args.rounds)
    took, late = asyncio.run(stalls(made, args.rounds))
    word = f"CPU of /metrics with {args.samples} samples, over prometheus-client's text"
    table.add(word, 1e3 * ours, "ms", peer=1e3 * theirs)
    table.add(
        "the same in a thread and zipped, time", 1e3 * statistics.median(took), "ms", at_most=50
    )
    worst = sorted(late)
    late_p99 = worst[int(len(worst) * 0.99)]
    table.add("the event loop is late meanwhile, p99", 1e3 * late_p99, "ms")
    table.add("the event loop is late meanwhile, at most", 1e3 * worst[-1], "ms", at_most=20)
    for alerts in (0, ALERTS):
        first_screen(table, alerts, 10 * args.rounds)
    table.end()


if __name__ == "__main__":
    main()
