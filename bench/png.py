"""The PNG writer (numpy's "up" filter, isal) against Pillow: CPU and size on our own pictures, and CPU of a superres request.

Pictures: a sprite enlarged as people ask for it, a smooth photo-like one, noise. Through HTTP: the same requests to two servers,
one of which writes by Pillow at its fastest level.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np
from PIL import Image
from running import Server, free_port, server, wait_until_ready
from table import Table, arguments, least

from gfedge.inference import png
from superres import http_rate, pictures

PILLOW_SERVER = """
import io, sys
from PIL import Image
from gfedge.inference import png
def encode(pixels, texts=None, check=lambda: None):
    out = io.BytesIO()
    Image.fromarray(pixels[..., :3] if png.opaque(pixels) else pixels).save(out, "PNG", compress_level=1)
    return out.getvalue()
png.encode = encode
from gfedge.cli import main
sys.exit(main(sys.argv[1:]))
"""


def examples() -> dict[str, np.ndarray]:
    """Pictures of 1024x1024, RGBA."""
    random = np.random.default_rng(1)
    colours = random.integers(0, 256, (16, 4), np.uint8)
    sprite = colours[random.integers(0, 16, (64, 64))].repeat(16, 0).repeat(16, 1)
    sprite[:200] = sprite[-200:] = 0
    across = np.linspace(0, 6, 1024)
    waves = 127 + 60 * (np.sin(across)[:, None] + np.cos(across)[None, :])
    smooth = np.stack([waves, waves[::-1], waves.T, np.full_like(waves, 255)], -1)
    smooth[..., :3] += random.normal(0, 3, (1024, 1024, 3))
    noise = random.integers(0, 256, (1024, 1024, 4), np.uint8)
    return {"sprite": sprite, "smooth": smooth.clip(0, 255).astype(np.uint8), "noise": noise}


def pillow(pixels: np.ndarray, level: int) -> bytes:
    out = io.BytesIO()
    kept = pixels[..., :3] if png.opaque(pixels) else pixels
    Image.fromarray(kept).save(out, "PNG", compress_level=level)
    return out.getvalue()


def cpu(work: Callable[[], bytes], rounds: int) -> float:
    """Milliseconds of CPU, the median of some rounds."""
    found = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        found.append((time.process_time() - began) * 1000)
    return statistics.median(found)


def writers(table: Table, rounds: int) -> None:
    for name, pixels in examples().items():
        ours = png.encode(pixels)
        with Image.open(io.BytesIO(ours)) as image:
            assert np.array_equal(np.array(image.convert("RGBA")), pixels), (
                "Pillow reads it otherwise"
            )
        spent = cpu(lambda pixels=pixels: png.encode(pixels), rounds)
        for level in (1, 6):
            other = pillow(pixels, level)
            theirs = cpu(lambda pixels=pixels, level=level: pillow(pixels, level), rounds)
            hold = 6 if level == 1 else None
            word = f"{name}: CPU, and how much more Pillow {level} takes"
            table.add(word, spent, "ms", peer=theirs, ratio=theirs / spent, at_least=hold)
            table.add(
                f"{name}: size, over Pillow {level}'s",
                len(ours) / 1024,
                "KiB",
                peer=len(other) / 1024,
            )


def with_pillow(opened: contextlib.ExitStack) -> contextlib.AbstractContextManager[Server]:
    """A server that writes by Pillow."""
    data, port = opened.enter_context(tempfile.TemporaryDirectory()), free_port()
    line = (sys.executable, "-c", PILLOW_SERVER, "serve", "--port", str(port), "--data", data)
    return server(*line, port=port)


def through_http(table: Table, count: int, rounds: int) -> None:
    images, spent = pictures(count), {"ours": [], "Pillow 1": []}
    for _ in range(rounds):
        for name in spent:
            with contextlib.ExitStack() as opened:
                found = opened.enter_context(server() if name == "ours" else with_pillow(opened))
                wait_until_ready(found)
                asyncio.run(http_rate(found, images[:16], 8))
                began = found.cpu_seconds()
                asyncio.run(http_rate(found, images, 8))
                spent[name].append((found.cpu_seconds() - began) / count * 1000)
    ours, other = (statistics.median(values) for values in spent.values())
    word = "CPU of a superres request, and how much more with Pillow 1"
    table.add(word, ours, "ms", peer=other, ratio=other / ours, at_least=1)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--images", type=least(8), default=96)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    table = Table(__file__, args.json)
    writers(table, max(5, args.rounds))
    through_http(table, args.images, args.rounds)
    table.end()


if __name__ == "__main__":
    main()
