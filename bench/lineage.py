"""Walks of depth 8 through a lineage graph of 100,000 edges, over HTTP: one after the other, and 8 at a time.

The graph has layers of jobs and pictures, each node made from three (--parents) of the layer before: a walk of depth 8 up or down
meets thousands of nodes, of which a page of 1000 is described.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import aiohttp
from running import Server, free_port, server
from table import Table, arguments, least
from tracking import Client, Work, report, timed

from gfedge import migrate
from gfedge.db import Database
from gfedge.lineage.types import EdgeRow, Kind, edge

CHUNK = 5000


def rows(layers: int, width: int, parents: int) -> Iterator[EdgeRow]:
    dice = random.Random(7919)
    for layer in range(layers):
        kinds: tuple[Kind, Kind] = ("asset", "job") if layer % 2 == 0 else ("job", "asset")
        for node in range(width):
            target = (kinds[1], f"{layer + 1}-{node}")
            for _ in range(parents):
                source = (kinds[0], f"{layer}-{dice.randrange(width)}")
                yield edge(source, "made", target, float(layer))


async def prepare(data: Path, args: argparse.Namespace) -> int:
    db = Database(data / "gfedge.duckdb")
    db.open(migrate.migrate)
    width = args.edges // args.layers // args.parents
    edges = list(rows(args.layers, width, args.parents))
    for at in range(0, len(edges), CHUNK):
        await db.insert(*edges[at : at + CHUNK])
    await asyncio.to_thread(db.close)
    return width


async def measure_walks(
    table: Table, client: Client, found: Server, width: int, args: argparse.Namespace
) -> None:
    dice = random.Random(1)

    def walk(direction: str, layer: int, limit: int) -> Work:
        kind = "job" if layer % 2 else "asset"
        path = f"/lineage/{kind}/{layer}-{dice.randrange(width)}"
        query = {"direction": direction, "depth": "8", "limit": str(limit)}
        return lambda: client.call("GET", path, **query)

    for readers, (direction, layer), limit in itertools.product(
        (1, 8), (("up", args.layers), ("down", 1)), (100, 1000)
    ):
        calls = (walk(direction, layer, limit) for _ in itertools.count())
        await timed(calls, readers, readers)
        cpu = found.cpu_seconds()
        took = await timed(calls, readers, args.requests)
        word = f"walk of depth 8 {direction}, {limit} of its nodes, {readers} at a time"
        report(table, word, took, found.cpu_seconds() - cpu, p50=30)


async def measure(args: argparse.Namespace, folder: Path) -> None:
    data, models = folder / "data", folder / "models"
    data.mkdir()
    models.mkdir()
    width = await prepare(data, args)
    edges = args.layers * width * args.parents
    table = Table(__file__, args.json)
    table.add("edges", edges)
    table.add("nodes", (args.layers + 1) * width)
    port = free_port()
    command = [sys.executable, "-m", "gfedge", "serve", "--port", str(port)]
    command += ["--data", str(data), "--models", str(models)]
    with server(*command, port=port) as found:
        async with aiohttp.ClientSession() as http:
            await measure_walks(table, Client(http, found), found, width, args)
    table.end()


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--edges", type=int, default=100_000)
    parser.add_argument("--layers", type=int, default=11)
    parser.add_argument("--parents", type=int, default=3, help="of each node")
    parser.add_argument("--requests", type=least(2), default=40, help="of each kind")
    args = parser.parse_args()
    if args.edges < args.layers * args.parents:
        parser.error("so many layers and parents need more edges")
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(args, Path(folder)))


if __name__ == "__main__":
    main()
