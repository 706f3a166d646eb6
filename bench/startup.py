"""Cold start against importing aiohttp, duckdb, onnxruntime and numpy alone; memory, explained, and CPU when nothing happens.

Of the single binary too, where `make binary` made one: its folder and its one file in turns with the installed server.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from running import Server, free_port, server, wait_until_ready
from table import Table, arguments

IMPORTS = "import aiohttp.web, duckdb, onnxruntime, numpy"
RESIDENT = (
    "import sys\n{}\n"
    "pages = int(open('/proc/self/statm').read().split()[1])\nprint(pages * 4096 / 2**20)"
)
PARTS = ("import aiohttp.web", "import numpy", "import onnxruntime", "import duckdb; duckdb.connect()")  # fmt: skip
DIST = Path(__file__).parent.parent / "dist"
FORMS = {"folder": DIST / "gfedge" / "gfedge", "one file": DIST / "gfedge-onefile"}
INSTALLED = (sys.executable, "-m", "gfedge")
MIB = 1 << 20


def imports() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)
    return time.perf_counter() - began


def resident(code: str) -> float:
    """MiB that a bare Python holds after `code`."""
    out = subprocess.run(
        [sys.executable, "-c", RESIDENT.format(code)], check=True, capture_output=True
    )
    return float(out.stdout)


def starts(table: Table, rounds: int) -> None:
    alone, started = [], []
    with server():  # the first start compiles
        pass
    for _ in range(rounds):
        alone.append(imports())
        with server() as found:
            started.append(found.started)
    ratios = [s / a for s, a in zip(started, alone, strict=True)]
    table.add(
        "start to the first 200, over those imports alone",
        statistics.median(started),
        "s",
        peer=statistics.median(alone),
        ratio=ratios,
        at_most=1.3,
    )


def idle(table: Table, seconds: float) -> None:
    """What a server costs that has its models loaded and no client; after the first half minute, when it has tidied up."""
    with server() as found:
        wait_until_ready(found)
        time.sleep(min(30.0, seconds / 2))
        table.add("resident when idle, all models loaded", found.resident_bytes() / MIB, "MiB")
        before = found.tree_cpu_seconds()
        time.sleep(seconds)
        share = 100 * (found.tree_cpu_seconds() - before) / seconds
        table.add(f"CPU when idle, over {seconds:g} s", share, "% of a core", at_most=1)
    nothing = resident("")
    table.add("of the memory: Python alone", nothing, "MiB")
    for (
        code
    ) in PARTS:  # they share parts with each other; the rest is models, arenas and our own modules
        table.add(f"of the memory: {code}", resident(code) - nothing, "MiB")


@contextmanager
def running(*program: str) -> Iterator[Server]:
    port = free_port()
    with tempfile.TemporaryDirectory() as data:
        line = (*program, "serve", "--port", str(port), "--data", data)
        with server(*line, port=port) as found:
            yield found


def binary(table: Table, rounds: int) -> None:
    """Its start, and the memory of all its processes once the models are loaded, over those of the installed server."""
    forms = {name: (str(path),) for name, path in FORMS.items() if path.is_file()}
    took, held = defaultdict(list), defaultdict(list)
    for _ in range(rounds if forms else 0):
        for name, program in {"installed": INSTALLED, **forms}.items():
            with running(*program) as found:
                took[name].append(found.started)
                wait_until_ready(found)
                held[name].append(found.tree_bytes() / MIB)
    for what, found_of, unit in (("start to the first 200", took, "s"), ("memory", held, "MiB")):
        installed = found_of["installed"]
        for name in forms:
            table.add(
                f"{what}: the single binary, {name}",
                statistics.median(found_of[name]),
                unit,
                peer=statistics.median(installed),
                ratio=[a / b for a, b in zip(found_of[name], installed, strict=True)],
            )


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=60, help="to watch an idle server")
    args = parser.parse_args()
    table = Table(__file__, args.json)
    starts(table, args.rounds)
    idle(table, args.seconds)
    binary(table, args.rounds)
    table.end()


if __name__ == "__main__":
    main()
