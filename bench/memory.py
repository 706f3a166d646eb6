"""Memory: after thousands of mixed requests against before, and at the peak of each hostile one.

The requests are what clients send, good and bad: jobs of both kinds, listings, metrics, runs, refused bodies. The first
thousand warm the server up (arenas, models, caches that are bounded); what counts is how much the next ones add.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import random
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator

import aiohttp
from PIL import Image
from running import Server, server, wait_until_ready
from table import Table, arguments

WARM_UP = 1000
API = "/api/v1"
JSON, PNG = {"Content-Type": "application/json"}, {"Content-Type": "image/png"}
GENERATE, SUPERRES = f"{API}/ai/generate", f"{API}/ai/superres"
Sent = tuple[str, str, dict[str, str], bytes]


def picture(side: int, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((side, side), 40).convert("RGB").save(out, kind, **options)
    return out.getvalue()


def mixed() -> list[Sent]:
    """What clients send, good and bad."""
    wait = {"Prefer": "wait=30"}
    small, prompt = picture(24), json.dumps({"prompt": "red potion", "steps": 2}).encode()
    return [
        ("POST", GENERATE, JSON | wait, prompt),
        ("POST", f"{SUPERRES}?mode=pixel&scale=2", PNG | wait, small),
        ("POST", SUPERRES, PNG | wait, small),
        ("POST", SUPERRES, PNG, b"no picture"),
        ("POST", SUPERRES, PNG, small[:-40]),
        ("POST", GENERATE, JSON, b"{"),
        ("POST", GENERATE, JSON, b'{"prompt": 5}'),
        ("POST", f"{API}/trace", PNG, small),
        ("GET", f"{API}/ml-platform/ai-jobs?limit=20", {}, b""),
        ("GET", f"{API}/ml-platform/experiments", {}, b""),
        ("GET", f"{API}/ml-platform/experiments/ai-generate/runs", {}, b""),
        ("GET", f"{API}/monitoring/status", {}, b""),
        ("GET", "/metrics", {}, b""),
        ("GET", "/health", {}, b""),
        ("GET", "/nothing", {}, b""),
        ("DELETE", f"{API}/ml-platform/ai-jobs/x", {}, b""),
    ]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(side: int, pixels: bytes, *chunks: bytes, depth: int = 8) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, depth, 6, 0, 0, 0))
    body = head + b"".join(chunks) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def hostile() -> Iterator[tuple[str, Sent]]:
    """Requests that want to cost more than they are."""
    packed = zlib.compress(bytes(256 << 20), 1)
    row, side = 1 + 4 * 4096, 4096
    for name, body in {
        "pixels of 256 MB for 8x8": png(8, packed),
        "a text of 256 MB": png(8, zlib.compress(bytes(33 * 8)), chunk(b"zTXt", b"a\0\0" + packed)),
        "the largest PNG": png(side, zlib.compress(bytes(row * side))),
        "the largest of 16 bits": png(side, zlib.compress(bytes((2 * row - 1) * side)), depth=16),
        "the largest progressive JPEG": picture(side, "JPEG", progressive=True, quality=1),
        "100,000 chunks": png(8, b"", *[chunk(b"tEXt", b"a\0b")] * 100_000),
    }.items():
        yield name, ("POST", f"{API}/trace", PNG, body)
    bomb = gzip.compress(b'{"prompt": "' + b" " * (256 << 20) + b'"}', 1)
    yield "a packed body", ("POST", GENERATE, JSON | {"Content-Encoding": "gzip"}, bomb)
    yield "a million brackets", ("POST", GENERATE, JSON, b"[" * 1_000_000)
    keys = b"{" + b",".join(b'"k%d":1' % i for i in range(300_000)) + b"}"
    yield "300,000 keys", ("POST", GENERATE, JSON, keys)
    yield "a long string", ("POST", GENERATE, JSON, b'{"prompt": "' + b"a" * 4_100_000 + b'"}')


async def send(found: Server, plan: list[Sent]) -> Counter[int]:
    """The requests of 8 clients, and what was answered."""
    answers: Counter[int] = Counter()
    waiting = iter(plan)

    async def client(http: aiohttp.ClientSession) -> None:
        for method, path, headers, body in waiting:
            async with http.request(method, path, headers=headers, data=body or None) as answer:
                await answer.read()
                answers[answer.status] += 1

    async with aiohttp.ClientSession(f"http://{found.host}:{found.port}") as http:
        await asyncio.gather(*(client(http) for _ in range(8)))
    return answers


def peak(found: Server, sent: Sent) -> tuple[int, Counter[int]]:
    """Bytes that the server held at most, beyond before, while it answered one request."""
    before = most = found.resident_bytes()
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.is_set():
            most = max(most, found.resident_bytes())
            time.sleep(0.002)

    thread = threading.Thread(target=watch)
    thread.start()
    answers = asyncio.run(send(found, [sent]))
    done.set()
    thread.join()
    return most - before, answers


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--requests", type=int, default=3000)
    args = parser.parse_args()
    dice, kinds, table = random.Random(1), mixed(), Table(__file__, args.json)
    with server() as found:
        wait_until_ready(found)
        asyncio.run(send(found, [dice.choice(kinds) for _ in range(WARM_UP)]))
        before = found.resident_bytes()
        answers = asyncio.run(send(found, [dice.choice(kinds) for _ in range(args.requests)]))
        more = found.resident_bytes() - before
        print(f"{args.requests} mixed requests {dict(sorted(answers.items()))}")
        word = f"memory more after {args.requests} mixed requests"
        table.add(word, more / (1 << 20), "MiB", at_most=30)
        table.add("memory before them", before / (1 << 20), "MiB")
        worst = 0.0
        for name, sent in hostile():
            held, answered = peak(found, sent)
            worst = max(worst, held)
            table.add(f"{name} (answered {next(iter(answered))})", held / (1 << 20), "MiB")
        table.add("the most that one of them took", worst / (1 << 20), "MiB", at_most=200)
    table.end()


if __name__ == "__main__":
    main()
