"""What names files, in the database: functions of a cursor."""

from __future__ import annotations

from gfedge.db import Cursor


def pictures(cursor: Cursor) -> list[tuple[str, str, int]]:
    """(sha256, media type, bytes) of every asset."""
    return cursor.execute(
        "select distinct sha256, media_type, bytes from assets order by 1"
    ).fetchall()


def artifacts(cursor: Cursor) -> list[tuple[str, str, int]]:
    """(run/path, sha256, bytes) of every artifact."""
    return cursor.execute(
        "select run_id || '/' || path, sha256, bytes from artifacts order by 1"
    ).fetchall()


def versions(cursor: Cursor) -> list[tuple[str, str, str, str]]:
    """(id, name, version, digest) of every model version."""
    return cursor.execute(
        "select id, name, version, digest from model_versions where deleted_at is null order by 1"
    ).fetchall()
