"""Schema migrations: each slice's folder `migrations/NNNN_what.sql`, applied once, in order, at the start."""

from __future__ import annotations

import hashlib
import logging
import time
from pathlib import Path

from gfedge import snapshot
from gfedge.db import Cursor

log = logging.getLogger(__name__)

SLICES = (
    *("access", "tracking", "assets", "lineage", "registry", "training"),
    *("ai", "monitoring", "retention"),
)
TABLE = """
create table if not exists schema_migrations (
    slice varchar not null, name varchar not null, sha256 varchar not null, applied_at double not null
)
"""


class SchemaRefused(Exception):
    """The database file was made by another version of gfedge; the text says what to do."""


def scripts(root: Path = Path(__file__).parent) -> list[tuple[str, Path]]:
    """Every (slice, script), slices in the order of their dependence, scripts by number."""
    return [
        (name, path)
        for name in SLICES
        for path in sorted((root / name / "migrations").glob("*.sql"))
    ]


def migrate(cursor: Cursor) -> None:
    """Applies what is missing, one transaction a script; refuses a file made by a newer gfedge."""
    cursor.execute(TABLE)
    applied = {
        (name, script): digest
        for name, script, digest in cursor.execute(
            "select slice, name, sha256 from schema_migrations"
        ).fetchall()
    }
    known = {(name, path.name) for name, path in scripts()}
    if unknown := sorted(set(applied) - known):
        raise SchemaRefused(
            f"the database was made by a newer gfedge (migration {'/'.join(unknown[0])} is unknown here): "
            "use that version, or another data folder"
        )
    if applied and known - set(applied):
        _back_up(cursor)
    for name, path in scripts():
        text = path.read_text()
        digest = hashlib.sha256(text.encode()).hexdigest()
        if (found := applied.get((name, path.name))) is None:
            _apply(cursor, name, path.name, text, digest)
        elif found != digest:
            raise SchemaRefused(
                f"migration {name}/{path.name} is not the one that made this database: use another data folder"
            )


def _back_up(cursor: Cursor) -> None:
    """Keeps the database as it is before its tables change, beside the backups."""
    folder = snapshot.folder(cursor)
    folder.mkdir(exist_ok=True)
    target = folder / time.strftime("before-migration-%Y%m%dT%H%M%SZ.duckdb", time.gmtime())
    snapshot.copy_database(cursor, target)
    log.info("the database as it was before the migration: %s", target)


def _apply(cursor: Cursor, name: str, script: str, text: str, digest: str) -> None:
    cursor.execute("BEGIN")
    try:
        cursor.execute(text)
        cursor.execute(
            "insert into schema_migrations values (?, ?, ?, ?)", [name, script, digest, time.time()]
        )
        cursor.execute("COMMIT")
    except BaseException:
        cursor.execute("ROLLBACK")
        raise
