"""What a job costs the server when a Ray cluster runs it: CPU of each process, bytes on the way, against in-process and isolated.

Three servers on the same models and pictures; one cluster of one node with one core, on this machine (`make ray`). Rounds
alternate. What the server does itself (HTTP, the record, PNG) is in all of them; the graphs are not in the last two.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import running
from PIL import Image
from table import Table, arguments

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent / "tests"
sys.path.remove(str(HERE))  # this file is not the package of its name

from gfedge.inference import messages  # noqa: E402
from gfedge.inference.cluster import RayEngine, ray_problem  # noqa: E402
from gfedge.inference.folder import read_folder  # noqa: E402
from gfedge.inference.types import (  # noqa: E402
    Cancel,
    EngineOptions,
    GenerateRequest,
    UpscaleRequest,
)

ENGINES = ("in-process", "isolated", "ray")
SIDES = {"upscale 64 to 256": 64, "upscale 256 to 1024": 256}
GENERATE = "generate 32, 20 steps"
CLIENTS = 4


def picture(side: int, seed: int) -> bytes:
    """Smooth enough to pack like a drawing, and never the same."""
    rough = np.random.default_rng(seed).integers(0, 256, (side // 8, side // 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(rough).resize((side, side)).save(file, "PNG")
    return file.getvalue()


def post(server: running.Server, kind: str, seed: int) -> None:
    if kind == GENERATE:
        path, mime = "/api/v1/ai/generate", "application/json"
        body = json.dumps({"prompt": "a red dragon", "seed": seed, "steps": 20}).encode()
    else:
        path, mime, body = "/api/v1/ai/superres", "image/png", picture(SIDES[kind], seed)
    headers = {"Content-Type": mime, "Prefer": "wait=300"}
    asked = urllib.request.Request(
        f"http://{server.host}:{server.port}{path}", data=body, headers=headers
    )
    with urllib.request.urlopen(asked, timeout=300) as answer:
        job = json.load(answer)
    assert job["status"] == "succeeded", job


def cpu(processes: list[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


class Parts:
    """The processes of a server, by what they are."""

    def __init__(self, server: running.Server, cluster: psutil.Process) -> None:
        self.server = psutil.Process(server.pid)
        self.cluster = cluster

    def cpu(self) -> dict[str, float]:
        below = self.server.children(recursive=True)
        remote = self.cluster.children(recursive=True)
        actors = [one for one in remote if "ray::Actor" in " ".join(one.cmdline())]
        return {
            "server": cpu([self.server]),
            "child": cpu(below),
            "actor": cpu(actors),
            "ray": cpu([one for one in remote if one not in actors]),
        }


def round_of(server: running.Server, parts: Parts, kind: str, jobs: int, seed: int) -> Any:
    """CPU milliseconds a job of each process, and wall time."""
    before, began = parts.cpu(), time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(partial(post, server, kind), range(seed, seed + jobs)))
    wall, after = time.perf_counter() - began, parts.cpu()
    return {**{k: (after[k] - before[k]) / jobs * 1e3 for k in before}, "wall": wall / jobs * 1e3}


@contextlib.contextmanager
def cluster() -> Iterator[tuple[str, psutil.Process]]:
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_MODE="disabled")
    process = subprocess.Popen(
        [sys.executable, str(TESTS / "ray_cluster.py"), "0", "bench"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield process.stdout.readline().strip(), psutil.Process(process.pid)
    finally:
        process.stdin.close()
        process.wait(60)


def bytes_of_jobs(table: Table, address: str, models: Path) -> None:
    """What goes between the server and the hub for a job, and so between the hub and the actor."""
    counted = {"sent": 0, "received": 0}
    post_, letter_ = messages.Line.post, messages.Line.letter

    def size(letter: messages.Letter) -> int:
        return len(letter.message) + sum(array.nbytes for array in letter.arrays)

    def sending(self: messages.Line, letter: messages.Letter) -> None:
        counted["sent"] += size(letter)
        post_(self, letter)

    def receiving(self: messages.Line) -> messages.Letter | None:
        if (letter := letter_(self)) is not None:
            counted["received"] += size(letter)
        return letter

    messages.Line.post, messages.Line.letter = sending, receiving  # type: ignore[method-assign]
    engine = RayEngine(EngineOptions(device="cpu", workers=1), address)
    engine.start()
    sprite = read_folder(max((models / "sprite").iterdir()))
    superres = read_folder(max((models / "superres").iterdir()))
    try:
        for model in (sprite, superres):
            engine.load(model).result(120)
        for kind in (GENERATE, *SIDES):
            side = SIDES.get(kind, 32)
            counted.update(sent=0, received=0)
            for seed in range(10):
                if kind == GENERATE:
                    request = GenerateRequest(prompt="a red dragon", seed=seed, steps=20)
                    engine.generate(sprite, request, lambda *a: None, Cancel()).result(300)
                    pixels = 4 * side**2
                else:
                    image = np.zeros((side, side, 4), np.uint8)
                    engine.upscale(
                        superres, image, UpscaleRequest(), lambda *a: None, Cancel()
                    ).result(300)
                    pixels = 4 * side**2 * 16
            sent, received = counted["sent"] / 10, counted["received"] / 10
            table.add(f"{kind}: sent a job", sent, "bytes")
            table.add(f"{kind}: received a job, over its pixels", received, "bytes", peer=pixels)
    finally:
        engine.close()


def rows(table: Table, kind: str, found: dict[str, list[dict[str, float]]]) -> None:
    """Medians of the rounds, and what is left to the server of a job that a cluster runs."""
    medians = {
        engine: {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
        for engine, rounds in found.items()
    }
    for engine, one in medians.items():
        for part, spent in one.items():
            what = "time" if part == "wall" else f"CPU of {part}"
            table.add(f"{kind}, {engine}: {what} a job", spent, "ms")
    here, alone = (
        medians["ray"]["server"] + medians["ray"]["child"],
        medians["in-process"]["server"],
    )
    word = f"{kind}: CPU of the server with its hub, over in-process"
    table.add(word, here, "ms", peer=alone, at_most=0.25)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--jobs", type=int, default=24, help="jobs a round")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if problem := ray_problem():
        print(problem)
        return
    models, table = HERE.parent / "models", Table(__file__, args.json)
    with cluster() as (address, process):
        rounds_on(table, address, process, args)
        bytes_of_jobs(table, address, models)
    table.end()


def rounds_on(
    table: Table, address: str, process: psutil.Process, args: argparse.Namespace
) -> None:
    with contextlib.ExitStack() as stack:
        data = stack.enter_context(tempfile.TemporaryDirectory())
        servers = {}
        for engine in ENGINES:
            os.environ.update(GFEDGE_ENGINE=engine, GFEDGE_RAY_ADDRESS=address, GFEDGE_WORKERS="1")
            port = running.free_port()
            line = [sys.executable, "-m", "gfedge", "serve", "--port", str(port)]
            server = stack.enter_context(
                running.server(*line, "--data", f"{data}/{engine}", port=port)
            )
            running.wait_until_ready(server)
            servers[engine] = server
        parts = {engine: Parts(server, process) for engine, server in servers.items()}
        for kind in (GENERATE, *SIDES):
            jobs = args.jobs if kind != "upscale 256 to 1024" else max(4, args.jobs // 4)
            found: dict[str, list[dict[str, float]]] = {engine: [] for engine in ENGINES}
            for number in range(args.rounds + 1):
                for engine in ENGINES:
                    seed = 1000 * number
                    one = round_of(servers[engine], parts[engine], kind, jobs, seed)
                    if number:  # the first is for caches
                        found[engine].append(one)
            rows(table, kind, found)
        for engine, one in servers.items():
            table.add(f"resident: {engine}", one.resident_bytes() / 2**20, "MiB")
        hub = sum(one.memory_info().rss for one in psutil.Process(servers["ray"].pid).children())
        table.add("resident: the hub besides", hub / 2**20, "MiB")


if __name__ == "__main__":
    main()
