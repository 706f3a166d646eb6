"""What the database holds in memory, read into the metrics at each tick."""

from __future__ import annotations

from gfedge.db import Database, DatabaseFailed
from gfedge.monitoring import measured, store
from gfedge.monitoring.serving import Labelled


def read(db: Database) -> None:
    """Reads it, in a thread of the caller's; while the database is reopened there is nothing to tell."""
    try:
        found = db.peek_here(store.memory)
    except DatabaseFailed:
        measured.readings.forget("database")
        return
    held: Labelled = {(kind,): size for kind, size in found.items()}
    measured.readings.replace("database", {measured.DATABASE_MEMORY_BYTES: held})
