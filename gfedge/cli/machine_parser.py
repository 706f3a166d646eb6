"""What the commands about this machine understand, besides `gfedge doctor`."""

from __future__ import annotations

import argparse
from typing import Any

from gfedge.cli.sentences import sentence


def add_machine(commands: Any) -> list[argparse.ArgumentParser]:
    """Adds them; gives those that take the flags of a server."""
    text = "every setting with its value, where that came from, and what it is"
    settings: argparse.ArgumentParser = commands.add_parser(
        "settings",
        help=text,
        description=sentence(f"{text}, as a gfedge.toml to begin with"),
    )
    settings.add_argument("--json", action="store_true", help="print them as JSON")
    text = "start a server, make, enlarge and trace a picture with it, and stop it"
    selftest = commands.add_parser("selftest", help=text, description=sentence(text))
    text = "run models in a process of their own"
    selftest.add_argument("--isolate-inference", action="store_true", help=text)
    text = "whether the server of this data folder serves; exit code 0 or 1"
    health = commands.add_parser("health", help=text, description=sentence(text))
    text = "have the server of this data folder read its settings again"
    reload = commands.add_parser("reload", help=text, description=sentence(text))
    _add_service(commands)
    return [settings, selftest, health, reload]


def _add_service(commands: Any) -> None:
    text = "run the server with systemd, with a daily backup"
    service = commands.add_parser(
        "install-service",
        help=text,
        description=sentence(f"{text}: writes the units and /etc/gfedge/gfedge.toml, adds a user"),
    )
    service.add_argument("--dry-run", action="store_true", help="only print the units")
    text = "the program that the service starts (default: this one)"
    service.add_argument("--command", dest="command_path", metavar="FILE", help=text)
    text = "write below this folder instead, and make no user (for images)"
    service.add_argument("--root", metavar="DIR", default="/", help=text)
