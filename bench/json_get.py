"""CPU of a small JSON GET through gfedge against a bare aiohttp and msgspec handler, both on uvloop."""

from __future__ import annotations

import asyncio
import sys

import aiohttp
from running import Server, free_port, server, wait_until_ready
from table import Table, arguments, least

BARE = """
import sys, msgspec, uvloop, asyncio
from aiohttp import web

class Health(msgspec.Struct):
    status: str
    version: str
    device: str
    models: dict[str, str]
    jobs: dict[str, int]

encode = msgspec.json.Encoder().encode

async def health(request):
    value = Health("ok", "0", "no CUDA device: running on CPU", {"sprite@1": "ready", "superres@1": "ready"},
                   {"queued": 0, "running": 0})
    return web.Response(body=encode(value), content_type="application/json")

app = web.Application()
app.router.add_get("/health", health)
uvloop.install()
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
"""


async def load(found: Server, requests: int, connections: int = 16) -> float:
    """Microseconds of server CPU a request."""
    waiting = iter(range(requests))
    url = f"http://{found.host}:{found.port}/health"

    async def client(http: aiohttp.ClientSession) -> None:
        for _ in waiting:
            async with http.get(url) as answer:
                await answer.read()

    before = found.cpu_seconds()
    async with aiohttp.ClientSession() as http:
        await asyncio.gather(*(client(http) for _ in range(connections)))
    return (found.cpu_seconds() - before) / requests * 1e6


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--requests", type=least(1000), default=10_000)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    port, ratios, table = free_port(), [], Table(__file__, args.json)
    with server() as ours, server(sys.executable, "-c", BARE, str(port), port=port) as bare:
        wait_until_ready(ours)
        for _ in range(args.rounds):
            plain = asyncio.run(load(bare, args.requests))
            full = asyncio.run(load(ours, args.requests))
            ratios.append(full / plain)
    word = "CPU of a small GET, over a bare aiohttp and msgspec handler"
    table.add(word, full, "us", peer=plain, ratio=ratios, at_most=1.5)
    table.end()


if __name__ == "__main__":
    main()
