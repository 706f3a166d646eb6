"""CPU of MLflow's calls here against `mlflow server --workers 1` with sqlite on this machine, the two in turns.

The same requests go to both, over connections that stay open; each figure is server CPU a call (all of its processes).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import msgspec
import psutil
from running import free_port, server

API = "/api/2.0/mlflow"
ROOT = Path(__file__).parent.parent
MLFLOW = ROOT / ".venv-mlflow" / "bin" / "mlflow"
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
FILTER = "metrics.loss < 0.5 AND params.lr = '0.1'"
Work = Callable[[], Awaitable[object]]


class Side:
    """One of the two servers."""

    def __init__(self, name: str, port: int, pid: int, http: aiohttp.ClientSession) -> None:
        self.name = name
        self.url = f"http://127.0.0.1:{port}"
        self.process = psutil.Process(pid)
        self.http = http
        self.experiment = ""
        self.runs: list[str] = []
        self.number = itertools.count()

    def cpu(self) -> float:
        """User and system seconds of the server and all that it started."""
        found = 0.0
        for one in (self.process, *self.process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                found += times.user + times.system
        return found

    def resident(self) -> int:
        processes = (self.process, *self.process.children(recursive=True))
        return sum(one.memory_info().rss for one in processes)

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

    async def fill(self, runs: int) -> None:
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

        await together([lambda i=i: one(i) for i in range(runs)], 8)

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


async def measured(side: Side, work: list[Work], clients: int) -> tuple[float, float, int]:
    """CPU seconds and wall seconds of each call, and how many failed."""
    failed = 0

    async def one(call: Work) -> None:
        nonlocal failed
        try:
            await call()
        except (RuntimeError, aiohttp.ClientError, TimeoutError):
            failed += 1

    cpu, began = side.cpu(), time.perf_counter()
    await together([lambda call=call: one(call) for call in work], clients)
    took = time.perf_counter() - began
    return (side.cpu() - cpu) / len(work), took / len(work), failed


async def compare(
    sides: list[Side],
    name: str,
    make: Callable[[Side], Work],
    *,
    count: int,
    clients: int = 1,
    hold: float,
    rounds: int = 2,
) -> None:
    """Both in turns; prints the ratio of their CPU a call."""
    cpu = {side.name: 0.0 for side in sides}
    wall = {side.name: 0.0 for side in sides}
    failed = {side.name: 0 for side in sides}
    for _ in range(rounds):
        for side in sides:
            used, took, lost = await measured(side, [make(side)] * count, clients)
            cpu[side.name] += used / rounds
            wall[side.name] += took / rounds
            failed[side.name] += lost
    ours, theirs = (cpu[side.name] * 1e3 for side in sides)
    words = ", ".join(f"{n} of {side} failed" for side, n in failed.items() if n)
    speed = wall[sides[1].name] / wall[sides[0].name]
    print(
        f"{name:38s} {ours:8.2f} CPU ms, stock {theirs:8.2f}: {theirs / ours:6.1f}x (to hold: {hold:g}x)"
        f", {speed:.1f}x as fast{'; ' + words if words else ''}",
        flush=True,
    )


async def measure(sides: list[Side], args: argparse.Namespace) -> None:
    for side in sides:
        print(f"{side.name:8s} {side.resident() >> 20:5d} MiB resident at rest")
        await side.prepare()
    n = args.calls
    for clients, hold in ((1, 4), (8, 10), (32, 20)):
        stock_stalls = clients > 15  # its pool of connections runs out: calls take 30 s and fail
        count = max(clients, n) if not stock_stalls else clients * 2
        count = max(count, clients * 2)
        if stock_stalls and not args.long:
            await alone(sides[0], clients, n)
            continue
        await compare(sides, f"create run, {clients} clients", lambda s: s.create, count=count, clients=clients, hold=hold)  # fmt: skip
        await compare(sides, f"log-batch of 1, {clients} clients", lambda s: lambda: s.log(1), count=count, clients=clients, hold=hold)  # fmt: skip
    await compare(sides, "log-batch of 100, 1 client", lambda s: lambda: s.log(100), count=n // 2, hold=8)  # fmt: skip
    await compare(sides, "log-batch of 100, 8 clients", lambda s: lambda: s.log(100), count=n // 2, clients=8, hold=8)  # fmt: skip
    for side in sides:
        await side.fill(args.runs)
    await compare(sides, f"search with filter and order, {args.runs} runs", lambda s: s.search, count=10, hold=20)  # fmt: skip
    runs = {side.name: await side.fill_history(args.points) for side in sides}
    await compare(sides, f"history of {args.points} points", lambda s: lambda: s.history(runs[s.name], args.points), count=2, hold=20, rounds=1)  # fmt: skip
    await compare(sides, f"{args.megabytes} MiB file up and down", lambda s: lambda: s.file(args.megabytes << 20), count=3, hold=1, rounds=1)  # fmt: skip
    await alone(sides[0], 128, 128 * 4)
    for side in sides:
        print(f"{side.name:8s} {side.resident() >> 20:5d} MiB resident after it")


async def alone(side: Side, clients: int, count: int) -> None:
    """Ours at a number of clients at which the stock server loses calls."""
    for name, call in (("create run", side.create), ("log-batch of 1", lambda: side.log(1))):
        cpu, _, failed = await measured(side, [call] * max(count, clients * 2), clients)
        print(
            f"{name + f', {clients} clients':38s} {cpu * 1e3:8.2f} CPU ms here alone; {failed} failed",
            flush=True,
        )


@contextlib.contextmanager
def both(folder: Path) -> Iterator[list[tuple[str, int, int]]]:
    models = folder / "models"
    models.mkdir()
    ours, theirs = free_port(), free_port()
    here = [sys.executable, "-m", "gfedge", "serve", "--port", str(ours)]
    here += ["--data", str(folder / "data"), "--models", str(models)]
    quietly = ["/bin/sh", "-c", 'exec "$0" "$@" >/dev/null']
    stock = [*quietly, str(MLFLOW), "server", "--workers", "1", "--port", str(theirs)]
    stock += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    stock += ["--artifacts-destination", str(folder / "artifacts")]
    os.environ.update(QUIET)
    with server(*here, port=ours) as one, server(*stock, port=theirs) as other:
        yield [("gfedge", ours, one.pid), ("stock", theirs, other.pid)]


async def run(args: argparse.Namespace, folder: Path) -> None:
    with both(folder) as found:
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=300)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
            await measure([Side(*one, http) for one in found], args)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200, help="of each kind in a round")
    parser.add_argument("--runs", type=int, default=1000, help="to search among")
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--megabytes", type=int, default=64)
    parser.add_argument("--long", action="store_true", help="10,000 runs, 100,000 points, and the stock server at 32 clients")  # fmt: skip
    args = parser.parse_args()
    if args.long:
        args.runs, args.points = 10_000, 100_000
    if not MLFLOW.exists():
        print("MLflow is not here: `make mlflow` installs it")
        return
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(args, Path(folder)))


if __name__ == "__main__":
    main()
