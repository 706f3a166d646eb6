"""`gfedge import`: what MLflow or Weights & Biases recorded comes into a running server; a second run goes on.

MLflow's own client reads the store and writes to the server (`takeover.py`), in whatever Python has it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from gfedge.cli import wandb_takeover
from gfedge.cli.client import Server
from gfedge.cli.errors import UNUSABLE, CommandError

SCRIPT = Path(__file__).with_name("takeover.py")
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_FILE_STORE": "true",  # MLflow 3 reads its old folders only where that is said
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
MARK = "TAKEN "
EXPERIMENTS = "/api/v1/ml-platform/experiments?limit=1"


def run(args: argparse.Namespace) -> int:
    server = Server.of(args)
    server.get(EXPERIMENTS)  # it is there, and the token will do: its models need not be ready
    take = wandb_takeover.take if args.kind == "wandb" else _mlflow
    found = take(args, server)
    print(json.dumps(found) if args.json else _summary(found))
    return 0


def _mlflow(args: argparse.Namespace, server: Server) -> dict[str, Any]:
    python = args.python or sys.executable
    if not args.python and importlib.util.find_spec("mlflow") is None:
        raise CommandError(
            "MLflow is not in this Python: name one that has it with --python (`pip install mlflow`)",
            UNUSABLE,
        )
    token = {"MLFLOW_TRACKING_TOKEN": server.token} if server.token else {}
    process = subprocess.run(
        [python, str(SCRIPT), _uri(args.source), server.address],
        env={**os.environ, **QUIET, **token},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    told = [line for line in process.stdout.splitlines() if line.startswith(MARK)]
    if process.returncode or not told:
        raise CommandError("MLflow's client failed, as it says above; run it again to go on")
    found: dict[str, Any] = json.loads(told[-1].removeprefix(MARK))
    return found


def _uri(source: str) -> str:
    """A store as MLflow names it."""
    if "://" in source:
        return source
    path = Path(source).expanduser().resolve()
    if path.is_dir():
        return path.as_uri()
    if path.is_file():
        return f"sqlite:///{path}"
    raise CommandError(f"there is nothing at {source}", UNUSABLE)


def _summary(found: dict[str, Any]) -> str:
    notes = found.pop("notes")
    lines = [f"{count:8,} {what}" for what, count in found.items()] or ["nothing was there"]
    return "\n".join([*lines, *(f"note: {note}" for note in notes)])
