"""Live streams: 500 clients and one that never reads, of experiments and of metrics; and eleven clients against a plain
broadcast in aiohttp.

Messages are made as users make them: a run reports over HTTP, and the listeners of `experiments` hear of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator

import aiohttp
from running import Server, free_port, server, wait_until_ready
from table import Table, arguments, least

ML = "/api/v1/ml-platform"
METRICS = "/api/v1/monitoring/ws/metrics"
AT = re.compile(r'"at":([0-9.]+)')
PLAIN = """
import asyncio, sys, uvloop
from aiohttp import web

clients, waiting = set(), asyncio.Queue()

async def listen(request):
    ws = web.WebSocketResponse(compress=False)
    await ws.prepare(request)
    clients.add(ws)
    async for _ in ws:
        pass
    clients.discard(ws)
    return ws

async def publish(request):
    waiting.put_nowait(await request.text())
    return web.Response(text="{}")

async def broadcast(app):
    async def forever():
        while True:
            text = await waiting.get()
            for ws in list(clients):
                try:
                    await ws.send_str(text)
                except ConnectionError:
                    clients.discard(ws)
    task = asyncio.create_task(forever())
    yield
    task.cancel()

async def health(request):
    return web.Response(text="ok")

app = web.Application()
app.add_routes([web.get("/listen", listen), web.post("/publish", publish), web.get("/health", health)])
app.cleanup_ctx.append(broadcast)
uvloop.install()
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, shutdown_timeout=0.5)
"""


class Ear:
    """One client that reads all it gets, and when that came."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.times: list[float] = []
        self.delays: list[float] = []
        """Seconds since each message was published."""
        self.began = asyncio.Event()
        """Its snapshot is here."""

    async def listen(self) -> None:
        async for message in self.ws:
            if '"snapshot"' in message.data[:30]:
                self.began.set()
            else:
                self.times.append(time.perf_counter())
                if published := AT.search(message.data):
                    self.delays.append(time.time() - float(published[1]))


def deaf(found: Server, path: str) -> socket.socket:
    """A client that shakes hands and then never reads."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.connect((found.host, found.port))
    made.sendall(
        f"GET {path} HTTP/1.1\r\nHost: {found.host}:{found.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    made.recv(64)
    return made


@contextlib.asynccontextmanager
async def ears(http: aiohttp.ClientSession, path: str, count: int) -> AsyncIterator[list[Ear]]:
    found = [Ear(await http.ws_connect(path, max_msg_size=0)) for _ in range(count)]
    tasks = [asyncio.create_task(ear.listen()) for ear in found]
    if path.startswith("/api/"):
        await asyncio.gather(*(ear.began.wait() for ear in found))
    try:
        yield found
    finally:
        for task in tasks:
            task.cancel()


async def new_run(http: aiohttp.ClientSession) -> str:
    async with http.post(f"{ML}/experiments", json={"name": "fan-out"}) as answer:
        experiment = (await answer.json())["id"]
    async with http.post(f"{ML}/experiments/{experiment}/runs", json={}) as answer:
        return f"{ML}/runs/{(await answer.json())['id']}/log"


async def post(http: aiohttp.ClientSession, path: str, body: object) -> None:
    async with http.post(path, json=body) as answer:
        assert answer.status == 200, await answer.text()


def connect(found: Server) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        f"http://{found.host}:{found.port}", connector=aiohttp.TCPConnector(limit=0)
    )


async def fan_out(table: Table, found: Server, clients: int, seconds: int) -> None:
    """One message a second to many clients, while one never reads."""
    path = f"{ML}/ws/experiments"
    async with connect(found) as http:
        log = await new_run(http)
        before = found.resident_bytes()
        async with ears(http, path, clients) as found_ears:
            stuck, spans = deaf(found, path), []
            began, cpu = time.perf_counter(), found.cpu_seconds()
            for number in range(seconds):
                point = {"metrics": [{"key": "loss", "value": 0.5, "step": number}]}
                sent = time.perf_counter()
                await post(http, log, point)
                await asyncio.sleep(max(0.0, began + number + 1 - time.perf_counter()))
                spans += [ear.times[-1] - sent for ear in found_ears if ear.times]
            cpu = found.cpu_seconds() - cpu
            heard = sum(len(ear.times) for ear in found_ears)
            spans.sort()
            word = f"{clients} clients of ws/experiments, 1 message/s, one that never reads"
            table.add(f"{word}: share heard", heard / clients / seconds)
            table.add(f"{word}: from report to client, p50", 1e3 * statistics.median(spans), "ms")
            table.add(f"{word}: the same, p99", 1e3 * spans[int(len(spans) * 0.99)], "ms")
            table.add(f"{word}: CPU", 100 * cpu / seconds, "% of a core")
            more = found.resident_bytes() - before
            table.add(f"{word}: memory a client", more / clients / 1024, "KiB")
            stuck.close()


async def metrics(table: Table, found: Server, clients: int, seconds: int) -> None:
    """The vital values once a second to many clients that send nothing, while one never reads."""
    async with connect(found) as http, ears(http, METRICS, clients) as found_ears:
        stuck, cpu = deaf(found, METRICS), found.cpu_seconds()
        for ear in found_ears:
            ear.delays.clear()
        await asyncio.sleep(seconds)
        cpu = found.cpu_seconds() - cpu
        delays = sorted(delay for ear in found_ears for delay in ear.delays)
        worst = min(len(ear.delays) for ear in found_ears)
        stuck.close()
    word = f"{clients} clients of ws/metrics, 1 message/s, one that never reads"
    table.add(f"{word}: share that the worst of the others hears", worst / seconds, at_least=0.95)
    table.add(f"{word}: from publishing to client, p50", 1e3 * statistics.median(delays), "ms")
    table.add(f"{word}: the same, p99", 1e3 * delays[int(len(delays) * 0.99)], "ms")
    table.add(f"{word}: CPU", 100 * cpu / seconds, "% of a core")


async def eleven(found: Server, path: str, log: str | None, seconds: int) -> tuple[float, int]:
    """20 kB fifty times a second to eleven clients, one of which never reads: the share of the second half's messages
    that the worst of the others got, and how many were sent a second."""
    async with connect(found) as http:
        log = log or await new_run(http)
        async with ears(http, path, 10) as found_ears:
            stuck = deaf(found, path)
            began, number, late = time.perf_counter(), 0, 0
            half = began + seconds / 2
            while (now := time.perf_counter() - began) < seconds:
                tags = {f"t{i}": f"{number} " + "x" * 4990 for i in range(4)}
                await post(http, log, {"tags": tags})
                number += 1
                late += time.perf_counter() > half
                await asyncio.sleep(max(0.0, number / 50 - now))
            worst = min(sum(at > half for at in ear.times) for ear in found_ears)
            stuck.close()
    return worst / late, round(number / seconds)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--seconds", type=least(2), default=10)
    args = parser.parse_args()
    table = Table(__file__, args.json)
    os.environ |= {
        "GFEDGE_MAX_CONNECTIONS_PER_ADDRESS": str(args.clients + 100),
        "GFEDGE_MAX_CONNECTIONS": str(args.clients + 100),
        "GFEDGE_MAX_LISTENERS": str(args.clients + 100),
        "GFEDGE_METRICS_INTERVAL": "1",
    }
    with server() as ours:
        wait_until_ready(ours)
        asyncio.run(fan_out(table, ours, args.clients, args.seconds))
        asyncio.run(metrics(table, ours, args.clients, args.seconds))
    port = free_port()
    with server() as ours, server(sys.executable, "-c", PLAIN, str(port), port=port) as plain:
        mine, rate = asyncio.run(eleven(ours, f"{ML}/ws/experiments", None, args.seconds))
        theirs, _ = asyncio.run(eleven(plain, "/listen", "/publish", args.seconds))
        word = f"eleven clients, 20 kB {rate}/s, one that never reads: share that the worst of the others gets"
        table.add(word, mine, at_least=0.95)
        table.add("the same with a plain broadcast in aiohttp", peer=theirs)
    table.end()


if __name__ == "__main__":
    main()
