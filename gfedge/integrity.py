"""Whether a database file may be opened: not in use elsewhere, nothing committed missing, every block readable."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from gfedge import snapshot
from gfedge.rows import Cursor

READ_AT_START_BYTES = 256 << 20
"""Up to this size a database is read whole at the start (a fraction of a second), so that damage is found then."""


class DatabaseRefused(Exception):
    """A file that cannot be opened as it is; the text says why and what to do."""


class DatabaseInUse(DatabaseRefused):
    """Another process has the file; the text names it."""


def is_locked(path: Path) -> bool:
    """Whether another process has the file; then its log is not judged, and DuckDB names the process."""
    if sys.platform == "win32" or not path.exists():
        return False
    import fcntl

    with path.open("rb+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def check_blocks(cursor: Cursor, path: Path) -> None:
    """DuckDB checks a block when it is read, which may be long after the start: a file of usual size is read at once."""
    if path.stat().st_size > READ_AT_START_BYTES:
        return
    _, faults = snapshot.read_through(cursor)
    if faults:
        table, text = next(iter(faults.items()))
        raise DatabaseRefused(
            f"{path} is damaged (table {table}: {text}). Restore a backup "
            "(gfedge restore BACKUP --data NEW_FOLDER), or take another folder with --data"
        )


def damaged(path: Path, loss: str) -> DatabaseRefused:
    """What an operator is told when committed work is missing."""
    return DatabaseRefused(
        f"{path.parent}: committed work is missing: {loss}. Nothing was changed. Put the file back where you have it, "
        "restore a backup (gfedge restore BACKUP --data NEW_FOLDER), or go on with what is there: --accept-loss"
    )


def refusal(path: Path, reason: str) -> DatabaseRefused:
    """Why DuckDB would not open a file, in words for an operator."""
    if "Could not set lock" in reason or "Conflicting lock" in reason:
        owner = re.search(r"PID (\d+)", reason)
        return DatabaseInUse(
            f"{path} is in use by another gfedge (process {owner.group(1) if owner else 'unknown'}): "
            "stop that one, or take another folder with --data"
        )
    return DatabaseRefused(
        f"{path} cannot be opened: {reason}; restore it from a backup, or take another folder with --data"
    )
