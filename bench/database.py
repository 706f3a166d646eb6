"""Acknowledged durable writes: 64 concurrent callers against a single one, and the appender against executemany."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import duckdb
import msgspec
from table import Table, arguments

from gfedge import migrate
from gfedge.db import Cursor, Database, new_id
from gfedge.tracking.types import MetricRow


def point() -> MetricRow:
    return MetricRow(run_id=new_id(), key="loss", value=0.5, step=1, logged_at=time.time())


async def rate(db: Database, callers: int, seconds: float, batch: int = 1) -> float:
    """Rows a second, each call acknowledged after its commit."""
    written, ends = 0, time.perf_counter() + seconds

    async def caller() -> None:
        nonlocal written
        rows = [point() for _ in range(batch)]
        while time.perf_counter() < ends:
            await db.insert(*rows)
            written += batch

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return written / (time.perf_counter() - began)


def executemany_rate(file: Path, seconds: float) -> float:
    """The same with plain DuckDB."""
    with duckdb.connect(str(file)) as connection:
        migrate.migrate(Cursor(connection))
        written, began = 0, time.perf_counter()
        while time.perf_counter() < began + seconds:
            rows = [list(msgspec.structs.astuple(point())) for _ in range(100)]
            connection.execute("begin")
            connection.executemany("insert into metrics values (?, ?, ?, ?, ?)", rows)
            connection.execute("commit")
            written += 100
        return written / (time.perf_counter() - began)


async def measure(args: argparse.Namespace, folder: Path) -> None:
    db = Database(folder / "bench.duckdb")
    db.open(migrate.migrate)
    await rate(db, 64, 0.5)
    table, ratios = Table(__file__, args.json), []
    for _ in range(args.rounds):
        alone, together = await rate(db, 1, args.seconds), await rate(db, 64, args.seconds)
        ratios.append(together / alone)
    batches, slow = (
        await rate(db, 1, args.seconds, 100),
        executemany_rate(folder / "plain.duckdb", args.seconds),
    )
    table.add(
        "durable writes of 64 callers, over one's",
        together,
        "/s",
        peer=alone,
        ratio=ratios,
        at_least=20,
    )
    table.add("rows in batches of 100: appender, over executemany", batches, "/s", peer=slow)
    await asyncio.to_thread(db.close)
    table.end()


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(parser.parse_args(), Path(folder)))


if __name__ == "__main__":
    main()
