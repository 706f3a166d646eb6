"""Assets in the database: functions of a cursor."""

from __future__ import annotations

import msgspec

from gfedge.assets.types import AssetRow, Output
from gfedge.db import Cursor, rows
from gfedge.lineage.graph import Facts, Teller


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


def describe(cursor: Cursor, digests: list[str]) -> dict[str, Facts]:
    """What assets tell in the lineage graph."""
    found = rows(
        cursor,
        "select * from assets where list_contains($1, sha256) order by created_at desc",
        [digests],
    )
    facts = {
        row["sha256"]: msgspec.to_builtins(Output.of(msgspec.convert(row, AssetRow)))
        for row in found
    }
    return {sha256: {"href": known["url"], **known} for sha256, known in facts.items()}


TELLERS: list[Teller] = [("asset", describe)]
