"""Upscaling over HTTP against LitServe, BentoML and a plain aiohttp handler over ONNX Runtime; and the bare loop, their ceiling.

All run the same model file on the same pictures in one environment (`make peers`), each picture on one thread and as
many at a time as there are cores; PNG in, PNG out, the same pixels. Ours records every job durably, the others nothing.
They take turns, in short rounds, so that what else the machine does falls on all: ratios are medians of rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
import shutil
import statistics
import sys
import tempfile
import time
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import aiohttp
import msgspec
import numpy as np
from packaging.requirements import Requirement
from PIL import Image
from running import Server, free_port, server
from table import Table, arguments, least

from superres import MODEL, bare_rate, pictures, session

ROOT = Path(__file__).parent.parent
PYTHON = ROOT / ".venv-peers" / "bin" / "python"
PEER = Path(__file__).parent / "peer"
ONE_FILE = ROOT / "dist" / "gfedge-onefile"
PNG = {"Content-Type": "image/png", "Accept": "image/png"}
CLIENTS = (1, 8, 32)
MIB = 1 << 20


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the servers: how it is started, asked and installed."""

    name: str
    line: tuple[str, ...]
    """Without its port and data folder."""
    health: str
    path: str
    form: str = ""
    """The field of a form that the picture goes into; empty: it is the body."""
    packages: tuple[str, ...]


OURS = Side(
    name="gfedge",
    line=("-m", "gfedge", "serve", "--port", "{port}", "--data", "{data}/data", "--models", "{data}/models"),
    health="/health",
    path="/api/v1/ai/superres?scale=4",
    packages=("gfedge",),
)  # fmt: skip
PEERS = (
    Side(
        name="LitServe",
        line=(str(PEER / "lit.py"), "{port}"),
        health="/health",
        path="/upscale",
        form="request",
        packages=("litserve", "onnxruntime", "numpy", "pillow"),
    ),
    Side(
        name="BentoML",
        line=("-m", "bentoml", "serve", "bento:Superres", "--host", "127.0.0.1", "--port", "{port}", "--working-dir", str(PEER)),
        health="/readyz",
        path="/upscale",
        packages=("bentoml", "onnxruntime", "numpy", "pillow"),
    ),
    Side(
        name="plain aiohttp",
        line=(str(PEER / "plain.py"), "{port}"),
        health="/health",
        path="/upscale",
        packages=("aiohttp", "onnxruntime", "numpy", "pillow"),
    ),
)  # fmt: skip
SIDES = (OURS, *PEERS)


@contextlib.contextmanager
def started(side: Side) -> Iterator[Server]:
    port = free_port()
    with tempfile.TemporaryDirectory() as data:
        shutil.copytree(ROOT / "models" / "superres", f"{data}/models/superres")
        line = (sys.executable, *(part.format(port=port, data=data) for part in side.line))
        with server(*line, port=port, path=side.health) as found:
            yield found


async def ask(http: aiohttp.ClientSession, side: Side, found: Server, data: bytes) -> bytes:
    body: bytes | aiohttp.FormData = data
    headers = {**PNG, "Prefer": "wait=60"}
    if side.form:
        body, headers = aiohttp.FormData(), {}
        body.add_field(side.form, data, filename="a.png", content_type="image/png")
    url = f"http://{found.host}:{found.port}{side.path}"
    async with http.post(url, data=body, headers=headers) as answer:
        made = await answer.read()
        assert answer.status == 200, (side.name, answer.status, made[:300])
        return made


async def asked(side: Side, found: Server, images: Iterable[bytes], clients: int) -> list[float]:
    """Seconds of each request."""
    waiting, took = iter(images), []

    async def client(http: aiohttp.ClientSession) -> None:
        for data in waiting:
            began = time.perf_counter()
            await ask(http, side, found, data)
            took.append(time.perf_counter() - began)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        await asyncio.gather(*(client(http) for _ in range(clients)))
    return took


async def first(side: Side, found: Server, data: bytes) -> bytes:
    async with aiohttp.ClientSession() as http:
        return await ask(http, side, found, data)


# -- one after the other: start, memory, size ---------------------------------------------------


def alone(table: Table, images: list[bytes], rounds: int) -> None:
    """Start and memory of each while no other server runs."""
    health, picture = defaultdict(list), defaultdict(list)
    idle, loaded, answers = defaultdict(list), defaultdict(list), {}
    for _ in range(rounds):
        for side in SIDES:
            began = time.perf_counter()
            with started(side) as found:
                answers[side.name] = asyncio.run(first(side, found, images[0]))
                picture[side.name].append(time.perf_counter() - began)
                health[side.name].append(found.started)
                time.sleep(1)
                idle[side.name].append(found.tree_bytes() / MIB)
                asyncio.run(asked(side, found, images * 2, 8))
                loaded[side.name].append(found.tree_bytes() / MIB)
    for name in answers:
        assert same(answers[name], answers[OURS.name]), f"{name} makes another picture"
    compare(table, "start to the first 200", health, "s")
    compare(table, "start to the first picture", picture, "s")
    compare(table, "resident after the first picture, all processes (PSS)", idle, "MiB")
    compare(table, f"the same after {2 * len(images)} pictures of 8 clients", loaded, "MiB")
    sizes = {side.name: [installed(side.packages) / MIB] for side in SIDES}
    compare(table, "installed", sizes, "MiB")
    # The peers have no such form: theirs are the packages again, without a Python, which is in our file; ours is compressed, and unpacked at each start.
    if ONE_FILE.is_file():
        sizes[OURS.name] = [ONE_FILE.stat().st_size / MIB]
        compare(table, "installed, as one file with Python in it", sizes, "MiB")


def compare(
    table: Table, name: str, found: dict[str, list[float]], unit: str, **hold: float
) -> None:
    """A row for each peer, of the medians and the median ratio; ours has to be less where nothing else is said."""
    for peer in PEERS:
        ours, theirs = found[OURS.name], found[peer.name]
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        median = statistics.median
        table.add(
            f"{name}: {peer.name}",
            median(ours),
            unit,
            peer=median(theirs),
            ratio=ratios,
            **(hold or {"at_most": 1}),
        )


def same(one: bytes, other: bytes) -> bool:
    """Whether two pictures are equal but for rounding."""
    pixels = [np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), int) for data in (one, other)]
    return pixels[0].shape == pixels[1].shape and int(abs(pixels[0] - pixels[1]).max()) <= 1


def installed(names: Iterable[str]) -> int:
    """Bytes of the packages and all that they need, as they are installed here."""
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(name) for name in names]
    files: set[Path] = set()
    while waiting:
        wanted = waiting.pop()
        name = wanted.name.lower().replace("onnxruntime-gpu", "onnxruntime")
        if (key := (name, frozenset(wanted.extras))) in seen:
            continue
        seen.add(key)
        requires, found = ours() if name == "gfedge" else packaged(name)
        files.update(path for path in found if path.is_file())
        extras = ("", *wanted.extras)
        waiting += [
            one
            for one in map(Requirement, requires)
            if not one.marker or any(one.marker.evaluate({"extra": extra}) for extra in extras)
        ]
    return sum(path.stat().st_size for path in files)


def ours() -> tuple[list[str], list[Path]]:
    """What gfedge requires, and its own files with the models."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    folders = (ROOT / "gfedge", ROOT / "models")
    return project["dependencies"], [path for one in folders for path in one.rglob("*")]


def packaged(name: str) -> tuple[list[str], list[Path]]:
    found = metadata.distribution(name)
    return found.requires or [], [Path(str(found.locate_file(f))) for f in found.files or []]


# -- in turns: rates, times, CPU ----------------------------------------------------------------


def together(table: Table, images: list[bytes], args: argparse.Namespace) -> None:
    net = session(MODEL.read_bytes())
    with contextlib.ExitStack() as opened:
        found = {side.name: opened.enter_context(started(side)) for side in SIDES}
        for side in SIDES:
            asyncio.run(asked(side, found[side.name], images, 8))
        bare_rate(net, images)
        for clients in args.clients:
            turns(table, found, images, clients, args.rounds, net)


def turns(
    table: Table,
    found: dict[str, Server],
    images: list[bytes],
    clients: int,
    rounds: int,
    net: object,
) -> None:
    rates, cpu, took = defaultdict(list), defaultdict(list), defaultdict(list)
    for _ in range(rounds):
        for side in SIDES:
            one, before, began = (
                found[side.name],
                found[side.name].tree_cpu_seconds(),
                time.perf_counter(),
            )
            took[side.name].append(asyncio.run(asked(side, one, images, clients)))
            rates[side.name].append(len(images) / (time.perf_counter() - began))
            cpu[side.name].append(1e3 * (one.tree_cpu_seconds() - before) / len(images))
        before = time.process_time()
        threads = min(clients, os.cpu_count() or 1)
        rates["loop"].append(bare_rate(net, images, threads=threads))  # type: ignore[arg-type]
        cpu["loop"].append(1e3 * (time.process_time() - before) / len(images))
    word = f"{clients} client{'s' if clients > 1 else ''}"
    compare(table, f"{word}: throughput", rates, "/s", at_least=1)
    for percent in (50, 95, 99):
        quantiles = {
            name: [1e3 * float(np.percentile(times, percent)) for times in of]
            for name, of in took.items()
        }
        compare(table, f"{word}: p{percent}", quantiles, "ms")
    compare(table, f"{word}: CPU a request", cpu, "ms")
    for name, figures, unit in (("throughput", rates, "/s"), ("CPU a request", cpu, "ms")):
        ours, loop = figures[OURS.name], figures["loop"]
        ratios = [a / b for a, b in zip(ours, loop, strict=True)]
        table.add(
            f"{word}: {name}: bare loop",
            statistics.median(ours),
            unit,
            peer=statistics.median(loop),
            ratio=ratios,
        )


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--images", type=least(8), default=32, help="of each server in a round")
    parser.add_argument(
        "--side",
        type=least(8),
        default=64,
        help="of the pictures; 16: what the servers themselves cost",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--starts", type=least(0), default=3)
    parser.add_argument("--clients", type=int, nargs="*", default=CLIENTS)
    args = parser.parse_args()
    if not PYTHON.exists():
        print("the peers are not here: `make peers` installs them")
        return
    if Path(sys.prefix) != PYTHON.parent.parent:
        os.execve(PYTHON, [str(PYTHON), *sys.argv], {**os.environ, "PYTHONPATH": str(ROOT)})
    os.environ |= {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": tempfile.mkdtemp()}
    images, table = pictures(args.images, args.side), Table(__file__, args.json)
    if args.starts:
        alone(table, images, args.starts)
    if args.clients:
        together(table, images, args)
    table.end()


if __name__ == "__main__":
    main()
