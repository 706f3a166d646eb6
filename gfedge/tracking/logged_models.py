"""Models as runs log them, before anybody registers them: rows, and functions of a cursor."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from gfedge.db import Cursor, rows
from gfedge.tracking.types import structured

ModelStatus = Literal["pending", "ready", "upload_failed"]


class LoggedModelRow(msgspec.Struct, kw_only=True, frozen=True):
    """A model that was logged, as it is stored."""

    table: ClassVar[str] = "logged_models"

    id: str
    experiment_id: str
    name: str
    model_type: str
    status: ModelStatus
    run_id: Annotated[str, Meta(description="The run that made it, or empty.")]
    params: dict[str, str]
    tags: dict[str, str]
    created_at: float
    updated_at: float
    deleted_at: float | None = None


class ModelMetricRow(msgspec.Struct, kw_only=True, frozen=True):
    """A point of a metric that is of a logged model; it stands among the run's points too."""

    table: ClassVar[str] = "model_metrics"

    model_id: str
    run_id: str
    key: str
    value: float
    step: int
    logged_at: float
    dataset_name: str
    dataset_digest: str


class RunModelRow(msgspec.Struct, kw_only=True, frozen=True):
    """That a run read or made a logged model."""

    table: ClassVar[str] = "run_models"

    run_id: str
    model_id: str
    direction: Literal["input", "output"]
    step: int
    linked_at: float


def find_model(cursor: Cursor, model_id: str) -> LoggedModelRow | None:
    """Also a deleted one."""
    found = rows(cursor, "select * from logged_models where id = $1", [model_id])
    return structured(LoggedModelRow, found[0], "params", "tags") if found else None


def list_models(cursor: Cursor, experiments: list[str]) -> list[LoggedModelRow]:
    """Those of experiments, newest first, without deleted ones."""
    found = rows(
        cursor,
        """
        select * from logged_models where list_contains($1::varchar[], experiment_id) and deleted_at is null
        order by created_at desc, id
        """,
        [experiments],
    )
    return [structured(LoggedModelRow, row, "params", "tags") for row in found]


def update_model(cursor: Cursor, row: LoggedModelRow) -> None:
    """Writes what can change."""
    cursor.execute(
        """
        update logged_models set status = $2, params = $3, tags = $4, updated_at = $5, deleted_at = $6
        where id = $1
        """,
        [
            row.id,
            row.status,
            msgspec.json.encode(row.params).decode(),
            msgspec.json.encode(row.tags).decode(),
            row.updated_at,
            row.deleted_at,
        ],
    )


def metrics_of(cursor: Cursor, ids: list[str]) -> dict[str, list[ModelMetricRow]]:
    """The latest point of each metric of models, for each run and dataset that it was measured on."""
    found = rows(
        cursor,
        """
        select model_id, run_id, key, dataset_name, dataset_digest,
               max(step) as step, max(logged_at) as logged_at,
               arg_max(value, {'step': step, 'at': logged_at, 'value': value}) as value
        from model_metrics where list_contains($1, model_id)
        group by all order by model_id, key, run_id
        """,
        [ids],
    )
    by_model: dict[str, list[ModelMetricRow]] = {}
    for row in found:
        by_model.setdefault(row["model_id"], []).append(ModelMetricRow(**row))
    return by_model
