"""Files named by their content, which many may share: who finds one in its place may rely on it for a while.

A file that is found is touched, and only what was not touched for long is removed, both under one lock: so a job that
makes bytes which are there already never loses them to a collection that began before it was recorded.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

_lock = threading.Lock()


def keep(path: Path) -> bool:
    """Whether the file is there; it then stays for as long as collections spare what was used lately."""
    with _lock:
        try:
            os.utime(path)
        except FileNotFoundError:
            return False
        return True


def remove_unused(path: Path, before: float) -> bool:
    """Removes a file that was neither written nor kept since a time; says whether it did."""
    with _lock:
        try:
            if path.stat().st_mtime >= before:
                return False
            path.unlink()
        except FileNotFoundError:
            return False
        return True
