"""What the history of 1,000 series costs: CPU of sampling them, and bytes on disk, of live metrics and of noisy ones; and
CPU of the shipped rules over them: the series have the names that these rules ask for.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from table import Table, arguments, least

from gfedge import migrate
from gfedge.alerts import rules
from gfedge.alerts.alerting import Changes
from gfedge.alerts.ruler import Ruler, RunningGroup
from gfedge.db import Database
from gfedge.monitoring.history import History
from gfedge.monitoring.queries import Queries
from gfedge.monitoring.storage import HistoryStorage
from gfedge.settings import Settings

STATUSES = ("succeeded", "failed", "cancelled")
BEGIN = 1_790_006_400_000
STEP_MS = 5000


def metrics(registry: CollectorRegistry) -> tuple[list[Gauge], list[Counter], list[Histogram]]:
    """1,000 series: 400 gauges, 240 counters, 24 histograms of 15 buckets."""
    version = ["model", "version"]
    gauge = Gauge("gfedge_model_state", "Gauges.", [*version, "state"], registry=registry)
    counter = Counter("gfedge_jobs_total", "Counters.", [*version, "status"], registry=registry)
    histogram = Histogram(
        "gfedge_job_seconds", "Histograms.", ["kind"], buckets=range(12), registry=registry
    )
    role = Gauge("gfedge_model_role", "Who gets traffic.", [*version, "role"], registry=registry)
    models, states = [f"m{n}" for n in range(20)], ("registered", "loading", "ready", "failed")
    for model, (number, name) in itertools.product(models, (("1", "prod"), ("2", "canary"))):
        role.labels(model, number, name).set(1)
    return (
        [gauge.labels(*key) for key in itertools.product(models, "12345", states)],
        [counter.labels(*key) for key in itertools.product(models, "1234", STATUSES)],
        [histogram.labels(str(n)) for n in range(24)],
    )


async def evaluate(table: Table, history: History, rounds: int) -> None:
    """All shipped rules again and again, at the latest sample."""

    async def changed(group: RunningGroup, changes: Changes, now: float) -> None:
        pass

    groups, _ = rules.load_all((), shipped=True)
    queries = Queries(HistoryStorage(history))
    ruler = Ruler(queries, history.record, changed, "")
    at = history.memory.last
    await ruler.take(groups, at / 1000)
    began = time.process_time()
    for _ in range(rounds):
        for group in ruler.groups:
            await ruler.evaluate(group, at)
    seconds = (time.process_time() - began) / rounds
    queries.close()
    many = sum(len(group.rules) for group in ruler.groups)
    word = f"CPU of the {many} shipped rules over them every 15 s"
    table.add(word, 100 * seconds / 15, "% of a core", at_most=1)


async def run(table: Table, hours: float) -> None:
    registry, random = CollectorRegistry(), np.random.default_rng(1)
    gauges, counters, histograms = metrics(registry)
    with tempfile.TemporaryDirectory() as folder:
        db = Database(Path(folder) / "bench.duckdb")
        await asyncio.to_thread(db.open, migrate.migrate)
        history = History(Settings(data=Path(folder)), db, registry)
        await history.open()
        ticks, sampling, writing = round(hours * 720), 0.0, 0.0
        at = BEGIN
        for _ in range(ticks):
            for child, value in zip(gauges, random.normal(50, 5, len(gauges)), strict=True):
                child.set(round(value, 2))
            for child, value in zip(counters, random.poisson(2, len(counters)), strict=True):
                child.inc(int(value))
            for child in histograms:
                child.observe(random.exponential(3))
            began = time.process_time()
            await history.tick(at)
            sampling += time.process_time() - began
            at += STEP_MS
            if at % 60_000 == 0:
                began = time.process_time()
                await history.write()
                await history.tidy()
                writing += time.process_time() - began
        series = history.sampler.live
        raw = [e for e in history.archive.entries if e.resolution_seconds == 0]
        rolled = [e for e in history.archive.entries if e.resolution_seconds]
        samples, size = sum(e.samples for e in raw), sum(e.size_bytes for e in raw)
        share = (sampling + writing) / ticks / (STEP_MS / 1000)
        word = f"CPU of sampling and storing {series} series every 5 s"
        table.add(word, 100 * share, "% of a core", at_most=1)
        table.add("bytes a sample on disk", size / samples, at_most=4)
        table.add("more for rollups", sum(e.size_bytes for e in rolled) / samples)
        table.add(f"memory of {hours:g} h", history.memory.nbytes / 2**20, "MiB")
        await evaluate(table, history, 40)
        await history.close()
        await asyncio.to_thread(db.close)


def main() -> None:
    parser = arguments(__doc__)
    text = "how long the history is; a block of samples, which is what lies on disk, is ten minutes"
    parser.add_argument("--hours", type=least(0.2, float), default=1.5, help=text)
    args = parser.parse_args()
    table = Table(__file__, args.json)
    asyncio.run(run(table, args.hours))
    table.end()


if __name__ == "__main__":
    main()
