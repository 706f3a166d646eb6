"""`gfedge import wandb`: what offline runs of Weights & Biases recorded comes into a running server; a second run goes on.

Their own package reads them (`wandb_reader.py`), in whatever Python has it; `wandb_run.py` reports what it tells.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from gfedge.cli.client import Server
from gfedge.cli.errors import UNUSABLE, CommandError
from gfedge.cli.wandb_run import Record, Run

SCRIPT = Path(__file__).with_name("wandb_reader.py")
PATTERNS = ("*.wandb", "*/*.wandb", "wandb/*/*.wandb")
INSTALL = "`make wandb` puts it into .venv-wandb: --python .venv-wandb/bin/python (or `pip install wandb`)"


def take(args: argparse.Namespace, server: Server) -> Record:
    """Takes over every run below a folder; gives what was taken, and notes of what was not."""
    files = found(Path(args.source).expanduser())
    taken: Counter[str] = Counter()
    notes: list[str] = []
    run: Run | None = None
    for record in read(args.python, files):
        if "file" in record or "end" in record:
            if run is not None:
                run.finish()
            run = Run(server, Path(record["file"]), taken, notes) if "file" in record else None
        elif run is not None:
            run.hear(record)
    return {**taken, "notes": notes}


def found(source: Path) -> list[Path]:
    """The files of runs at a place: one of them, a run's folder, or a folder of those."""
    if source.is_file() and source.suffix == ".wandb":
        return [source.resolve()]
    files = {path.resolve() for pattern in PATTERNS for path in source.glob(pattern)}
    if not files:
        what = "holds no run" if source.is_dir() else "is no folder of a run"
        raise CommandError(
            f"{source} {what} of Weights & Biases: name a folder `offline-run-…`, or `wandb` with those in it",
            UNUSABLE,
        )
    return sorted(files)


def read(python: str | None, files: list[Path]) -> Iterator[Record]:
    """What the files hold, record by record, as a Python with the package tells it."""
    if not python and importlib.util.find_spec("wandb") is None:
        raise CommandError(f"W&B's package is not in this Python: {INSTALL}", UNUSABLE)
    command = [python or sys.executable, str(SCRIPT), *map(str, files)]
    try:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
        )
    except OSError as error:
        raise CommandError(f"{command[0]} cannot be run: {error.strerror}", UNUSABLE) from None
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        last: Record = {}
        for line in process.stdout:
            last = json.loads(line)
            yield last
        said = process.stderr.read().strip()
    if "end" not in last:
        if "No module named" in said:
            raise CommandError(f"W&B's package is not in {command[0]}: {INSTALL}", UNUSABLE)
        raise CommandError(f"W&B's package failed: {said[-1000:]}", UNUSABLE)
