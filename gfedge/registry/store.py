"""Model versions and their changes in the database: functions of a cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from gfedge.db import Cursor, Row, rows
from gfedge.registry.policy import RegisteredModel
from gfedge.registry.traffic_types import Comparison
from gfedge.registry.types import ChangeRow, ModelVersionRow, Shadow
from gfedge.rows import append

T = TypeVar("T")


def all_versions(cursor: Cursor) -> list[ModelVersionRow]:
    """Every version that was ever registered, oldest first."""
    found = rows(cursor, "select * from model_versions order by registered_at")
    names = ("signature", "metrics", "training", "dataset", "aliases", "tags", "evaluation")
    return [structured(ModelVersionRow, row, *names) for row in found]


def registered_models(cursor: Cursor) -> list[RegisteredModel]:
    found = rows(cursor, "select * from registered_models")
    return [structured(RegisteredModel, row, "policy", "canary", "shadow", "tags") for row in found]


def change(cursor: Cursor, relabelled: Sequence[ModelVersionRow], *more: Row) -> None:
    """Writes labels and scores of versions and settings of models anew and appends the rest, in one commit: no change is without
    its record."""
    for row in relabelled:
        cursor.execute(
            """
            update model_versions
            set stage = $2, description = $3, aliases = $4, tags = $5, deleted_at = $6, name = $7, updated_at = $8,
                metrics = $9, evaluation = $10
            where id = $1
            """,
            [
                row.id,
                row.stage,
                row.description,
                _json(row.aliases),
                _json(row.tags),
                row.deleted_at,
                row.name,
                row.updated_at,
                _json(row.metrics),
                _json(row.evaluation) if row.evaluation is not None else None,
            ],
        )
    waiting: dict[type, list[Row]] = {}
    for one in more:
        if isinstance(one, RegisteredModel):
            cursor.execute("delete from registered_models where name = $1", [one.name])
        waiting.setdefault(type(one), []).append(one)
    append(cursor, waiting)


def remove_model(cursor: Cursor, name: str, gone: Sequence[ModelVersionRow], *more: Row) -> None:
    """Takes away what holds for a model as a whole; its versions stay as rows that were deleted."""
    cursor.execute("delete from registered_models where name = $1", [name])
    change(cursor, gone, *more)


def changes(cursor: Cursor, name: str = "") -> list[ChangeRow]:
    """The history of one model or of all, oldest first."""
    found = rows(cursor, "select * from model_changes where $1 in ('', name) order by id", [name])
    return [structured(ChangeRow, row, "gates", "details") for row in found]


def comparison(cursor: Cursor, name: str, shadow: Shadow) -> Comparison:
    """What a version in shadow showed since it is there."""
    (found,) = rows(
        cursor,
        """
        select count(*) as jobs, count(*) filter (status <> 'succeeded') as failed,
               count(*) filter (same_pixels) as same_pixels, avg(psnr) as psnr_mean,
               min(psnr) as psnr_min, avg(ssim) as ssim_mean,
               sum(seconds) / nullif(sum(baseline_seconds), 0) as latency_ratio
        from shadow_comparisons where name = $1 and version = $2 and compared_at >= $3
        """,
        [name, shadow.version, shadow.started_at],
    )
    return Comparison(version=shadow.version, skipped=0, **found)


def structured(kind: type[T], row: dict[str, Any], *names: str) -> T:
    """A row as its struct; the named columns hold JSON."""
    for name in names:
        row[name] = msgspec.json.decode(row[name]) if row[name] is not None else None
    return msgspec.convert(row, kind)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
