"""Start to the first 200 against importing aiohttp, duckdb, onnxruntime and numpy alone; idle memory, explained."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from running import server, wait_until_ready

IMPORTS = "import aiohttp.web, duckdb, onnxruntime, numpy"
RESIDENT = (
    "import sys\n{}\n"
    "pages = int(open('/proc/self/statm').read().split()[1])\nprint(pages * 4096 / 2**20)"
)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    alone, started = [], []
    with server():  # the first start compiles
        pass
    for _ in range(args.rounds):
        alone.append(imports())
        with server() as found:
            started.append(found.started)
    ratios = [s / a for s, a in zip(started, alone, strict=True)]
    print(
        f"imports alone: median {statistics.median(alone):.2f} s; first 200: {statistics.median(started):.2f} s"
    )
    print(f"first 200 over imports alone: {statistics.median(ratios):.2f} (to hold: 1.3)")
    with server() as found:
        wait_until_ready(found)
        time.sleep(1)
        print(
            f"idle with both models loaded: {found.resident_bytes() / 2**20:.0f} MiB resident, of which"
        )
    nothing = resident("")
    print(f"  Python alone {nothing:.0f}")
    for code in (
        "import aiohttp.web",
        "import numpy",
        "import onnxruntime",
        "import duckdb; duckdb.connect()",
    ):
        print(f"  {code}: {resident(code) - nothing:+.0f}")
    print("  (they share parts with each other; the rest is models, arenas and our own modules)")


if __name__ == "__main__":
    main()
