"""Reads of a tracking store at 8 concurrent readers while runs are recorded, and points a second of batch logging.

The store is filled by SQL with runs of 10 params, 10 metrics and 5 tags and 10 points a metric, and one long run:
10,000 runs, or with --full 100,000 of them in 1,000 experiments (minutes to fill: keep it with --folder).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import msgspec
from running import Server, free_port, server
from table import Table, arguments, least

from gfedge import migrate
from gfedge.db import Cursor, Database

API = "/api/v1/ml-platform"
FILTER = "metrics.loss < 0.1 and params.lr = '0.001' order by metrics.loss desc"
PARAMS = [
    "lr",
    "batch_size",
    "epochs",
    "optimizer",
    "seed",
    "model",
    "dropout",
    "weight_decay",
    "width",
    "depth",
]
METRICS = [
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "lr",
    "grad_norm",
    "time",
    "f1",
    "auc",
    "tps",
]
TAGS = ["team", "stage", "user", "host", "note"]
SPACING = 26
"""Seconds between two runs: 100,000 of them are a month's."""
LONG = 100_000
"""Points of the long run."""

RUN = """
    insert into runs (id, experiment_id, name, kind, status, created_at, started_at, ended_at)
    select format('{:08x}-{:04x}-7000-8000-{:012x}', t // 65536, t % 65536, i),
           format('01890000-0000-7000-8000-{:012x}', i * 7919 % $2),
           'run ' || i, 'user', 'finished', t / 1000, t / 1000, t / 1000 + 20
    from (select i, 1_690_000_000_000 + i * $3 as t from range($1) r(i))
"""
FILL_PARAMS = """
    insert into params
    select id, k, if(k = 'lr', $2[(1 + hash(id) % 3)::int], (hash(id || k) % 50)::varchar)
    from runs, (select unnest($1) as k) order by id
"""
FILL_TAGS = """
    insert into tags select id, k, 'v' || (hash(id || k) % 20) from runs, (select unnest($1) as k) order by id
"""
FILL_METRICS = """
    insert into metrics select id, k, random(), s, started_at + s
    from runs, (select unnest($1) as k), range(10) t(s) order by id, s
"""


def fill(cursor: Cursor, runs: int, experiments: int) -> None:
    cursor.execute(
        """
        insert into experiments (id, name, kind, description, tags, created_at, headline)
        select format('01890000-0000-7000-8000-{:012x}', i), 'experiment ' || i, 'user', '', '{}', i,
               '{"metric": "loss", "goal": "min"}'
        from range($1) r(i)
        """,
        [experiments],
    )
    cursor.execute(RUN, [runs, experiments, SPACING * 1000])
    cursor.execute(FILL_PARAMS, [PARAMS, ["0.1", "0.01", "0.001"]])
    cursor.execute(FILL_TAGS, [TAGS])
    cursor.execute(FILL_METRICS, [METRICS])
    cursor.execute(
        "insert into metrics select max(id), 'long', sin(s / 5000) + random(), s, 1690000000 + s "
        "from runs, range($1) t(s) group by s order by s",
        [LONG],
    )


def is_full(cursor: Cursor) -> bool:
    return bool(cursor.execute("select 1 from runs limit 1").fetchall())


def ids(cursor: Cursor) -> list[str]:
    found = cursor.execute("select id from runs using sample 500").fetchall()
    return [str(row[0]) for row in found] + [
        str(
            cursor.execute("select run_id from metrics where key = 'long' limit 1").fetchall()[0][0]
        )
    ]


async def prepare(data: Path, args: argparse.Namespace) -> list[str]:
    db = Database(data / "gfedge.duckdb")
    db.open(migrate.migrate)
    began = time.perf_counter()
    if not await db.read(is_full):
        await db.write(fill, args.runs, args.experiments)
    found = await db.read(ids)
    await asyncio.to_thread(db.close)
    size = (data / "gfedge.duckdb").stat().st_size >> 20
    points = args.runs * 100 + LONG
    word = f"{args.runs} runs, {args.experiments} experiments, {points} points"
    print(f"{word}: filled in {time.perf_counter() - began:.0f} s, {size} MiB", flush=True)
    return found


class Client:
    def __init__(self, http: aiohttp.ClientSession, found: Server) -> None:
        self.http = http
        self.url = f"http://{found.host}:{found.port}{API}"

    async def call(self, method: str, path: str, body: object = None, **query: str) -> bytes:
        data = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"} if data else {}
        url = self.url + path
        async with self.http.request(method, url, data=data, headers=headers, params=query) as got:
            answer = await got.read()
            if got.status >= 400:
                raise SystemExit(f"{method} {path}: {got.status} {answer.decode()}")
            return answer


Work = Callable[[], Awaitable[object]]


async def timed(work: Iterator[Work], readers: int, count: int) -> list[float]:
    """Seconds of each of `count` calls, `readers` of them at a time."""
    took: list[float] = []
    left = iter(range(count))

    async def reader() -> None:
        for _ in left:
            call = next(work)
            began = time.perf_counter()
            await call()
            took.append(time.perf_counter() - began)

    await asyncio.gather(*(reader() for _ in range(readers)))
    return took


def report(
    table: Table,
    name: str,
    took: list[float],
    cpu: float,
    p50: float | None = None,
    p95: float | None = None,
) -> None:
    """Rows of the calls' times, in ms what they are to hold; `cpu` is the server's, with what it recorded meanwhile."""
    cuts = statistics.quantiles(took, n=20)
    table.add(f"{name}: p50", 1e3 * statistics.median(took), "ms", at_most=p50)
    table.add(f"{name}: p95", 1e3 * cuts[18], "ms", at_most=p95)
    table.add(f"{name}: CPU a call", 1e3 * cpu / len(took), "ms")


async def record(client: Client, each: float, number: int = 0) -> None:
    """Begins a run, reports and ends it, every so many seconds."""
    while True:
        number += 1
        run = msgspec.json.decode(
            await client.call(
                "POST", "/experiments/recorded/runs", {"params": dict.fromkeys(PARAMS, "1")}
            )
        )
        points = [{"key": key, "value": number} for key in METRICS]
        await client.call("POST", f"/runs/{run['id']}/log", {"metrics": points})
        await client.call("PATCH", f"/runs/{run['id']}", {"status": "finished"})
        await asyncio.sleep(each)


@contextlib.asynccontextmanager
async def recording(client: Client, rate: float) -> AsyncIterator[None]:
    task = asyncio.create_task(record(client, 1 / rate)) if rate else None
    yield
    if task is not None:
        task.cancel()


def reads(client: Client, known: list[str]) -> dict[str, Callable[[], Work]]:
    dice = random.Random(1)
    long = known[-1]

    def one() -> Work:
        run_id = dice.choice(known)
        return lambda: client.call("GET", f"/runs/{run_id}")

    def plot() -> Work:
        run_id = dice.choice(known)
        return lambda: client.call("GET", f"/runs/{run_id}/metrics/loss", points="500")

    def get(path: str, **query: str) -> Callable[[], Work]:
        return lambda: lambda: client.call("GET", path, **query)

    return {
        "list of 100": get("/runs"),
        "an experiment's runs": get("/experiments/experiment 5/runs"),
        "filter and order": get("/runs", filter=FILTER),
        "order by a metric": get("/runs", filter="order by metrics.loss"),
        "experiments, 100": get("/experiments"),
        "one run": one,
        "one plot": plot,
        f"plot of {LONG} points": get(f"/runs/{long}/metrics/long", points="500"),
    }


async def measure_reads(
    table: Table, client: Client, found: Server, known: list[str], args: argparse.Namespace
) -> None:
    kinds = reads(client, known)
    for rate in dict.fromkeys((0.0, args.recording)):
        beside = f", {rate:g} runs/s recorded beside" if rate else ""
        async with recording(client, rate):
            for name, make in kinds.items():
                endless = (make() for _ in itertools.count())
                await timed(endless, args.readers, args.readers)
                cpu = found.cpu_seconds()
                took = await timed(endless, args.readers, args.requests)
                report(table, name + beside, took, found.cpu_seconds() - cpu, p95=50)
            four = [
                kinds[name] for name in ("list of 100", "filter and order", "one run", "one plot")
            ]
            mixed = (make() for make in itertools.cycle(four))
            cpu = found.cpu_seconds()
            took = await timed(mixed, args.readers, 2 * args.requests)
            report(table, f"four of them in turn{beside}", took, found.cpu_seconds() - cpu)


async def measure_logging(
    table: Table, client: Client, found: Server, args: argparse.Namespace
) -> None:
    """Points a second, acknowledged durably, by a few trainings at a time."""
    for batch, writers in ((args.batch, 1), (args.batch, 4), (100, 8), (1, 32)):
        written = 0
        ends = time.perf_counter() + args.seconds

        async def train(batch: int = batch, ends: float = ends) -> None:
            nonlocal written
            run = msgspec.json.decode(await client.call("POST", "/experiments/recorded/runs", {}))
            for begun in itertools.count(0, batch):
                points = [
                    {
                        "key": METRICS[i % 10],
                        "value": i * 0.5,
                        "step": i // 10,
                        "logged_at": 1e9 + i,
                    }
                    for i in range(begun, begun + batch)
                ]
                await client.call("POST", f"/runs/{run['id']}/log", {"metrics": points})
                written += batch
                if time.perf_counter() > ends:
                    break

        cpu, began = found.cpu_seconds(), time.perf_counter()
        await asyncio.gather(*(train() for _ in range(writers)))
        took, cpu = time.perf_counter() - began, found.cpu_seconds() - cpu
        word = f"logging, {writers} at a time, {batch} points a call"
        hold = 100_000 if batch == args.batch else None
        table.add(word, written / took, "points/s", at_least=hold)
        table.add(f"{word}: CPU a call", cpu / written * batch * 1e3, "ms")


async def measure(args: argparse.Namespace, folder: Path) -> None:
    table = Table(__file__, args.json)
    data, models = folder / "data", folder / "models"
    data.mkdir(exist_ok=True)
    models.mkdir(exist_ok=True)
    known = await prepare(data, args)
    port = free_port()
    command = [sys.executable, "-m", "gfedge", "serve", "--port", str(port)]
    command += ["--data", str(data), "--models", str(models)]
    with server(*command, port=port) as found:
        async with aiohttp.ClientSession() as http:
            client = Client(http, found)
            began = time.perf_counter()
            await client.call("GET", "/runs")
            table.add(f"index of {args.runs} runs built, once", time.perf_counter() - began, "s")
            with contextlib.suppress(SystemExit):  # it is there from the run before
                await client.call("POST", "/experiments", {"name": "recorded"})
    with server(*command, port=port) as found:
        async with aiohttp.ClientSession() as http:
            client = Client(http, found)
            await measure_reads(table, client, found, known, args)
            await measure_logging(table, client, found, args)
            table.add("resident after it", found.resident_bytes() / (1 << 20), "MiB")
    table.end()


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--full", action="store_true", help="the size that the figures are for")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--experiments", type=least(6), default=100)
    parser.add_argument("--readers", type=int, default=8)
    parser.add_argument("--requests", type=least(2), default=100, help="of each kind")
    parser.add_argument("--recording", type=least(0, float), default=10, help="runs a second")
    parser.add_argument("--batch", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=1, help="of each kind of logging")
    parser.add_argument("--folder", type=Path, help="keep the filled store here for the next time")
    args = parser.parse_args()
    if args.full:
        args.runs, args.experiments, args.requests, args.seconds = 100_000, 1000, 400, 5
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(args, args.folder or Path(folder)))


if __name__ == "__main__":
    main()
