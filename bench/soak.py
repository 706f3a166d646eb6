"""Mixed load at a steady rate for minutes or an hour: does memory grow, how much does the database, do answers get slower?

Everything that clients do goes on at once: generating, upscaling, trainings that report, searches, WebSockets that listen,
scrapes of /metrics. Three things take memory, and each is judged by what bounds it:

- The database: rows since its last checkpoint, which come once in some 8,000 jobs, and blocks of its file. In an hour that
  is one slope of a sawtooth of 25 MiB, so a regression says where the hour began in it. It is held to its own bound, here
  the least that can be set, 64 MiB: with its default of 512 it would go on filling that for 130,000 jobs.
- The day of metrics, which grows by the hour until it is a day.
- All else. Its slope is a regression over the samples after the first fifth, once --fill has filled what the server keeps
  at hand with each kind of work (runs alone fill for 25 minutes at this rate, which looked like a leak). DuckDB's allocator
  keeps up to 20 MiB for a while of what a checkpoint freed: only an hour says something.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import msgspec
import numpy as np
from running import Server, free_port, get, server, wait_until_ready
from table import Table, arguments, least

from superres import pictures

AI, ML, MONITORING = "/api/v1/ai", "/api/v1/ml-platform", "/api/v1/monitoring"
PNG = {"Content-Type": "image/png", "Accept": "image/png", "Prefer": "wait=60"}
JSON = {"Accept": "image/png", "Prefer": "wait=60"}
SEARCH = "metrics.loss < 0.5 and params.lr = '0.1' order by metrics.loss desc"
SOCKETS = ("/api/v1/ml-platform/ws/experiments", "/api/v1/monitoring/ws/metrics")
EVERY = 5.0
"""Seconds between two samples of memory and sizes."""
MIB = 1 << 20
SLOPE = 10
"""MiB/h that all else may grow once what is kept at hand is full."""
HELD, HISTORY = "gfedge_database_memory_bytes", "gfedge_history_memory_bytes"


class Load:
    """Clients of each kind, and how long their calls took."""

    def __init__(self, http: aiohttp.ClientSession, images: list[bytes], until: float) -> None:
        self.http = http
        self.images = images
        self.until = until
        self.took: dict[str, list[tuple[float, float]]] = defaultdict(list)
        """By kind: when, and for how long."""
        self.errors: Counter[str] = Counter()
        self.heard = 0

    async def call(self, kind: str, method: str, path: str, **options: object) -> bytes:
        began = time.monotonic()
        async with self.http.request(method, path, **options) as answer:  # type: ignore[arg-type]
            body = await answer.read()
            if answer.status != 200 and answer.status != 201:
                self.errors[f"{kind}: {answer.status} {body[:120]!r}"] += 1
        self.took[kind].append((began, time.monotonic() - began))
        return body

    async def steadily(self, each: float, work: Callable[[int], Awaitable[object]]) -> None:
        """One call every so many seconds; the next waits for the last, so that a slow machine is not buried."""
        due = time.monotonic()
        for number in itertools.count():
            if time.monotonic() > self.until:
                return
            try:
                await work(number)
            except (aiohttp.ClientError, TimeoutError) as error:
                self.errors[repr(error)] += 1
            due = max(due + each, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def generate(self, number: int) -> None:
        body = {"prompt": "red potion", "seed": number, "steps": 4}
        await self.call("generate", "POST", f"{AI}/generate", json=body, headers=JSON)

    async def superres(self, number: int) -> None:
        data = self.images[number % len(self.images)]
        await self.call("superres", "POST", f"{AI}/superres?scale=4", data=data, headers=PNG)

    async def training(self, number: int) -> None:
        """A run that begins, reports ten times and ends."""
        params = {"params": {"lr": ("0.1", "0.01")[number % 2]}}
        made = await self.call("begin a run", "POST", f"{ML}/experiments/soak/runs", json=params)
        run = f"{ML}/runs/{msgspec.json.decode(made)['id']}"
        for step in range(10):
            points = [{"key": "loss", "value": 1 / (step + 1), "step": step}]
            await self.call("report", "POST", f"{run}/log", json={"metrics": points})
        await self.call("end a run", "PATCH", run, json={"status": "finished"})

    async def look(self, _: int) -> None:
        """What people look at."""
        await self.call("search", "GET", f"{ML}/runs", params={"filter": SEARCH})
        await self.call("jobs", "GET", f"{ML}/ai-jobs?limit=20")
        await self.call("dashboard", "GET", f"{MONITORING}/dashboard-data")

    async def scrape(self, _: int) -> None:
        await self.call("scrape", "GET", "/metrics")

    async def fill(self, jobs: int) -> None:
        """Small jobs until what the server keeps at hand is full: 64 MiB of the database, some 6,500 runs, 1,000 jobs.

        Every seventh comes with a training, every twentieth with the two large ones.
        """
        waiting = iter(range(jobs))

        async def client() -> None:
            for number in waiting:
                data = self.images[number % len(self.images)]
                path = f"{AI}/superres?scale=2&mode=pixel"
                await self.call("fill", "POST", path, data=data, headers=PNG)
                if number % 7 == 0:
                    await self.training(number)
                if number % 20 == 0:
                    await self.generate(number)
                    await self.superres(number)

        await asyncio.gather(*(client() for _ in range(8)))
        self.took.clear()

    async def listen(self, path: str) -> None:
        async with self.http.ws_connect(path, max_msg_size=0) as ws:
            while (left := self.until - time.monotonic()) > 0:
                try:
                    message = await ws.receive(timeout=left)
                except TimeoutError:
                    return
                if message.type is not aiohttp.WSMsgType.TEXT:
                    self.errors[f"{path}: {message.type.name}"] += 1
                    return
                self.heard += 1

    async def come_and_go(self, number: int) -> None:
        """A listener that leaves after its first message."""
        async with self.http.ws_connect(SOCKETS[number % 2], max_msg_size=0) as ws:
            await ws.receive(timeout=30)


class Sample:
    """What the server holds now."""

    def __init__(self, found: Server, data: Path, jobs: int) -> None:
        self.at = time.monotonic()
        self.resident = found.resident_bytes()
        scraped = get(found.host, found.port, "/metrics")[1].decode()
        self.held, self.history = (total(scraped, name) for name in (HELD, HISTORY))
        self.cpu = found.cpu_seconds()
        self.jobs = jobs
        self.database = sum(file.stat().st_size for file in data.glob("gfedge.duckdb*"))
        self.pictures = sum(f.stat().st_size for f in data.glob("assets/**/*") if f.is_file())

    @property
    def rest(self) -> float:
        """Resident memory without the database's and the history's."""
        return self.resident - self.held - self.history


def total(text: str, name: str) -> float:
    """The sum of a metric's samples in what was scraped."""
    found = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)
    return sum(map(float, found))


async def watch(load: Load, found: Server, data: Path, samples: list[Sample]) -> None:
    def jobs() -> int:
        return len(load.took["generate"]) + len(load.took["superres"])

    while time.monotonic() < load.until:
        samples.append(await asyncio.to_thread(Sample, found, data, jobs()))
        if len(samples) % 60 == 0:
            last = samples[-1]
            print(
                f"{(last.at - samples[0].at) / 60:5.0f} min: {last.resident / MIB:.1f} MiB resident, {last.jobs} jobs, "
                f"{last.rest / MIB:.1f} of it neither the database's nor metrics, "
                f"database {last.database / MIB:.1f} MiB, {sum(load.errors.values())} errors",
                flush=True,
            )
        await asyncio.sleep(EVERY)


async def soak(found: Server, data: Path, seconds: float, fill: int) -> tuple[Load, list[Sample]]:
    samples: list[Sample] = []
    address = f"http://{found.host}:{found.port}"
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(address, connector=connector) as http:
        load = Load(http, pictures(32), 0.0)
        await load.call("experiment", "POST", f"{ML}/experiments", json={"name": "soak"})
        await load.fill(fill)
        load.until = time.monotonic() + seconds
        await asyncio.gather(
            watch(load, found, data, samples),
            load.steadily(1.0, load.superres),
            load.steadily(1.0, load.generate),
            load.steadily(0.5, load.training),
            load.steadily(2.0, load.look),
            load.steadily(5.0, load.scrape),
            load.steadily(3.0, load.come_and_go),
            *(load.listen(SOCKETS[i % 2]) for i in range(8)),
        )
    return load, samples


def slope(samples: list[Sample], field: str) -> float:
    """Bytes an hour, by regression."""
    times = np.array([one.at for one in samples]) - samples[0].at
    values = np.array([getattr(one, field) for one in samples], float)
    return float(np.polyfit(times, values, 1)[0]) * 3600


def p99(took: list[tuple[float, float]], begin: float, end: float) -> float:
    """Milliseconds, of the calls that began between the two."""
    found = [seconds for at, seconds in took if begin <= at < end]
    return 1e3 * statistics.quantiles(found, n=100)[98] if len(found) > 1 else float("nan")


def report(table: Table, load: Load, samples: list[Sample], filled: bool, allowed: int) -> None:
    warm = samples[len(samples) // 5 :]
    first, last = warm[0], warm[-1]
    minutes = (last.at - first.at) / 60
    jobs = max(1, last.jobs - first.jobs)
    table.add("errors", sum(load.errors.values()), at_most=0)
    table.add("jobs", last.jobs)
    table.add("messages that WebSockets heard", load.heard)
    table.add(
        f"memory's slope over {minutes:.0f} min, without the database and metrics",
        slope(warm, "rest") / MIB,
        "MiB/h",
        at_most=SLOPE if filled else None,
    )
    most = max(one.held for one in samples) / MIB
    table.add("the database holds at most", most, "MiB", at_most=allowed)
    table.add("the day of metrics grows by", slope(warm, "history") / MIB, "MiB/h")
    table.add(
        "resident at the end, beside after the warm-up",
        last.resident / MIB,
        "MiB",
        peer=first.resident / MIB,
    )
    table.add("CPU", 100 * (last.cpu - first.cpu) / (last.at - first.at), "% of a core")
    table.add(
        "database growth (jobs, runs, points, samples)", slope(warm, "database") / MIB, "MiB/h"
    )
    table.add("the same a job", (last.database - first.database) / jobs, "bytes")
    table.add("pictures a job", (last.pictures - first.pictures) / jobs, "bytes")
    fifth = (last.at - first.at) / 5
    for kind, took in sorted(load.took.items()):
        begin = p99(took, first.at, first.at + fifth)
        end = p99(took, last.at - fifth, last.at)
        if begin == begin and end == end:
            table.add(f"p99 of {kind} at the end, beside at the beginning", end, "ms", peer=begin)
    for error, count in load.errors.most_common(10):
        print(f"{count} times {error}")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument(
        "--minutes",
        type=least(0.2, float),
        default=2.0,
        help="60, with --fill 20000, for the figures that count",
    )
    parser.add_argument("--fill", type=least(0), default=0, help="small jobs before it begins")
    parser.add_argument(
        "--database-memory", type=least(64), default=64, help="MiB that the database may hold"
    )
    parser.add_argument(
        "--python", default=sys.executable, help="another interpreter for the server"
    )
    args = parser.parse_args()
    table = Table(__file__, args.json)
    os.environ["GFEDGE_DATABASE_MEMORY"] = f"{args.database_memory}M"
    with tempfile.TemporaryDirectory() as folder:
        data, port = Path(folder) / "data", free_port()
        line = [args.python, "-m", "gfedge", "serve", "--port", str(port), "--data", str(data)]
        with server(*line, port=port) as found:
            wait_until_ready(found)
            found_load, samples = asyncio.run(soak(found, data, 60 * args.minutes, args.fill))
            report(table, found_load, samples, args.fill > 0, args.database_memory)
    table.end()


if __name__ == "__main__":
    main()
