"""CPU of MLflow's calls here against `mlflow server` with sqlite on this machine, with one worker and with as many as it
starts by itself, in turns.

The same requests go to all, over connections that stay open. Each figure is server CPU (of all its processes) for a call
that was acknowledged.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import msgspec
from running import Server, free_port, server
from table import Table, arguments
from tracking import fill

from gfedge import migrate
from gfedge.db import Database
from gfedge.tracking.store import all_experiments

API = "/api/2.0/mlflow"
ROOT = Path(__file__).parent.parent
MLFLOW = ROOT / ".venv-mlflow" / "bin" / "mlflow"
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
FILTER = "metrics.loss < 0.5 AND params.lr = '0.1'"
FAILURES = (RuntimeError, aiohttp.ClientError, TimeoutError)
Work = Callable[[], Awaitable[object]]


class Side:
    """One of the two servers."""

    def __init__(self, name: str, found: Server, http: aiohttp.ClientSession) -> None:
        self.name = name
        self.url = f"http://{found.host}:{found.port}"
        self.server = found
        self.http = http
        self.experiment = ""
        self.runs: list[str] = []
        self.number = itertools.count()

    async def call(self, method: str, path: str, body: object = None, **query: object) -> bytes:
        data = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"} if data is not None else {}
        params = {key: str(value) for key, value in query.items()}
        url = f"{self.url}{API}/{path}"
        async with self.http.request(
            method, url, data=data, headers=headers, params=params
        ) as answer:
            found = await answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{self.name}: {path}: {answer.status} {found[:200]!r}")
            return found

    async def prepare(self) -> None:
        made = await self.call("POST", "experiments/create", {"name": f"bench {time.time()}"})
        self.experiment = msgspec.json.decode(made)["experiment_id"]
        self.runs = [await self.create() for _ in range(40)]

    async def create(self) -> str:
        number = next(self.number)
        tags = {"mlflow.user": "bench", "mlflow.source.name": "bench.py", "team": "art"}
        body = {
            "experiment_id": self.experiment,
            "start_time": 1_700_000_000_000 + number,
            "run_name": f"run {number}",
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
        }
        made = await self.call("POST", "runs/create", body)
        return str(msgspec.json.decode(made)["run"]["info"]["run_id"])

    async def log(self, points: int) -> None:
        number = next(self.number)
        metrics = [
            {"key": f"m{i % 10}", "value": number + i, "timestamp": number, "step": number + i}
            for i in range(points)
        ]
        run = self.runs[number % len(self.runs)]
        await self.call("POST", "runs/log-batch", {"run_id": run, "metrics": metrics})

    async def fill(self, runs: int, clients: int = 8) -> None:
        """Runs of 10 params and 10 metrics, to search among."""

        async def one(i: int) -> None:
            run = await self.create()
            metrics = [
                {
                    "key": "loss" if k == 0 else f"k{k}",
                    "value": (i * 7919 % 1000) / 1000,
                    "timestamp": i,
                    "step": 0,
                }
                for k in range(10)
            ]
            params = [
                {"key": "lr" if k == 0 else f"p{k}", "value": ("0.1", "0.2", "0.3")[i % 3]}
                for k in range(10)
            ]
            body = {"run_id": run, "metrics": metrics, "params": params}
            await self.call("POST", "runs/log-batch", body)

        await together([lambda i=i: one(i) for i in range(runs)], clients)

    async def search(self) -> None:
        body = {
            "experiment_ids": [self.experiment],
            "filter": FILTER,
            "order_by": ["metrics.loss DESC"],
            "max_results": 100,
        }
        found = msgspec.json.decode(await self.call("POST", "runs/search", body))
        assert len(found["runs"]) == 100

    async def fill_history(self, points: int) -> str:
        run = await self.create()
        for begin in range(0, points, 1000):
            metrics = [
                {"key": "long", "value": i * 0.5, "timestamp": i, "step": i}
                for i in range(begin, begin + 1000)
            ]
            await self.call("POST", "runs/log-batch", {"run_id": run, "metrics": metrics})
        return run

    async def history(self, run: str, points: int) -> None:
        token, count = "", 0
        while token is not None:
            page = msgspec.json.decode(
                await self.call(
                    "GET", "metrics/get-history", run_id=run, metric_key="long",
                    max_results=25_000, **({"page_token": token} if token else {}),
                )
            )  # fmt: skip
            count += len(page["metrics"])
            token = page.get("next_page_token")
        assert count == points

    async def file(self, size: int) -> None:
        run = self.runs[0]
        data = os.urandom(1 << 20) * (size >> 20)
        path = f"{self.url}/api/2.0/mlflow-artifacts/artifacts/{self.experiment}/{run}/artifacts/f"
        async with self.http.put(path, data=aiohttp.BytesPayload(data)) as answer:
            assert answer.status == 200, await answer.text()
        async with self.http.get(path) as answer:
            assert answer.status == 200
            async for _ in answer.content.iter_chunked(1 << 20):
                pass


async def together(work: list[Work], clients: int) -> None:
    waiting = iter(work)

    async def client() -> None:
        for one in waiting:
            await one()

    await asyncio.gather(*(client() for _ in range(clients)))


async def measured(side: Side, call: Work, count: int, clients: int) -> tuple[float, int]:
    """CPU milliseconds of a call that was acknowledged, and how many were not."""
    failed = 0

    async def one() -> None:
        nonlocal failed
        try:
            await call()
        except FAILURES:
            failed += 1

    before = side.server.tree_cpu_seconds()
    await together([one] * count, clients)
    used = side.server.tree_cpu_seconds() - before
    return used / max(1, count - failed) * 1e3, failed


class Comparison:
    """Ours against a peer, call by call."""

    def __init__(
        self, ours: Side, peer: Side, table: Table, rounds: int, *, stalls: bool = False
    ) -> None:
        self.sides = (ours, peer)
        self.stalls = stalls
        """Whether the peer runs out of connections to its database above 15 clients, and calls take 30 s and fail."""
        self.table = table
        self.rounds = rounds

    async def take(
        self, name: str, make: Callable[[Side], Work], count: int, clients: int, hold: float
    ) -> None:
        """In turns; the ratio is the median of the rounds'."""
        cpu: list[list[float]] = [[], []]
        lost = 0
        rounds = 1 if clients > 15 and self.stalls else self.rounds
        for _ in range(rounds):
            for side, found in zip(self.sides, cpu, strict=True):
                used, failed = await measured(side, make(side), count, clients)
                found.append(used)
                assert side is self.sides[1] or not failed, f"{failed} of ours failed"
                lost += failed
        name = f"{name}, {clients} client{'s' * (clients > 1)}, {self.sides[1].name}"
        if lost:
            name += f" ({lost} of its {count * rounds} failed)"
        ours, peers = (statistics.median(found) for found in cpu)
        ratios = [theirs / max(used, 1e-9) for used, theirs in zip(*cpu, strict=True)]
        self.table.add(name, ours, "CPU ms", peer=peers, ratio=ratios, at_least=hold)
        print(f"{name}: {ours:.2f}, {peers:.2f}: {statistics.median(ratios):.1f}x", flush=True)

    async def clients(self, calls: int, most: int = 32) -> None:
        """Runs and reports by 1, 8 and 32 clients."""
        for clients, hold in ((1, 4), (8, 10), (32, 20)):
            if clients > most:
                return
            count = max(calls, 2 * clients)
            await self.take("create run", lambda s: s.create, count, clients, hold)
            await self.take("log-batch of 1", lambda s: lambda: s.log(1), count, clients, hold)
            count = max(calls // 2, 2 * clients)
            await self.take("log-batch of 100", lambda s: lambda: s.log(100), count, clients, 8)

    async def store(self, args: argparse.Namespace) -> None:
        """Searches, histories and files."""
        for side in self.sides:
            await side.fill(args.runs)
        await self.take(f"search, {args.runs} runs", lambda s: s.search, 10, 1, 20)
        runs = {side: await side.fill_history(args.points) for side in self.sides}
        await self.take(
            f"history of {args.points} points",
            lambda s: lambda: s.history(runs[s], args.points), 2, 1, 20,
        )  # fmt: skip
        await self.take(
            f"{args.megabytes} MiB file up and down",
            lambda s: lambda: s.file(args.megabytes << 20), 3, 1, 1,
        )  # fmt: skip


async def many_runs(
    stock: Side, args: argparse.Namespace, folder: Path, theirs: Path, table: Table
) -> None:
    """Searches among more runs, which SQL puts into both databases."""
    (folder / "data").mkdir(parents=True)
    db = Database(folder / "data" / "gfedge.duckdb")
    db.open(migrate.migrate)
    await db.write(fill, args.many_runs, 1)
    (experiment,) = await db.read(all_experiments)
    await asyncio.to_thread(db.close)
    await asyncio.to_thread(multiply, theirs, args.many_runs // args.runs)
    with ours_at(folder) as found:
        ours = Side("gfedge", found, stock.http)
        ours.experiment = experiment.id
        await ours.search()  # the first one waits for the index of runs
        name = f"search, {args.many_runs} runs"
        await Comparison(ours, stock, table, 1).take(name, lambda s: s.search, 2, 1, 20)


def multiply(database: Path, times: int) -> None:
    """Puts copies of every run, with all that belongs to it, into MLflow's sqlite until there are so many times as many."""
    copies = f"with recursive copy(n) as (select 1 union all select n + 1 from copy where n < {times - 1})"
    with contextlib.closing(sqlite3.connect(database)) as db, db:
        for table in ("runs", "metrics", "latest_metrics", "params", "tags"):
            names = [row[1] for row in db.execute(f"pragma table_info({table})")]
            # No id of theirs has an x in it.
            taken = (
                "substr(run_uuid, 1, 28) || printf('x%03d', n)" if name == "run_uuid" else name
                for name in names
            )
            db.execute(
                f"insert into {table} ({', '.join(names)}) {copies} select {', '.join(taken)} from {table}, copy"
            )


async def acknowledged(ours: Side, clients: int, calls: int) -> dict[str, set[int]]:
    """Many clients make runs and report to them until the server is killed; the steps that it acknowledged, by run."""
    held: dict[str, set[int]] = {}
    left = itertools.count(calls, -1)

    async def client() -> None:
        with contextlib.suppress(aiohttp.ClientError):
            while True:
                run = await ours.create()
                held[run] = set()
                for step in range(4):
                    point = {"key": "p", "value": 1, "timestamp": step, "step": step}
                    await ours.call("POST", "runs/log-batch", {"run_id": run, "metrics": [point]})
                    held[run].add(step)
                    if not next(left):
                        os.kill(ours.server.pid, signal.SIGKILL)

    await asyncio.gather(*(client() for _ in range(clients)))
    return held


async def lost(ours: Side, held: dict[str, set[int]]) -> int:
    """How many acknowledged runs and points are not there."""
    count = 0
    for run, steps in held.items():
        found = msgspec.json.decode(await ours.call("GET", "runs/get", run_id=run))["run"]
        count += len(found["data"].get("tags", ())) != 4
        asked = {"run_id": run, "metric_key": "p"}
        page = msgspec.json.decode(await ours.call("GET", "metrics/get-history", **asked))
        count += len(steps - {point["step"] for point in page.get("metrics", ())})
    return count


@contextlib.contextmanager
def ours_at(folder: Path) -> Iterator[Server]:
    port = free_port()
    (folder / "models").mkdir(exist_ok=True)
    here = [sys.executable, "-m", "gfedge", "serve", "--port", str(port)]
    here += ["--data", str(folder / "data"), "--models", str(folder / "models")]
    with server(*here, port=port) as found:
        yield found


@contextlib.contextmanager
def stock_at(folder: Path, *workers: str) -> Iterator[Server]:
    folder.mkdir()
    port = free_port()
    quietly = ["/bin/sh", "-c", 'exec "$0" "$@" >/dev/null']
    stock = [*quietly, str(MLFLOW), "server", *workers, "--port", str(port)]
    stock += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    stock += ["--artifacts-destination", str(folder / "artifacts")]
    with server(*stock, port=port) as found:
        yield found


async def against_stock(args: argparse.Namespace, folder: Path, table: Table) -> None:
    with (
        ours_at(folder) as here,
        stock_at(folder / "one", "--workers", "1") as one,
        stock_at(folder / "more") as more,
    ):
        named = {"gfedge": here, "stock with one worker": one, "stock": more}
        for name, found in named.items():
            table.add(f"idle memory of {name} (PSS)", found.tree_bytes() / 2**20, "MiB")
        async with session() as http:
            ours, slow, fast = (Side(name, found, http) for name, found in named.items())
            for side in (ours, slow, fast):
                await side.prepare()
            await Comparison(ours, fast, table, args.rounds).clients(args.calls)
            single = Comparison(ours, slow, table, args.rounds, stalls=True)
            await single.clients(args.calls, most=32 if args.long else 8)
            await single.store(args)
            if args.long:
                theirs = folder / "one" / "mlflow.db"
                await many_runs(slow, args, folder / "many", theirs, table)


async def killed(folder: Path, table: Table) -> None:
    with ours_at(folder) as found:
        async with session() as http:
            ours = Side("gfedge", found, http)
            await ours.prepare()
            held = await acknowledged(ours, 128, 4000)
    with ours_at(folder) as found:
        async with session() as http:
            count = await lost(Side("gfedge", found, http), held)
    calls = len(held) + sum(map(len, held.values()))
    name = f"128 clients, kill -9: of {calls} acknowledged calls not there"
    table.add(name, count, at_most=0)


def session() -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=300)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--calls", type=int, default=100, help="of each kind in a round")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--runs", type=int, default=1000, help="to search among")
    parser.add_argument("--many-runs", type=int, default=100_000, help="to search among, if long")  # fmt: skip
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--megabytes", type=int, default=64)
    parser.add_argument("--long", action="store_true", help="10,000 and 100,000 runs, 100,000 points, and 32 clients at one worker")  # fmt: skip
    args = parser.parse_args()
    if args.long:
        args.runs, args.points = 10_000, 100_000
    if not MLFLOW.exists():
        print("MLflow is not here: `make mlflow` installs it")
        return
    os.environ.update(QUIET)
    table = Table(__file__, args.json)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(against_stock(args, Path(folder), table))
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(killed(Path(folder), table))
    table.end()


if __name__ == "__main__":
    main()
