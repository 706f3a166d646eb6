"""Assets in the database: functions of a cursor."""

from __future__ import annotations

import msgspec

from gfedge.assets.types import AssetRow, Output, Pin
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


def pin(cursor: Cursor, sha256: str, now: float) -> Pin:
    """Pins an asset; one that is pinned stays as it is."""
    if found := [one for one in list_pins(cursor) if one.sha256 == sha256]:
        return found[0]
    cursor.execute("insert into asset_pins values ($1, $2)", [sha256, now])
    return Pin(sha256=sha256, pinned_at=now)


def unpin(cursor: Cursor, sha256: str) -> Pin | None:
    """The pin that it had."""
    found = rows(cursor, "delete from asset_pins where sha256 = $1 returning *", [sha256])
    return Pin(**found[0]) if found else None


def list_pins(cursor: Cursor) -> list[Pin]:
    found = rows(cursor, "select * from asset_pins order by pinned_at desc, sha256")
    return [Pin(**row) for row in found]


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
    return {
        sha256: {"href": known["url"], **{k: v for k, v in known.items() if v is not None}}
        for sha256, known in facts.items()
    }


TELLERS: list[Teller] = [("asset", describe)]
