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
    *("ai", "monitoring", "alerts", "retention"),
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


def names() -> list[str]:
    """Every script of this version, as slice/name, in order."""
    return [f"{name}/{path.name}" for name, path in scripts()]


def applied_names(cursor: Cursor) -> list[str]:
    """The scripts that made a database, in the same form."""
    if "schema_migrations" not in snapshot.tables(cursor):
        return []
    return [f"{name}/{script}" for name, script in _applied(cursor)]


def migrate(cursor: Cursor) -> None:
    """Applies what is missing, all in one transaction; refuses a file made by a newer gfedge."""
    cursor.execute(TABLE)
    applied = _applied(cursor)
    known = {(name, path.name) for name, path in scripts()}
    if unknown := sorted(set(applied) - known):
        raise SchemaRefused(
            f"the database was made by a newer gfedge (migration {'/'.join(unknown[0])} is unknown here): "
            "use that version, or another data folder"
        )
    if applied and known - set(applied):
        _back_up(cursor)
    if missing := [one for one in scripts() if _is_missing(*one, applied)]:
        _apply(cursor, missing)


def _applied(cursor: Cursor) -> dict[tuple[str, str], str]:
    """Digests by slice and script."""
    found = cursor.execute("select slice, name, sha256 from schema_migrations").fetchall()
    return {(name, script): digest for name, script, digest in found}


def _is_missing(name: str, path: Path, applied: dict[tuple[str, str], str]) -> bool:
    """Whether a script was not applied yet; refuses one that was and reads differently now."""
    found = applied.get((name, path.name))
    if found is not None and found != _digest(path):
        raise SchemaRefused(
            f"migration {name}/{path.name} is not the one that made this database: use another data folder"
        )
    return found is None


def _back_up(cursor: Cursor) -> None:
    """Keeps the database as it is before its tables change, beside the backups."""
    folder = snapshot.folder(cursor)
    folder.mkdir(exist_ok=True)
    target = folder / time.strftime("before-migration-%Y%m%dT%H%M%SZ.duckdb", time.gmtime())
    snapshot.copy_database(cursor, target)
    log.info("the database as it was before the migration: %s", target)


def _apply(cursor: Cursor, missing: list[tuple[str, Path]]) -> None:
    """In one statement: each takes its turn for the interpreter, which imports the server meanwhile."""
    slices, names = [name for name, _ in missing], [path.name for _, path in missing]
    digests = [_digest(path) for _, path in missing]
    cursor.execute("BEGIN")
    try:
        cursor.execute("\n".join(path.read_text() for _, path in missing))
        cursor.execute(
            "insert into schema_migrations select unnest($1), unnest($2), unnest($3), $4",
            [slices, names, digests, time.time()],
        )
        cursor.execute("COMMIT")
    except BaseException:
        cursor.execute("ROLLBACK")
        raise


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
