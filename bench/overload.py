"""Ten times as much work as the server can do: what still gets done, and how the refusals and /health look.

Capacity is what 8 polite clients get done, each waiting for its answer. Then 64 clients send jobs without waiting and
come back at once when they are refused, whatever Retry-After says. Both take turns.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter

import aiohttp
from running import Server, server, wait_until_ready
from table import Table, arguments

from superres import pictures

HEADERS = {"Content-Type": "image/png"}


async def polite(found: Server, images: list[bytes], seconds: float) -> float:
    """Jobs a second of 8 clients that wait for each answer."""
    until, done = time.perf_counter() + seconds, 0

    async def client(number: int, http: aiohttp.ClientSession) -> None:
        nonlocal done
        turn = number
        while time.perf_counter() < until:
            data = images[turn % len(images)]
            turn += 8
            async with http.post(
                url(found), data=data, headers=HEADERS | {"Prefer": "wait=60"}
            ) as a:
                assert a.status == 200, await a.text()
                done += 1

    async with aiohttp.ClientSession() as http:
        await asyncio.gather(*(client(number, http) for number in range(8)))
    return done / seconds


async def flood(
    found: Server, images: list[bytes], seconds: float
) -> tuple[float, Counter[str], list[float]]:
    """Jobs a second that get done while 64 clients do not take no for an answer; answers; times of /health."""
    answers: Counter[str] = Counter()
    health: list[float] = []

    async def client(number: int, http: aiohttp.ClientSession) -> None:
        while time.perf_counter() < until:
            data = images[number % len(images)]
            async with http.post(url(found), data=data, headers=HEADERS) as answer:
                later = "" if "Retry-After" in answer.headers else " without Retry-After"
                answers[f"{answer.status}{later if answer.status != 202 else ''}"] += 1
                await answer.read()

    async def look(http: aiohttp.ClientSession) -> None:
        while time.perf_counter() < until:
            began = time.perf_counter()
            async with http.get(f"http://{found.host}:{found.port}/health") as answer:
                await answer.read()
            health.append(time.perf_counter() - began)
            await asyncio.sleep(0.02)

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        before = await succeeded(found, http)
        until = time.perf_counter() + seconds
        await asyncio.gather(look(http), *(client(number, http) for number in range(64)))
        done = await succeeded(found, http) - before
    return done / seconds, answers, health


def url(found: Server) -> str:
    return f"http://{found.host}:{found.port}/api/v1/ai/superres?scale=4"


async def succeeded(found: Server, http: aiohttp.ClientSession) -> float:
    """Jobs that have succeeded so far, by the server's own count."""
    async with http.get(f"http://{found.host}:{found.port}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in lines
        if line.startswith("gfedge_jobs_total{") and 'status="succeeded"' in line
    )


async def drained(found: Server) -> None:
    async with aiohttp.ClientSession() as http:
        while True:
            async with http.get(f"http://{found.host}:{found.port}/health") as answer:
                if not any((await answer.json())["jobs"].values()):
                    return
            await asyncio.sleep(0.1)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    images, ratios, refusals, times = pictures(64), [], Counter[str](), list[float]()
    table = Table(__file__, args.json)
    os.environ["GFEDGE_MAX_QUEUE"] = "32"
    with server() as found:
        wait_until_ready(found)
        asyncio.run(polite(found, images, 1.0))
        for _ in range(args.rounds):
            before = asyncio.run(polite(found, images, args.seconds))
            goodput, answers, health = asyncio.run(flood(found, images, args.seconds))
            asyncio.run(drained(found))
            after = asyncio.run(polite(found, images, args.seconds))
            ratios.append(2 * goodput / (before + after))
            refusals += answers
            times += health
    times.sort()
    word = "jobs done under a flood, over those of polite clients"
    table.add(word, goodput, "/s", peer=(before + after) / 2, ratio=ratios, at_least=0.95)
    for status, count in sorted(refusals.items()):
        table.add(f"answers: {status}", count)
    table.add("answers: 429 without Retry-After", refusals["429 without Retry-After"], at_most=0)
    table.add("/health under the flood, p50", 1e3 * times[len(times) // 2], "ms")
    table.add("/health under the flood, p99", 1e3 * times[int(0.99 * len(times))], "ms", at_most=50)
    table.end()


if __name__ == "__main__":
    main()
