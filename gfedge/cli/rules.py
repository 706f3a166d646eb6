"""`gfedge rules check`: whether rule files can be used; no server is needed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gfedge.cli.errors import FAILED


def check(args: argparse.Namespace) -> int:
    """Prints what each file holds, or its faults with their lines; 1 where there are any."""
    from gfedge.alerts.rules import Faults, load

    failed = False
    for name in args.files:
        try:
            groups = load(Path(name))
        except Faults as error:
            failed = True
            print(error, file=sys.stderr)
        else:
            print(f"{name}: {sum(len(group.rules) for group in groups)} rules are fine")
    return FAILED if failed else 0
