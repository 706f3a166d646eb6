"""`gfedge health` and `gfedge reload`: of the server that runs on this data folder, which is found by its note."""

from __future__ import annotations

import argparse

from gfedge.cli.access import noted
from gfedge.cli.client import ANSWER_SECONDS, Server
from gfedge.cli.errors import FAILED, CommandError
from gfedge.cli.serve import load

HEALTH_SECONDS = 4.0
"""Less than a healthcheck waits."""


def health(args: argparse.Namespace) -> int:
    """Whether it serves, for healthchecks: exit code 0, or 1 and 2."""
    with _server(args, HEALTH_SECONDS) as server:
        print(server.get("/health").json()["status"])
    return 0


def reload(args: argparse.Namespace) -> int:
    """Have it read its settings again, and print what changed; 1 where it refuses them."""
    with _server(args, ANSWER_SECONDS) as server:
        done = server.request("POST", "/api/v1/admin/reload").json()["reloads"]
    lines = [f"{one['name']}: {line}" for one in done for line in one["said"]]
    print("\n".join(lines) or "nothing changed")
    return 0


def _server(args: argparse.Namespace, timeout: float) -> Server:
    data = load(args).data
    if (server := noted(data, timeout)) is None:
        raise CommandError(f"no server runs on {data}", FAILED)
    return server
