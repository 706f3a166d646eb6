"""`gfedge selftest`: starts a server of its own on a folder of its own, makes, enlarges and traces a picture, and stops it."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gfedge.cli.access import noted
from gfedge.cli.client import NoServer, Reply, Server
from gfedge.cli.errors import CommandError
from gfedge.cli.serve import load
from gfedge.inference.folder import folders
from gfedge.inference.png import probe

START_SECONDS = 120.0
STOP_SECONDS = 60.0


def run(args: argparse.Namespace) -> int:
    """Every step, with the time it took; the first that fails ends it with code 1."""
    # Of the data folder nothing is needed, and there may be no home to have it in.
    elsewhere = argparse.Namespace(**{**vars(args), "data": tempfile.gettempdir()})
    if not folders(models := load(elsewhere).models):
        raise CommandError(f"there is no model in {models}: name their folder with --models")
    args.models = str(models)
    with (
        tempfile.TemporaryDirectory(prefix="gfedge-selftest-") as folder,
        _server(args, Path(folder)) as (server, process),
    ):
        sprite = _step("generates", lambda: _generate(server))
        large = _step("upscales", lambda: _upscale(server, sprite))
        _step("traces", lambda: _trace(server, large))
        _step("stops", lambda: _stop(process))
    print("works")
    return 0


def _step(name: str, work: Any) -> Any:
    """Does one thing and prints what it says of itself; gives what it made."""
    began = time.monotonic()
    made, text = work()
    print(f"{name:<10} {text}, {time.monotonic() - began:.2f} s", flush=True)
    return made


@contextlib.contextmanager
def _server(
    args: argparse.Namespace, folder: Path
) -> Iterator[tuple[Server, subprocess.Popen[bytes]]]:
    """A server in a process of its own, with the defaults of gfedge and the options given here."""
    words = ["--data", str(folder), "--port", "0"]
    for name in ("models", "device", "config"):
        words += [f"--{name}", value] if (value := getattr(args, name)) else []
    words += ["--isolate-inference"] if args.isolate_inference else []
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GFEDGE_")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gfedge", "serve", *words],
            env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        with _step("serves", lambda: _started(process, folder)) as server:
            yield server, process
    except CommandError as error:
        said = (folder / "log").read_text(errors="replace").strip()
        raise CommandError(f"{error}\nthe log of its server:\n{said}") from None
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _started(process: subprocess.Popen[bytes], folder: Path) -> tuple[Server, str]:
    """The server, once it has left its address and its models are ready."""
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at:
        if process.poll() is not None:
            raise CommandError(f"the server ended with code {process.returncode}")
        if (server := noted(folder)) is not None and (text := _ready(server)):
            return server, text
        time.sleep(0.05)
    raise CommandError(f"the server was not ready after {START_SECONDS:g} s")


def _ready(server: Server) -> str:
    """Which models are ready, and where they run; empty until all are."""
    with contextlib.suppress(NoServer), server:
        health = server.get("/health").json()
        states = health.get("models", {})
        if states and set(states.values()) == {"ready"}:
            return f"{', '.join(states)} ({health['device']})"
    return ""


def _generate(server: Server) -> tuple[bytes, str]:
    body = json.dumps({"prompt": "red potion", "seed": 7, "steps": 4}).encode()
    return _picture(_post(server, "/api/v1/ai/generate", body, "application/json"), 32)


def _upscale(server: Server, sprite: bytes) -> tuple[bytes, str]:
    return _picture(_post(server, "/api/v1/ai/superres?scale=4", sprite, "image/png"), 128)


def _post(server: Server, path: str, body: bytes, media_type: str) -> Reply:
    headers = {"Content-Type": media_type, "Prefer": "wait=60", "Accept": "image/png"}
    return server.request("POST", path, body, headers)


def _picture(reply: Reply, side: int) -> tuple[bytes, str]:
    kind, width, height = probe(reply.body)
    if (reply.status, kind, width, height) != (200, "image/png", side, side):
        raise CommandError(f"expected a PNG of {side}x{side}, got {kind} of {width}x{height}")
    return reply.body, f"{width}x{height}, {len(reply.body):,} bytes"


def _trace(server: Server, picture: bytes) -> tuple[None, str]:
    digest = hashlib.sha256(picture).hexdigest()
    chain = server.get(f"/api/v1/assets/{digest}/trace").json()["chain"]
    if not any("superres" in line for line in chain) or not any("sprite" in line for line in chain):
        raise CommandError(f"the trace does not lead to both models: {chain}")
    return None, f"{len(chain)} steps"


def _stop(process: subprocess.Popen[bytes]) -> tuple[None, str]:
    process.send_signal(signal.SIGTERM)
    if code := process.wait(STOP_SECONDS):
        raise CommandError(f"the server ended with code {code}")
    return None, "at once"
