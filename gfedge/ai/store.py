"""Jobs in the database: rows, and functions of a cursor."""

from __future__ import annotations

from pathlib import Path

import msgspec

from gfedge.ai import record
from gfedge.ai.types import EndedJob, JobQuery, JobRow, Submission, SubmissionRow
from gfedge.assets import files
from gfedge.db import Cursor, rows
from gfedge.lineage.graph import Facts, Teller
from gfedge.tracking.artifacts import Made

_submission = msgspec.json.Decoder(Submission).decode
_job = msgspec.json.Decoder(EndedJob).decode


def submission_row(submission: Submission) -> SubmissionRow:
    return SubmissionRow(id=submission.id, record=submission)


def job_row(job: EndedJob) -> JobRow:
    return JobRow(
        id=job.id,
        kind=job.kind,
        status=job.status,
        model_name=job.model.name if job.model else None,
        run_id=job.run_id,
        idempotency_key=job.idempotency_key,
        created_at=job.created_at,
        record=job,
    )


def unfinished(cursor: Cursor) -> list[Submission]:
    """What was acknowledged and has not ended, oldest first."""
    found = cursor.execute(
        """
        select any_value(record) from submissions s
        where not exists (from jobs j where j.id = s.id) group by id order by id
        """
    )
    return [_submission(record) for (record,) in found.fetchall()]


def unrecorded(cursor: Cursor) -> list[EndedJob]:
    """Ended jobs whose runs, assets and edges a crash forgot, oldest first."""
    found = cursor.execute(
        "select record from jobs j where not exists (from runs r where r.id = j.run_id) order by id"
    )
    return [_job(record) for (record,) in found.fetchall()]


def prune_submissions(cursor: Cursor) -> None:
    """Forgets the submissions of jobs that have ended: those say it all."""
    cursor.execute("delete from submissions where id in (select id from jobs)")


def idempotency_keys(cursor: Cursor, since: float) -> list[tuple[str, str, str, float]]:
    """(key, request digest, job id, time) of the jobs created since then, oldest first."""
    return cursor.execute(
        """
        select idempotency_key, record->>'$.request_digest', id, created_at from jobs
        where idempotency_key is not null and created_at > $1 order by id
        """,
        [since],
    ).fetchall()


def find_job(cursor: Cursor, job_id: str) -> EndedJob | None:
    found = find_jobs(cursor, [job_id])
    return found[0] if found else None


def find_jobs(cursor: Cursor, job_ids: list[str]) -> list[EndedJob]:
    found = cursor.execute("select record from jobs where list_contains($1, id)", [job_ids])
    return [_job(record) for (record,) in found.fetchall()]


def made(root: Path, cursor: Cursor, run_id: str) -> list[Made]:
    """The pictures of the job of a run, which are files of that run; `root` is the folder of assets."""
    found = cursor.execute("select record from jobs where run_id = $1", [run_id]).fetchall()
    return [
        Made(row, files.path_of(root, row.sha256, row.media_type))
        for (text,) in found
        for row in record.artifacts(_job(text))
    ]


def jobs_of_model(cursor: Cursor, name: str, since: float) -> list[EndedJob]:
    """The last jobs of clients that a model ran since a time, oldest first; at most 2,000."""
    found = cursor.execute(
        """
        select record from jobs where model_name = $1 and created_at >= $2 order by id desc limit 2000
        """,
        [name, since],
    ).fetchall()
    return [job for (text,) in reversed(found) if (job := _job(text)).shadow_of is None]


def list_jobs(cursor: Cursor, query: JobQuery) -> list[EndedJob]:
    """Newest first; one more than asked for, so that the caller sees whether there is a next page."""
    found = cursor.execute(
        """
        select record from jobs
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
    return [_job(record) for (record,) in found.fetchall()]


def describe(cursor: Cursor, job_ids: list[str]) -> dict[str, Facts]:
    """What jobs tell in the lineage graph: the least that says which one it was."""
    found = rows(
        cursor,
        """
        select id, kind as pipeline, status, record->>'$.params.prompt' as prompt, (record->>'$.seed')::bigint as seed,
               created_at, (record->>'$.finished_at')::double as finished_at
        from jobs where list_contains($1, id)
        """,
        [job_ids],
    )
    return {
        (job_id := row.pop("id")): {"href": f"/api/v1/ml-platform/ai-jobs/{job_id}", **row}
        for row in found
    }


TELLERS: list[Teller] = [("job", describe)]
