"""The environment of programs that are not ours: trainers, openssl."""

from __future__ import annotations

import os
import sys


def environment() -> dict[str, str]:
    """Ours, but for the path to the single binary's own libraries, which would meet those of the system."""
    found = dict(os.environ)
    if getattr(sys, "frozen", False):
        found.pop("LD_LIBRARY_PATH", None)
        if (before := found.pop("LD_LIBRARY_PATH_ORIG", None)) is not None:
            found["LD_LIBRARY_PATH"] = before
    return found
