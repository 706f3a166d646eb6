"""What the commands about this machine understand, besides `gfedge doctor`."""

from __future__ import annotations

import argparse
from typing import Any


def add_machine(commands: Any) -> argparse.ArgumentParser:
    """Adds them; gives the one that takes the flags of a server."""
    text = "every setting with its value, where that came from, and what it is"
    settings: argparse.ArgumentParser = commands.add_parser(
        "settings",
        help=text,
        description=f"{text.capitalize()}, as a gfedge.toml to begin with.",
    )
    settings.add_argument("--json", action="store_true", help="print them as JSON")
    return settings
