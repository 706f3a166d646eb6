"""CPU of a PromQL query in gfedge against Debian's Prometheus, on the same 880 series of 24 hours, with checked answers.

Both servers are asked over HTTP on one connection, one after the other in turns. A ratio is ours / theirs; the values
of both answers must agree to nine digits. Needs the package prometheus (apt-get install prometheus).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import itertools
import json
import math
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from running import Server, free_port, get
from table import Table, arguments

from gfedge import migrate
from gfedge.db import Database
from gfedge.monitoring.archive import Archive
from gfedge.monitoring.blocks import Block
from gfedge.promql.types import Labels, Times, Values, make_labels

STEP_MS = 15_000
COUNT = 5760
BLOCK_MS = 600_000
BOUNDS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf")
Form = dict[str, str]


def data(end_ms: int) -> tuple[list[tuple[Labels, str]], Times, Values]:
    """500 gauges, 100 counters with two resets each, 20 histograms of 12 buckets: labels with types, and samples."""
    random = np.random.default_rng(7)
    times = end_ms - np.arange(COUNT, dtype=np.int64)[::-1] * STEP_MS
    series: list[tuple[Labels, str]] = []
    rows: list[Values] = []

    def add(kind: str, values: Values, **names: str) -> None:
        series.append((make_labels(names), kind))
        rows.append(values)

    for number in range(500):
        values = np.round(50 + np.cumsum(random.normal(0, 0.5, COUNT)), 2)
        where = {"instance": f"host-{number:03d}", "zone": f"z{number % 10}"}
        add("gauge", values, __name__="demo_gauge", **where)
    for number in range(100):
        values = np.cumsum(random.poisson(5, COUNT)).astype(np.float64)
        for at in random.integers(100, COUNT - 100, 2).tolist():
            values[at:] -= values[at]
        where = {"instance": f"host-{number:03d}", "job": f"j{number % 5}"}
        add("counter", values, __name__="demo_requests_total", **where)
    for number in range(20):
        each = random.poisson(2, (len(BOUNDS), COUNT))
        counts = np.cumsum(np.cumsum(each, axis=1), axis=0).astype(np.float64)
        where = {"instance": f"host-{number:03d}"}
        for le, values in zip(BOUNDS, counts, strict=True):
            add("histogram", values, __name__="demo_seconds_bucket", le=le, **where)
        add("histogram", counts[-1], __name__="demo_seconds_count", **where)
        add("histogram", counts[-1] / 4, __name__="demo_seconds_sum", **where)
    return series, times, np.array(rows)


def queries(end_ms: int) -> list[tuple[str, str, Form]]:
    """Name, path and form; off the grid of the samples, so that closed and left-open ranges are the same."""
    end = (end_ms - 7_000) / 1000
    hour = {"start": str(end - 3600), "end": str(end), "step": "15"}
    day = {"start": str(end - 86_000), "end": str(end), "step": "60"}
    hosts = 'demo_gauge{instance=~"host-0.."}'
    return [
        ("instant, 500 series", "query", {"query": "demo_gauge", "time": str(end)}),
        ("sum by, instant", "query", {"query": "sum by (zone) (demo_gauge)", "time": str(end)}),
        (
            "rate 1 h at 15 s, 100 series",
            "query_range",
            {"query": "rate(demo_requests_total[1m])", **hour},
        ),
        (
            "sum by rate 1 h",
            "query_range",
            {"query": "sum by (job) (rate(demo_requests_total[5m]))", **hour},
        ),
        (
            "histogram_quantile, 20 x 1 h",
            "query_range",
            {"query": "histogram_quantile(0.95, rate(demo_seconds_bucket[5m]))", **hour},
        ),
        ("rate 24 h at 60 s", "query_range", {"query": "rate(demo_requests_total[5m])", **day}),
        ("avg_over_time 24 h", "query_range", {"query": f"avg_over_time({hosts}[5m])", **day}),
        ("topk", "query", {"query": "topk(10, demo_gauge)", "time": str(end)}),
        ("series", "series", {"match[]": "demo_gauge", "start": str(end - 3600), "end": str(end)}),
    ]


# -- the same data in both servers --------------------------------------------------------------


async def prepare(
    folder: Path, series: list[tuple[Labels, str]], times: Times, values: Values
) -> None:
    """A data folder of ours whose history holds the samples in its blocks of ten minutes."""
    db = Database(folder / "gfedge.duckdb")
    await asyncio.to_thread(db.open, migrate.migrate)
    archive = Archive(db)
    await archive.open()
    ids = np.arange(len(series), dtype=np.int32)
    cuts = np.flatnonzero(np.diff(times // BLOCK_MS)) + 1
    bounds = [0, *cuts.tolist(), len(times)]
    blocks = [
        (0, "last", Block(ids, times[a:b], np.ascontiguousarray(values[:, a:b])))
        for a, b in itertools.pairwise(bounds)
    ]
    await archive.write(series, blocks)  # type: ignore[arg-type]
    await db.settle()
    await asyncio.to_thread(db.close)


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number: int, body: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(body)) + body


def write_request(series: list[tuple[Labels, str]], times: Times, values: Values) -> bytes:
    """A remote write 1.0 request, in snappy's frame of literals."""
    stamps = [b"\x10" + varint(int(at)) for at in times]
    out = []
    for (labels, _), row in zip(series, values, strict=True):
        body = b"".join(field(1, field(1, k.encode()) + field(2, v.encode())) for k, v in labels)
        samples = (
            field(2, b"\x09" + struct.pack("<d", value) + stamp)
            for value, stamp in zip(row.tolist(), stamps, strict=True)
        )
        out.append(field(1, body + b"".join(samples)))
    plain = b"".join(out)
    chunks = (plain[at : at + 65_536] for at in range(0, len(plain), 65_536))
    return varint(len(plain)) + b"".join(
        bytes([61 << 2]) + struct.pack("<H", len(chunk) - 1) + chunk for chunk in chunks
    )


def fill(found: Server, series: list[tuple[Labels, str]], times: Times, values: Values) -> None:
    """Half an hour at a time, because Prometheus takes samples in the order of time."""
    connection = http.client.HTTPConnection(found.host, found.port, timeout=60)
    headers = {
        "Content-Encoding": "snappy",
        "Content-Type": "application/x-protobuf",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    }
    for at in range(0, COUNT, 120):
        body = write_request(series, times[at : at + 120], values[:, at : at + 120])
        connection.request("POST", "/api/v1/write", body, headers)
        answer = connection.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"Prometheus refuses samples: {answer.status} {said[:200]!r}")
    connection.close()


@contextlib.contextmanager
def running(line: list[str], port: int, path: str, environment: dict[str, str]) -> Iterator[Server]:
    process = subprocess.Popen(
        line,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
    try:
        while True:
            with contextlib.suppress(OSError):
                if get("127.0.0.1", port, path)[0] == 200:
                    break
            if process.poll() is not None:
                raise SystemExit(f"{line[0]} ended with {process.returncode}")
            time.sleep(0.02)
        yield Server("127.0.0.1", port, process.pid, 0.0)
    finally:
        process.terminate()
        process.wait(30)


def prometheus(binary: str, folder: Path) -> contextlib.AbstractContextManager[Server]:
    port = free_port()
    (folder / "p.yml").write_text("global: {scrape_interval: 1h}\n")
    line = [
        binary,
        f"--config.file={folder}/p.yml",
        f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
        "--log.level=error",
    ]
    return running(line, port, "/-/ready", {})


def ours(folder: Path) -> contextlib.AbstractContextManager[Server]:
    port = free_port()
    line = [sys.executable, "-m", "gfedge", "serve", "--port", str(port), "--data", str(folder)]
    line += ["--models", str(folder / "none")]
    environment = {"GFEDGE_METRICS_INTERVAL": "60", "GFEDGE_DEVICE": "cpu"}
    return running(line, port, "/health", environment)


# -- asking -------------------------------------------------------------------------------------


class Client:
    """One connection to a server; `base` is where its API begins."""

    def __init__(self, found: Server, base: str) -> None:
        self.found, self.base = found, base
        self._connection = http.client.HTTPConnection(found.host, found.port, timeout=120)

    def ask(self, path: str, form: Form) -> bytes:
        url = f"{self.base}/{path}?{urllib.parse.urlencode(form)}"
        self._connection.request("GET", url)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{url}: {answer.status} {body[:300]!r}")
        return body

    def cpu_ms(self, path: str, form: Form, seconds: float) -> float:
        """Server CPU per query, over at least so much of it (the kernel counts in hundredths)."""
        before, count = self.found.cpu_seconds(), 0
        while (spent := self.found.cpu_seconds() - before) < seconds and count < 3000:
            self.ask(path, form)
            count += 1
        return spent / count * 1000


def checksum(body: bytes) -> list[float]:
    """Sums over the values that any difference would change."""
    found: Any = json.loads(body)["data"]
    if isinstance(found, list):
        return [float(len(found)), float(sum(len(row) for row in found))]
    sums = [float(len(found["result"])), 0.0, 0.0]
    for series in found["result"]:
        weight = 1 + sum(map(ord, "".join(series["metric"].values()))) % 97
        for _, value in series.get("values") or [series["value"]]:
            number = float(value)
            if math.isfinite(number):
                sums[1] += number * weight
                sums[2] += abs(number)
    return sums


def agree(one: bytes, other: bytes) -> bool:
    pairs = zip(checksum(one), checksum(other), strict=True)
    return all(math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12) for a, b in pairs)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--prometheus", default=shutil.which("prometheus") or "")
    parser.add_argument("--seconds", type=float, default=0.5, help="CPU to spend on each figure")
    parser.add_argument("--only", default="", help="queries whose name contains this")
    args = parser.parse_args()
    if not args.prometheus:
        print("prometheus is not installed here: apt-get install prometheus")
        return
    if shutil.which(args.prometheus) is None:
        parser.error(f"argument --prometheus: {args.prometheus} is no program")
    if not any(args.only in name for name, *_ in queries(0)):
        parser.error(f"argument --only: no query has {args.only} in its name")
    end_ms = int(time.time() * 1000) // STEP_MS * STEP_MS - 60_000
    series, times, values = data(end_ms)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ours").mkdir()
        asyncio.run(prepare(folder / "ours", series, times, values))
        with prometheus(args.prometheus, folder) as theirs, ours(folder / "ours") as mine:
            fill(theirs, series, times, values)
            version = json.loads(Client(theirs, "/api/v1").ask("status/buildinfo", {}))
            table = Table(__file__, args.json)
            table.add(f"samples, also in Prometheus {version['data']['version']}", values.size)
            clients = Client(theirs, "/api/v1"), Client(mine, "/prometheus/api/v1")
            compare(table, *clients, end_ms, args)
            table.end()


def compare(
    table: Table, theirs: Client, mine: Client, end_ms: int, args: argparse.Namespace
) -> None:
    for name, path, form in queries(end_ms):
        if args.only not in name:
            continue
        same = agree(theirs.ask(path, form), mine.ask(path, form))
        measured = [
            [client.cpu_ms(path, form, args.seconds / 2) for client in (theirs, mine)]
            for _ in range(2)
        ]
        prom, own = (min(pair) for pair in zip(*measured, strict=True))
        assert same, f"{name}: the answers differ"
        table.add(f"CPU of {name}", own, "ms", peer=prom, at_most=1)


if __name__ == "__main__":
    main()
