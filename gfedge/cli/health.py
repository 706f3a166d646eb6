"""`gfedge health`: whether the server of this data folder serves, for healthchecks: exit code 0 or 1."""

from __future__ import annotations

import argparse

from gfedge.cli.access import noted
from gfedge.cli.errors import FAILED, CommandError
from gfedge.cli.serve import load


def run(args: argparse.Namespace) -> int:
    """Ask it, over TLS too, as its note says where it is."""
    data = load(args).data
    if (server := noted(data, timeout=4.0)) is None:
        raise CommandError(f"no server runs on {data}", FAILED)
    with server:
        print(server.get("/health").json()["status"])
    return 0
