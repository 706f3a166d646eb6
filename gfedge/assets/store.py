"""Assets in the database: functions of a cursor."""

from __future__ import annotations

import msgspec

from gfedge.assets.types import AssetRow
from gfedge.db import Cursor, rows


def find_asset(cursor: Cursor, sha256: str) -> AssetRow | None:
    found = rows(
        cursor, "select * from assets where sha256 = $1 order by created_at limit 1", [sha256]
    )
    return msgspec.convert(found[0], AssetRow) if found else None


def find_same_pixels(cursor: Cursor, pixels_sha256: str) -> AssetRow | None:
    """The oldest asset that shows exactly these pixels."""
    found = rows(
        cursor,
        "select * from assets where pixels_sha256 = $1 order by created_at limit 1",
        [pixels_sha256],
    )
    return msgspec.convert(found[0], AssetRow) if found else None
