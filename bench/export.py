"""What an export costs, and what it costs those who use the server meanwhile: reads and durable writes beside it and without it."""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from table import Table, arguments

from gfedge import migrate
from gfedge.db import Cursor, Database
from gfedge.export.exporter import Exporter
from gfedge.export.types import Export, ExportRequest
from gfedge.tracking.types import ExperimentRow, MetricRow, ParamRow, RunRow

DAY, FIRST, KEYS = 86_400.0, 1_700_000_000.0, ("loss", "accuracy", "rate", "memory")


def rows_of(number: int, args: argparse.Namespace) -> list[Any]:
    """A run with its params and points."""
    run, at = f"run-{number:08d}", FIRST + number * args.days * DAY / args.runs
    return [
        RunRow(id=run, experiment_id="e", name=run, kind="user", status="finished", created_at=at, started_at=at, ended_at=at + 60),
        *(ParamRow(run_id=run, key=key, value="0.1") for key in KEYS),
        *(MetricRow(run_id=run, key=KEYS[n % 4], value=random.random(), step=n // 4, logged_at=at + n) for n in range(args.points)),
    ]  # fmt: skip


async def fill(db: Database, args: argparse.Namespace) -> None:
    await db.insert(ExperimentRow(id="e", name="e", kind="user", description="", tags={}, created_at=FIRST))  # fmt: skip
    for first in range(0, args.runs, 100):
        await db.insert(
            *(
                row
                for number in range(first, min(first + 100, args.runs))
                for row in rows_of(number, args)
            )
        )


def page(cursor: Cursor) -> None:
    cursor.execute("select * from runs order by id desc limit 100").fetchall()


async def work(db: Database, until: asyncio.Event) -> tuple[list[float], list[float]]:
    """Times of reads and of acknowledged writes, one caller each, until it is over."""
    reads, writes = [], []

    async def again(times: list[float], one: Any) -> None:
        while not until.is_set():
            began = time.perf_counter()
            await one()
            times.append(time.perf_counter() - began)
            await asyncio.sleep(0.002)

    point = MetricRow(run_id="run-00000000", key="live", value=1.0, step=1, logged_at=FIRST)
    await asyncio.gather(
        again(reads, lambda: db.read(page)), again(writes, lambda: db.insert(point))
    )
    return reads, writes


async def beside(db: Database, seconds: float, export: Any = None) -> list[float]:
    """Medians and 99th percentiles of reads and writes, with an export beside them or without."""
    over = asyncio.Event()
    working = asyncio.ensure_future(work(db, over))
    await (export() if export else asyncio.sleep(seconds))
    over.set()
    found = await working
    return [value for times in found for value in (statistics.median(times), quantile(times, 0.99))]


def quantile(times: list[float], part: float) -> float:
    return sorted(times)[int(len(times) * part)]


async def timed(exporter: Exporter) -> tuple[Export, float]:
    """An export and its CPU seconds."""
    cpu = time.process_time()
    exporter.begin(ExportRequest(), "bench")
    return await exporter.run(ExportRequest(), 0, 0), time.process_time() - cpu


async def measure(args: argparse.Namespace, folder: Path) -> None:
    db = Database(folder / "bench.duckdb", folders=[folder])
    db.open(migrate.migrate)
    await fill(db, args)
    await asyncio.to_thread(db.close)  # which writes a checkpoint
    db = Database(folder / "bench.duckdb", folders=[folder])
    db.open(migrate.migrate)
    size, rss = (folder / "bench.duckdb").stat().st_size, psutil.Process().memory_info().rss
    table, exporter = Table(__file__, args.json), Exporter(db, folder / "archive")
    done, cpu = await timed(exporter)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    table.add(f"a first export of {done.rows} rows in {done.files} files, CPU", cpu, "s")
    table.add("memory that it took besides", (peak - rss) / 2**20, "MiB")
    table.add("the archive over the database", done.bytes / 1e6, "MB", peer=size / 1e6)
    table.add("an export where nothing changed, CPU", (await timed(exporter))[1], "s", peer=cpu)
    late = MetricRow(run_id="run-00000000", key="late", value=1.0, step=1, logged_at=FIRST)
    await db.insert(late)
    table.add("one with a late point, CPU", (await timed(exporter))[1], "s", peer=cpu)
    busy, quiet = await rounds(db, folder, args.rounds)
    names = ("reads, p50", "reads, p99", "writes, p50", "writes, p99")
    for name, one, other in zip(
        names, zip(*busy, strict=True), zip(*quiet, strict=True), strict=True
    ):
        ratios = [a / b for a, b in zip(one, other, strict=True)]
        table.add(f"{name} beside an export, over without", one[-1] * 1000, "ms", peer=other[-1] * 1000, ratio=ratios, at_most=2)  # fmt: skip
    await asyncio.to_thread(db.close)
    table.end()


async def rounds(
    db: Database, folder: Path, count: int
) -> tuple[list[list[float]], list[list[float]]]:
    """Times of reads and writes beside an export and without, in turns."""
    busy, quiet = [], []
    for number in range(count):
        fresh, began = Exporter(db, folder / f"again-{number}"), time.perf_counter()
        fresh.begin(ExportRequest(), "bench")
        busy.append(await beside(db, 0, partial(fresh.run, ExportRequest(), 0, 0)))
        quiet.append(await beside(db, time.perf_counter() - began))
    return busy, quiet


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=5_000)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(parser.parse_args(), Path(folder)))


if __name__ == "__main__":
    main()
