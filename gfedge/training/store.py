"""Training jobs in the database: functions of a cursor."""

from __future__ import annotations

import msgspec

from gfedge.db import Cursor
from gfedge.training.types import ENDED, TrainingQuery, TrainingRecord

_record = msgspec.json.Decoder(TrainingRecord).decode


def update_job(cursor: Cursor, record: TrainingRecord) -> None:
    spent = record.rental.spent_dollars if record.rental else 0.0
    text = msgspec.json.encode(record).decode()
    cursor.execute(
        "update training_jobs set state = $2, spent_dollars = $3, record = $4 where id = $1",
        [record.id, record.state, spent, text],
    )


def find_job(cursor: Cursor, job_id: str) -> TrainingRecord | None:
    found = cursor.execute("select record from training_jobs where id = $1", [job_id]).fetchall()
    return _record(found[0][0]) if found else None


def find_by_key(cursor: Cursor, key: str) -> TrainingRecord | None:
    """The job of an Idempotency-Key."""
    found = cursor.execute(
        "select record from training_jobs where idempotency_key = $1", [key]
    ).fetchall()
    return _record(found[0][0]) if found else None


def unended(cursor: Cursor) -> list[TrainingRecord]:
    """Jobs that have not ended, oldest first."""
    found = cursor.execute(
        "select record from training_jobs where not list_contains($1, state) order by id",
        [list(ENDED)],
    ).fetchall()
    return [_record(record) for (record,) in found]


def list_jobs(
    cursor: Cursor, query: TrainingQuery, states: list[str], experiment_id: str
) -> list[TrainingRecord]:
    """Newest first, and one more than asked for."""
    found = cursor.execute(
        """
        select record from training_jobs
        where ($1 = '' or id < $1) and (len($2::varchar[]) = 0 or list_contains($2, state))
          and ($3 is null or backend = $3) and ($4 = '' or entry_point = $4)
          and ($5 = '' or experiment_id = $5)
        order by id desc limit $6
        """,
        [
            query.cursor,
            states,
            query.backend,
            query.entry_point,
            experiment_id,
            query.limit + 1,
        ],
    ).fetchall()
    return [_record(record) for (record,) in found]


def spent(cursor: Cursor) -> float:
    """Dollars spent on rented machines so far, by all jobs."""
    found = cursor.execute("select coalesce(sum(spent_dollars), 0) from training_jobs").fetchall()
    return float(found[0][0])
