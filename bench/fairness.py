"""A quiet client behind a flood: how long its jobs wait to start, in job times of the same minute.

On a network, where clients have tokens. One keeps its whole share of the queue full and comes back at once when it is
refused; the other sends a job now and then and waits for it.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
from running import Server, free_port, server
from table import Table, arguments, least

from superres import pictures

FLOODERS = 32
PNG = {"Content-Type": "image/png"}
SUPERRES = "/api/v1/ai/superres?scale=4"


async def flood(http: aiohttp.ClientSession, images: list[bytes], until: float) -> None:
    async def client(number: int) -> None:
        while time.perf_counter() < until:
            data = images[number % len(images)]
            async with http.post(SUPERRES, data=data, headers=PNG) as answer:
                await answer.read()

    await asyncio.gather(*(client(number) for number in range(FLOODERS)))


async def quiet(http: aiohttp.ClientSession, images: list[bytes], until: float) -> list[Any]:
    """The ended jobs of the quiet client; none of its requests may be refused."""
    jobs: list[Any] = []
    await asyncio.sleep(1)
    while time.perf_counter() < until:
        data = images[len(jobs) % len(images)]
        async with http.post(SUPERRES, data=data, headers=PNG | {"Prefer": "wait=60"}) as answer:
            assert answer.status == 200, await answer.text()
            jobs.append(await answer.json())
        await asyncio.sleep(0.2)
    return jobs


async def measured(found: Server, admin: str, seconds: float) -> list[Any]:
    address, images = f"http://{found.host}:{found.port}", pictures(64)

    async def client(name: str) -> aiohttp.ClientSession:
        body = {"name": name, "scope": "run"}
        head = {"Authorization": f"Bearer {admin}"}
        async with (
            aiohttp.ClientSession(address, headers=head) as http,
            http.post("/api/v1/admin/tokens", json=body) as answer,
        ):
            token = (await answer.json())["token"]
        return aiohttp.ClientSession(address, headers={"Authorization": f"Bearer {token}"})

    async with await client("flood") as one, await client("quiet") as other:
        until = time.perf_counter() + seconds
        _, jobs = await asyncio.gather(flood(one, images, until), quiet(other, images, until))
    return jobs


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=least(2, float), default=10.0)
    args = parser.parse_args()
    table = Table(__file__, args.json)
    os.environ["GFEDGE_MAX_QUEUE"] = "32"
    with tempfile.TemporaryDirectory() as folder:
        file, port = Path(folder) / "token", free_port()
        line = [sys.executable, "-m", "gfedge", "serve", "--host", "0.0.0.0", "--port", str(port)]
        line += ["--data", f"{folder}/data", "--admin-token-file", str(file)]
        with server(*line, port=port) as found:
            jobs = asyncio.run(measured(found, file.read_text().strip(), args.seconds))
    waits = [job["timings"]["queue_seconds"] for job in jobs]
    runs = [job["timings"]["total_seconds"] - job["timings"]["queue_seconds"] for job in jobs]
    table.add("jobs of a quiet client behind a flood, none refused", len(jobs))
    waited, ran = statistics.median(waits) * 1e3, statistics.median(runs) * 1e3
    table.add("their wait, over a job's time", waited, "ms", peer=ran, at_most=1)
    table.end()


if __name__ == "__main__":
    main()
