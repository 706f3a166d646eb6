"""Jobs in the database: functions of a cursor."""

from __future__ import annotations

from typing import Any

import msgspec

from gfedge.ai.types import EndedJob, JobQuery, Submission
from gfedge.db import Cursor, rows

JSON_COLUMNS = (
    "params",
    "model",
    "upscaler",
    "inputs",
    "timings",
    "progress",
    "outputs",
    "unknown_words",
    "dropped_words",
    "error",
)


def unfinished(cursor: Cursor) -> list[Submission]:
    """What was acknowledged and has not ended, oldest first."""
    found = rows(
        cursor,
        "select * from submissions s where not exists (from jobs j where j.id = s.id) order by id",
    )
    return [_struct(row, Submission) for row in found]


def prune_submissions(cursor: Cursor) -> None:
    """Forgets the submissions of jobs that have ended: those say it all."""
    cursor.execute("delete from submissions where id in (select id from jobs)")


def idempotency_keys(cursor: Cursor, since: float) -> list[tuple[str, str, str, float]]:
    """(key, request digest, job id, time) of the jobs created since then, oldest first."""
    return cursor.execute(
        """
        select idempotency_key, request_digest, id, created_at from jobs
        where idempotency_key is not null and created_at > $1 order by id
        """,
        [since],
    ).fetchall()


def find_job(cursor: Cursor, job_id: str) -> EndedJob | None:
    found = rows(cursor, "select * from jobs where id = $1", [job_id])
    return _struct(found[0], EndedJob) if found else None


def find_jobs(cursor: Cursor, job_ids: list[str]) -> list[EndedJob]:
    found = rows(cursor, "select * from jobs where list_contains($1, id)", [job_ids])
    return [_struct(row, EndedJob) for row in found]


def list_jobs(cursor: Cursor, query: JobQuery) -> list[EndedJob]:
    """Newest first; one more than asked for, so that the caller sees whether there is a next page."""
    found = rows(
        cursor,
        """
        select * from jobs
        where ($1 = '' or id < $1) and ($2 is null or status = $2) and ($3 is null or kind = $3)
          and ($4 = '' or model_name = $4) and ($5 is null or created_at >= $5)
          and ($6 is null or created_at < $6)
        order by id desc limit $7
        """,
        [
            query.cursor,
            query.status,
            query.kind,
            query.model,
            query.after,
            query.before,
            query.limit + 1,
        ],
    )
    return [_struct(row, EndedJob) for row in found]


def _struct(row: dict[str, Any], kind: Any) -> Any:
    for name in JSON_COLUMNS:
        if row.get(name) is not None:
            row[name] = msgspec.json.decode(row[name])
    return msgspec.convert(row, kind)
