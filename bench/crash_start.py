"""Start after kill -9 with 100,000 jobs in the file: seconds to the first 200, and until jobs run again.

The jobs are copies of one that ran for real, each with its run, metrics, params and edges. The last 1,000 had only
their own row when the server died, as a crash leaves them, and 20 more were queued.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import msgspec
from running import free_port, get
from table import Table, arguments, least

from gfedge import migrate
from gfedge.ai import record, store
from gfedge.ai.types import EndedJob, Submission
from gfedge.db import Database, new_id, rows

CHUNK = 500


def launch(data: Path, port: int) -> tuple[subprocess.Popen[bytes], float]:
    """A server, and how long it took to its first 200."""
    began = time.perf_counter()
    line = [sys.executable, "-m", "gfedge", "serve", "--port", str(port), "--data", str(data)]
    process = subprocess.Popen(line, stderr=subprocess.DEVNULL)
    while True:
        try:
            if get("127.0.0.1", port)[0] == 200:
                return process, time.perf_counter() - began
        except OSError:
            time.sleep(0.005)


def generate(port: int) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v1/ai/generate",
        json.dumps({"prompt": "red potion", "steps": 1}).encode(),
        {"Content-Type": "application/json", "Prefer": "wait=60"},
    )
    with urllib.request.urlopen(request, timeout=90) as answer:
        assert json.load(answer)["status"] == "succeeded"


async def multiply(path: Path, count: int, *, recorded: bool, queued: int = 0) -> None:
    """Copies the first job of a database."""
    db = Database(path)
    db.open(migrate.migrate)
    found = await db.read(rows, "select record from jobs limit 1")
    job = msgspec.json.decode(found[0]["record"], type=EndedJob)
    for begin in range(0, count, CHUNK):
        copies = [
            msgspec.structs.replace(job, id=new_id(), run_id=new_id(), outputs=[])
            for _ in range(min(CHUNK, count - begin))
        ]
        kept = copies if recorded else []
        await db.insert(
            *map(store.job_row, copies), *(row for copy in kept for row in record.rows(copy))
        )
    names = Submission.__struct_fields__
    for _ in range(queued):
        fields = {name: getattr(job, name) for name in names} | {"id": new_id(), "run_id": new_id()}
        await db.insert(store.submission_row(Submission(**fields)))


def multiplied(path: Path, count: int, how: str) -> None:
    """In a process of its own, which dies without closing the database."""
    code = (
        "import asyncio, os, crash_start as c; from pathlib import Path; "
        f"asyncio.run(c.multiply(Path({str(path)!r}), {count}, {how})); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, check=False)


def stopped(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(30)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--jobs", type=least(1000), default=100_000)
    args = parser.parse_args()
    table = Table(__file__, args.json)
    with tempfile.TemporaryDirectory() as folder:
        data, port = Path(folder), free_port()
        path = data / "gfedge.duckdb"
        process, _ = launch(data, port)
        generate(port)
        stopped(process)
        multiplied(path, args.jobs - 1000, "recorded=True")
        stopped(launch(data, port)[0])
        multiplied(path, 1000, "recorded=False, queued=20")
        sizes = [path.stat().st_size >> 20 for path in data.glob("gfedge.duckdb*")]
        process, first = launch(data, port)
        began = time.perf_counter()
        generate(port)
        table.add("jobs in the database", args.jobs)
        table.add("its files", sum(sizes), "MiB")
        table.add("first 200 after kill -9", first, "s", at_most=5)
        table.add("until a new job is done, from there", time.perf_counter() - began, "s")
        process.kill()
        process.wait()
    table.end()


if __name__ == "__main__":
    main()
