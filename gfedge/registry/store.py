"""Model versions in the database: functions of a cursor."""

from __future__ import annotations

import msgspec

from gfedge.db import Cursor, rows
from gfedge.registry.types import ModelVersionRow


def all_versions(cursor: Cursor) -> list[ModelVersionRow]:
    found = rows(cursor, "select * from model_versions order by registered_at")
    for row in found:
        row["training"], row["dataset"] = (
            msgspec.json.decode(row[k]) for k in ("training", "dataset")
        )
    return [msgspec.convert(row, ModelVersionRow) for row in found]
