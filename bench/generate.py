"""Generating against a plain loop over a bare ONNX Runtime session, at the model's default settings.

CPU seconds of one core an image, of the engine alone: one image, and eight at once. Then pictures a second of eight
clients through HTTP, everything recorded durably, against two loops that record nothing, on as many threads as there
are cores: one image after another, and as many at once as make eight in flight over all threads. Both loops do the
same steps with the same guidance, reduce the colours and encode PNGs. Sides take turns, so that what else the machine
does falls on all.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from running import Server, server, wait_until_ready
from table import Table, arguments

from gfedge.inference import palette, png
from gfedge.inference.device import onnxruntime
from gfedge.inference.engine import Engine
from gfedge.inference.folder import read_folder
from gfedge.inference.latents import to_pixels
from gfedge.inference.types import Cancel, EngineOptions, GenerateRequest, ModelFolder
from gfedge.inference.words import Vocabulary

MODELS = Path(__file__).parent.parent / "models"
FOLDER = MODELS / "sprite" / "1"
MODEL, FAST = read_folder(FOLDER), read_folder(MODELS / "sprite-fast" / "1")
STEPS = int(MODEL.defaults["steps"])
GUIDANCE = np.float32(MODEL.defaults["guidance_scale"])
WORDS = Vocabulary.load(FOLDER / "vocab.json")
PROMPTS = ("red potion", "long sword", "stone wall", "green dragon")


def session() -> Any:
    ort = onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    data = (FOLDER / "model.onnx").read_bytes()
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def bare(net: Any, seeds: list[int]) -> list[bytes]:
    """Sprites of these seeds, sampled together."""
    told = [WORDS.encode(PROMPTS[seed % len(PROMPTS)]) for seed in seeds]
    texts = told + [WORDS.encode("")] * len(told)
    words = np.stack([text.words for text in texts])
    subwords = np.stack([text.subwords for text in texts])
    streams = [np.random.Generator(np.random.Philox(seed)) for seed in seeds]
    x = np.stack([one.standard_normal((4, 32, 32), dtype=np.float32) for one in streams])
    for now, then in pairwise(np.linspace(1, 0, STEPS + 1, dtype=np.float32)):
        t = np.full(2 * len(x), now, np.float32)
        feed = {"x": np.concatenate([x, x]), "t": t, "words": words, "subwords": subwords}
        found = net.run(None, feed)[0]
        with_words, without = found[: len(x)], found[len(x) :]
        x = x + (then - now) * (without + GUIDANCE * (with_words - without))
    colours = int(MODEL.defaults["palette"])
    return [png.encode(palette.quantise(to_pixels(one), colours)) for one in x]


def bare_rate(net: Any, images: int, at_once: int) -> float:
    """Sprites a second of the loop."""
    groups = [list(range(i, min(i + at_once, images))) for i in range(0, images, at_once)]
    began = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda seeds: bare(net, seeds), groups))
    return images / (time.perf_counter() - began)


async def http_rate(found: Server, images: int, concurrency: int) -> float:
    """Sprites a second through the server; every answer is the picture."""
    url = f"http://{found.host}:{found.port}/api/v1/ai/generate"
    headers = {"Accept": "image/png", "Prefer": "wait=120"}
    waiting = iter(range(images))

    async def client(http: aiohttp.ClientSession) -> None:
        for seed in waiting:
            body = {"prompt": PROMPTS[seed % len(PROMPTS)], "seed": seed}
            async with http.post(url, json=body, headers=headers) as answer:
                data = await answer.read()
                assert answer.status == 200, data
                assert data[:4] == b"\x89PNG"

    async with aiohttp.ClientSession() as http:
        began = time.perf_counter()
        await asyncio.gather(*(client(http) for _ in range(concurrency)))
        return images / (time.perf_counter() - began)


def engine_seconds(
    engine: Engine, n: int, rounds: int, model: ModelFolder = MODEL, **options: object
) -> float:
    """CPU seconds an image of requests for n images, at the model's defaults; the least of the rounds."""
    defaults = {name: model.defaults[name] for name in ("steps", "guidance_scale")}

    def once(seed: int) -> None:
        request = GenerateRequest(prompt="red potion", seed=seed, n=n, **defaults, **options)  # type: ignore[arg-type]
        engine.generate(model, request, lambda done, units: None, Cancel()).result()

    once(0)
    return min(_cpu_seconds(lambda seed=seed: once(seed)) for seed in range(rounds)) / n  # type: ignore[misc]


def _cpu_seconds(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=8)
    args = parser.parse_args()
    table = Table(__file__, args.json)
    engine = Engine(EngineOptions(device="cpu", workers=1))
    engine.start()
    alone = engine_seconds(engine, 1, args.rounds)
    table.add(f"CPU an image, {STEPS} steps, alone", alone, "s")
    table.add("the same in a batch of 8", engine_seconds(engine, 8, args.rounds), "s")
    for name, options in (("heun", {"sampler": "heun"}), ("tileable", {"tileable": True})):
        taken = engine_seconds(engine, 1, 2, **options)
        table.add(f"{name}, over the plain one", taken, "s", peer=alone)
    fast = engine_seconds(engine, 1, args.rounds, FAST)
    table.add("sprite-fast (4 steps, no guidance), over the plain one", fast, "s", peer=alone)
    engine.close()
    net = session()
    single, grouped = [], []
    at_once = max(1, args.concurrency // (os.cpu_count() or 1))
    with server() as found:
        wait_until_ready(found)
        bare_rate(net, 8, 1)
        asyncio.run(http_rate(found, 8, args.concurrency))
        for _ in range(args.rounds):
            one = bare_rate(net, args.images, 1)
            through = asyncio.run(http_rate(found, args.images, args.concurrency))
            together = bare_rate(net, args.images, at_once)
            single.append(through / one)
            grouped.append(through / together)
    word = f"generating through HTTP, {args.concurrency} clients, over the plain loop"
    table.add(word, through, "/s", peer=one, ratio=single, at_least=0.95)
    table.add(
        f"the same over a loop in batches of {at_once}", through, "/s", peer=together, ratio=grouped
    )
    table.end()


if __name__ == "__main__":
    main()
