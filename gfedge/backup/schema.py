"""What made the tables of a database: what an upgrade asks before it changes them."""

from __future__ import annotations

import asyncio
import shutil

from gfedge import migrate
from gfedge.backup.types import Schema
from gfedge.db import Database


async def schema(db: Database) -> Schema:
    """Reads the migrations of an open database, and the room beside it."""
    free = await asyncio.to_thread(shutil.disk_usage, db.path.parent)
    return Schema(
        migrations=await db.read(migrate.applied_names),
        database_bytes=db.path.stat().st_size,
        free_bytes=free.free,
    )
