"""What several commands understand: where the server and its data are, where a picture goes."""

from __future__ import annotations

import argparse
import os
from typing import Any

from gfedge.cli.sentences import sentence

DEFAULT_SERVER = "http://127.0.0.1:8000"


def flag(command: argparse.ArgumentParser, name: str, metavar: str, text: str) -> None:
    command.add_argument(name, metavar=metavar, help=text)


def client(commands: Any, name: str, text: str, examples: str) -> argparse.ArgumentParser:
    """A command that talks to a running server."""
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=sentence(text) + " Talks to a running server.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_server(command)
    return command


def add_server(command: argparse.ArgumentParser) -> None:
    found = os.environ.get("GFEDGE_SERVER") or DEFAULT_SERVER
    text = f"the server (default GFEDGE_SERVER, or {DEFAULT_SERVER})"
    command.add_argument("--server", metavar="URL", default=found, help=text)
    add_token(command)


def add_token(command: argparse.ArgumentParser) -> None:
    text = "a file with the token that the server wants (default GFEDGE_TOKEN_FILE)"
    flag(command, "--token-file", "FILE", text)
    text = "the token itself (default GFEDGE_TOKEN, which other users of this machine do not see)"
    flag(command, "--token", "TOKEN", text)


def add_actions(commands: Any, name: str, text: str) -> Any:
    """A command that is followed by what to do, as `gfedge token create`; gives the place where that is added."""
    command = commands.add_parser(name, help=text, description=sentence(text))
    return command.add_subparsers(dest="action", metavar="ACTION", required=True, title="actions")


def add_data(command: argparse.ArgumentParser) -> None:
    flag(command, "--data", "DIR", "all that the server writes (default ~/.local/share/gfedge)")
    text = "a file of settings (default GFEDGE_CONFIG, or gfedge.toml in the data folder)"
    flag(command, "--config", "FILE", text)


def add_settings(command: argparse.ArgumentParser) -> None:
    add_data(command)
    flag(command, "--models", "DIR", "the models (default: those that come with gfedge)")
    text = "where models run (default auto: the GPU if it can)"
    flag(command, "--device", "auto|cpu|cuda", text)


def add_output(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        required=True,
        help="the PNG to write; - writes to stdout",
    )
