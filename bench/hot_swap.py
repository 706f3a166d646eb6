"""Requests while versions are swapped: how many fail (none may), and how much longer they take than without a swap.

Clients upscale small pictures without a pause; meanwhile one version after the other is promoted to prod, then rolled
back. The same load without swaps, taken right before in the same run, is what the latency is held against.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import builders
import running
from table import Table, arguments, least
from test_promotion import nearest

API = "/api/v1/ml-platform/models/superres"
PICTURE = {"Content-Type": "image/png", "Prefer": "wait=60"}


class Load:
    """Clients that ask for one picture after the other."""

    def __init__(self, session: aiohttp.ClientSession, clients: int) -> None:
        self.session = session
        self.clients = clients
        self.seconds: list[float] = []
        self.versions: set[str] = set()
        self.failed = 0
        self.left = 0

    async def run(self, requests: int) -> None:
        self.left = requests
        await asyncio.gather(*(self._client(i) for i in range(self.clients)))

    async def _client(self, number: int) -> None:
        data = builders.png_file(8, 8, seed=number)
        while self.left > 0:
            self.left -= 1
            began = time.perf_counter()
            path = "/api/v1/ai/superres"
            async with self.session.post(path, data=data, headers=PICTURE) as response:
                job = await response.json()
            self.seconds.append(time.perf_counter() - began)
            if response.status != 200 or job["status"] != "succeeded":
                self.failed += 1
                print("failed:", response.status, job)
            else:
                self.versions.add(job["model"]["version"])

    def quantile(self, percent: int) -> float:
        return statistics.quantiles(self.seconds, n=100)[percent - 1]


async def call(session: aiohttp.ClientSession, method: str, path: str, **options: Any) -> Any:
    async with session.request(method, f"{API}{path}", **options) as response:
        answer = await response.json()
        if response.status >= 400:
            raise SystemExit(f"{method} {path}: {answer}")
        return answer


async def swap(session: aiohttp.ClientSession, load: asyncio.Task[None]) -> list[float]:
    """Promotes and rolls back until the load is over; the seconds of each swap."""
    taken = []
    while not load.done():
        for path, body in (("/promote", {"version": "2", "stage": "prod"}), ("/rollback", {})):
            began = time.perf_counter()
            await call(session, "POST", path, json=body)
            taken.append(time.perf_counter() - began)
            await asyncio.wait([load], timeout=0.2)
    return taken


async def measure(table: Table, found: running.Server, requests: int, clients: int) -> None:
    address = f"http://{found.host}:{found.port}"
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(address, connector=connector) as session:
        await call(
            session, "PUT", "/policy", json={"prod": {"golden": False, "max_latency_ratio": None}}
        )
        headers = {"Content-Type": "application/octet-stream"}
        await call(session, "POST", "/versions", data=nearest(0.9), headers=headers)
        await Load(session, clients).run(200)
        still = Load(session, clients)
        await still.run(requests // 4)
        moving = Load(session, clients)
        load = asyncio.ensure_future(moving.run(requests))
        swaps = await swap(session, load)
        await load
    table.add(f"requests of {clients} clients", requests)
    table.add("swaps meanwhile", len(swaps))
    table.add("failed requests", moving.failed, at_most=0)
    table.add("versions that answered", len(moving.versions), at_least=2)
    for percent in (50, 95, 99):
        swapping, not_so = (1e3 * load.quantile(percent) for load in (moving, still))
        table.add(f"p{percent}, over the same without swaps", swapping, "ms", peer=not_so)
    table.add("a swap under this load (median)", 1e3 * statistics.median(swaps), "ms")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--requests", type=least(8), default=2000)
    parser.add_argument("--clients", type=int, default=8)
    args = parser.parse_args()
    table = Table(__file__, args.json)
    with tempfile.TemporaryDirectory() as folder:
        models, port = Path(folder) / "models", running.free_port()
        builders.make_superres_folder(models)
        line = (sys.executable, "-m", "gfedge", "serve", "--port", str(port))
        line += ("--data", f"{folder}/data", "--models", str(models), "--device", "cpu")
        with running.server(*line, port=port) as found:
            running.wait_until_ready(found)
            asyncio.run(measure(table, found, args.requests, args.clients))
    table.end()


if __name__ == "__main__":
    main()
