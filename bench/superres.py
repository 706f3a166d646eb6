"""Upscaling through HTTP against a bare loop: 64x64 PNG in, 256x256 PNG out, concurrency 8.

The bare loop decodes, pads as the recipe says (4 px of edge), runs ONNX Runtime and encodes with the same reader and
writer, on as many threads as there are cores, and records nothing. The server does the same behind HTTP and records
every job durably, with a graph that it rewrites for the CPU (gfedge/inference/rewrite.py); the last row is over a
loop that is given that graph too. All take turns, so that what else the machine does falls on all of them.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from running import Server, server, wait_until_ready
from table import Table, arguments

from gfedge.inference import png
from gfedge.inference.device import onnxruntime
from gfedge.inference.rewrite import for_cpu

MODEL = Path(__file__).parent.parent / "models" / "superres" / "1" / "model.onnx"


def pictures(count: int, side: int = 64) -> list[bytes]:
    """Opaque pictures that compress like art: a few flat shapes with soft noise."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(count):
        small = rng.integers(0, 256, (8, 8, 4), dtype=np.uint8)
        image = np.kron(small, np.ones((side // 8, side // 8, 1), np.uint8))
        image = np.clip(image.astype(int) + rng.integers(-6, 7, image.shape), 0, 255).astype(
            np.uint8
        )
        image[..., 3] = 255
        found.append(png.encode(image, {}))
    return found


def session(model: bytes) -> Any:
    ort = onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def bare(net: Any, data: bytes, pad: int) -> bytes:
    image = png.decode(data, 1 << 20)
    rgb = np.pad(image[..., :3], ((pad, pad), (pad, pad), (0, 0)), "edge")
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1)[None], dtype=np.float32) / 255
    out = net.run(None, {"image": planes})[0][0].transpose(1, 2, 0)
    out = out[4 * pad : out.shape[0] - 4 * pad, 4 * pad : out.shape[1] - 4 * pad]
    pixels = np.full((*out.shape[:2], 4), 255, np.uint8)
    pixels[..., :3] = np.clip(out * 255 + 0.5, 0, 255)
    return png.encode(pixels, {})


def bare_rate(net: Any, images: list[bytes], pad: int = 4, threads: int | None = None) -> float:
    """Pictures a second of the loop, on a thread a core where no number is given."""
    began = time.perf_counter()
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        list(pool.map(lambda data: bare(net, data, pad), images))
    return len(images) / (time.perf_counter() - began)


async def http_rate(found: Server, images: list[bytes], concurrency: int) -> float:
    """Pictures a second through the server; every answer is the picture."""
    url = f"http://{found.host}:{found.port}/api/v1/ai/superres?scale=4"
    headers = {"Content-Type": "image/png", "Accept": "image/png", "Prefer": "wait=60"}
    waiting = iter(images)

    async def client(http: aiohttp.ClientSession) -> None:
        for data in waiting:
            async with http.post(url, data=data, headers=headers) as answer:
                body = await answer.read()
                assert answer.status == 200, body
                assert body[:4] == b"\x89PNG"

    async with aiohttp.ClientSession() as http:
        began = time.perf_counter()
        await asyncio.gather(*(client(http) for _ in range(concurrency)))
        return len(images) / (time.perf_counter() - began)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--concurrency", type=int, default=8)
    args = parser.parse_args()
    images, table = pictures(args.images), Table(__file__, args.json)
    net, rewritten = session(MODEL.read_bytes()), session(for_cpu(MODEL.read_bytes()))
    rates, plains, ratios, unpadded, alike = [], [], [], [], []
    with server() as found:
        wait_until_ready(found)
        bare_rate(net, images[:16])
        asyncio.run(http_rate(found, images[:16], args.concurrency))
        for _ in range(args.rounds):
            # bare, server, bare: drift of the machine falls on both sides
            before = bare_rate(net, images)
            through = asyncio.run(http_rate(found, images, args.concurrency))
            after = bare_rate(net, images)
            plain = (before + after) / 2
            rates.append(through)
            plains.append(plain)
            ratios.append(through / plain)
            unpadded.append(through / bare_rate(net, images, pad=0))
            alike.append(through / bare_rate(rewritten, images))
    ours, peer = statistics.median(rates), statistics.median(plains)
    word = f"upscaling through HTTP, {args.concurrency} clients, over the bare loop"
    table.add(word, ours, "/s", peer=peer, ratio=ratios, at_least=0.93)
    table.add(
        "the same over a loop without the recipe's 4 px of padding", ours, "/s", ratio=unpadded
    )
    word = "the same over a loop that is given the graph as the server rewrites it"
    table.add(word, ours, "/s", ratio=alike)
    table.end()


if __name__ == "__main__":
    main()
