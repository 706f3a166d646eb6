"""What may go and what needs it: functions of a cursor. Nothing that stays loses what it came from."""

from __future__ import annotations

import msgspec

from gfedge.db import Cursor
from gfedge.retention.types import Candidate, CollectionRow, Policy, Report

GRACE_SECONDS = 600.0
"""What was made or used within this time stays: something that is only coming may need it."""

ENDPOINTS = """
    select source_kind as kind, source_id as id from edges union select target_kind, target_id from edges
"""
NEEDED = f"""
with recursive roots as (
    select kind, id from ({ENDPOINTS}) where kind in ('model_version', 'promotion', 'training_job')
    union select 'asset', sha256 from asset_pins
    union select 'asset', unnest($2::varchar[])
    union select 'job', id from jobs where run_id not in (select unnest($1::varchar[]))
    union select 'run', id from runs where id not in (select unnest($1::varchar[]))
), needed(kind, id, root_kind, root_id) using key (kind, id) as (
    select kind, id, kind, id from roots
    union
    select e.source_kind, e.source_id, needed.root_kind, needed.root_id
    from needed join edges e on e.target_kind = needed.kind and e.target_id = needed.id
    where not exists (from recurring.needed seen where seen.kind = e.source_kind and seen.id = e.source_id)
)
"""  # noqa: S608 - constant
"""All that something which stays came from, with one thing that needs it."""


def expired_jobs(cursor: Cursor, policy: Policy, now: float) -> list[Candidate]:
    """Jobs beyond the bounds of age, number and size, and why; those that just ended are not among them."""
    found = cursor.execute(
        """
        with pictures as (
            select a.sha256, any_value(a.bytes) as bytes, max(if(e.target_kind = 'job', e.target_id, e.source_id)) as job
            from assets a join edges e on (e.source_kind = 'job' and e.target_kind = 'asset' and e.target_id = a.sha256)
                                       or (e.target_kind = 'job' and e.source_kind = 'asset' and e.source_id = a.sha256)
            group by a.sha256
        ), sizes as (select job, sum(bytes) as bytes from pictures group by job),
        ranked as (
            select j.id, j.run_id, j.created_at, row_number() over (order by j.id desc) as n,
                   sum(coalesce(s.bytes, 0)) over (order by j.id desc) as total
            from jobs j left join sizes s on s.job = j.id
        ), judged as (
            select *, case when $1 > 0 and created_at < $4 - $1 * 86400 then format('older than {} days', $1)
                           when $2 > 0 and n > $2 then format('before the newest {} jobs', $2)
                           when $3 > 0 and total > $3 then format('before the newest {} bytes', $3) end as reason
            from ranked
        )
        select o.id, o.run_id, o.reason from judged o join runs r on r.id = o.run_id
        where o.reason is not null and r.ended_at < $4 - $5 order by o.id
        """,
        [policy.keep_job_days, policy.keep_jobs, policy.keep_job_bytes, now, GRACE_SECONDS],
    ).fetchall()
    return [Candidate(run_id=run, job_id=job, reason=reason) for job, run, reason in found]


def deleted_runs(cursor: Cursor, before: float) -> list[Candidate]:
    """Runs that were deleted before a time, by themselves or with their experiment."""
    found = cursor.execute(
        """
        select r.id, any_value(j.id), if(any_value(r.deleted_at) < $1, 'deleted', 'its experiment was deleted')
        from runs r join experiments x on x.id = r.experiment_id left join jobs j on j.run_id = r.id
        where r.deleted_at < $1 or x.deleted_at < $1 group by r.id order by r.id
        """,
        [before],
    ).fetchall()
    return [Candidate(run_id=run, job_id=job, reason=reason) for run, job, reason in found]


def needed(cursor: Cursor, candidates: list[Candidate], in_use: list[str]) -> dict[str, str]:
    """What needs a candidate, by its run, where something does."""
    found = cursor.execute(
        f"""{NEEDED}
        select run, any_value(root_kind || ' ' || root_id) from needed join (
            select unnest($1::varchar[]) as run, unnest($3::varchar[]) as job
        ) on (kind = 'run' and id = run) or (kind = 'job' and id = job)
        group by run
        """,  # noqa: S608 - constant
        [[c.run_id for c in candidates], in_use, [c.job_id or "" for c in candidates]],
    ).fetchall()
    return {str(run): f"needed by {root}" for run, root in found}


def needed_since(cursor: Cursor, candidates: list[Candidate], planned_at: float) -> set[str]:
    """Runs of candidates from which something came, or of which a picture was pinned, after the plan was made."""
    found = cursor.execute(
        """
        with c as (select unnest($1::varchar[]) as run, unnest($2::varchar[]) as job),
        nodes as (
            select run, 'run' as kind, run as id from c union all select run, 'job', job from c
            union all select run, 'asset', e.target_id from c join edges e
            on e.source_kind = 'job' and e.source_id = c.job and e.target_kind = 'asset'
        )
        select run from nodes n join edges e on e.source_kind = n.kind and e.source_id = n.id where e.made_at >= $3
        union select run from nodes n join asset_pins p on n.kind = 'asset' and p.sha256 = n.id
        """,
        [[c.run_id for c in candidates], [c.job_id or "" for c in candidates], planned_at],
    ).fetchall()
    return {str(run) for (run,) in found}


def assets_of(cursor: Cursor, jobs: list[str], in_use: list[str]) -> list[tuple[str, int]]:
    """(sha256, bytes) of assets that no job but these took or made, and that nothing else holds."""
    return cursor.execute(
        """
        with gone as (select unnest($1::varchar[]) as id), ends as (
            select target_id as sha256, source_id as job, source_kind as kind from edges where target_kind = 'asset'
            union all select source_id, target_id, target_kind from edges where source_kind = 'asset'
        ), mine as (
            select sha256 from ends group by sha256 having bool_and(kind = 'job' and job in (select id from gone))
        )
        select sha256, max(bytes) from assets join mine using (sha256)
        where sha256 not in (select sha256 from asset_pins) and not list_contains($2::varchar[], sha256)
        group by sha256 order by sha256
        """,
        [jobs, in_use],
    ).fetchall()


def artifacts_of(cursor: Cursor, runs: list[str]) -> list[tuple[str, int]]:
    """(sha256, bytes) of files that no run but these names."""
    return cursor.execute(
        """
        select sha256, max(bytes) from artifacts group by sha256
        having bool_and(run_id in (select unnest($1::varchar[]))) order by sha256
        """,
        [runs],
    ).fetchall()


def empty_experiments(cursor: Cursor, before: float, gone: list[str]) -> list[str]:
    """Experiments deleted before a time in which no run is left but those of `gone`."""
    found = cursor.execute(
        """
        select id from experiments x where deleted_at < $1
          and not exists (from runs r where r.experiment_id = x.id and not list_contains($2::varchar[], r.id))
        order by id
        """,
        [before, gone],
    )
    return [str(i) for (i,) in found.fetchall()]


def remove_runs(
    cursor: Cursor, candidates: list[Candidate], planned_at: float, in_use: list[str]
) -> list[Candidate]:
    """Removes runs and their jobs from every table, with pictures that nothing else names; gives those that went."""
    held = needed_since(cursor, candidates, planned_at)
    going = [c for c in candidates if c.run_id not in held]
    runs, jobs = [c.run_id for c in going], [c.job_id for c in going if c.job_id]
    pictures = [sha256 for sha256, _ in assets_of(cursor, jobs, in_use)]
    for statement, ids in (
        ("delete from jobs where list_contains($1, id)", jobs),
        ("delete from submissions where list_contains($1, id)", jobs),
        ("delete from assets where list_contains($1, sha256)", pictures),
        (_EDGES_OF.format(kind="job"), jobs),
        (_EDGES_OF.format(kind="run"), runs),
        ("delete from runs where list_contains($1, id)", runs),
        ("delete from run_index where list_contains($1, id)", runs),
        *((f"delete from {table} where list_contains($1, run_id)", runs) for table in _OF_RUNS),  # noqa: S608
    ):
        if ids:
            cursor.execute(statement, [ids])
    return going


_OF_RUNS = (
    *("params", "tags", "metrics", "run_inputs", "run_models", "model_metrics"),
    *("artifacts", "index_stale"),
)
_EDGES_OF = """
    delete from edges where (source_kind = '{kind}' and list_contains($1, source_id))
                         or (target_kind = '{kind}' and list_contains($1, target_id))
"""


def remove_experiments(cursor: Cursor, ids: list[str]) -> None:
    cursor.execute("delete from experiments where list_contains($1, id)", [ids])


# Files


def known_assets(cursor: Cursor) -> set[str]:
    """Digests that a row, a pin, a job that has not ended, or one whose rows a crash forgot names."""
    found = cursor.execute(
        """
        with records as (
            select record from submissions
            union all select record from jobs j where not exists (from runs r where r.id = j.run_id)
        )
        select sha256 from assets union select sha256 from asset_pins
        union select unnest(json_extract_string(record, '$.inputs[*].sha256')) from records
        union select unnest(json_extract_string(record, '$.outputs[*].sha256')) from records
        """
    ).fetchall()
    return {str(sha256) for (sha256,) in found}


def known_artifacts(cursor: Cursor) -> set[str]:
    found = cursor.execute("select distinct sha256 from artifacts").fetchall()
    return {str(sha256) for (sha256,) in found}


def ended_trainings(cursor: Cursor, before: float) -> set[str]:
    """Training jobs that ended before a time."""
    found = cursor.execute(
        "select id from training_jobs where (record->>'ended_at')::double < $1", [before]
    ).fetchall()
    return {str(job_id) for (job_id,) in found}


# Reports


def complete(cursor: Cursor, row: CollectionRow) -> None:
    cursor.execute(
        "update collections set finished_at = $2, report = $3 where id = $1",
        [row.id, row.finished_at, msgspec.json.encode(row.report).decode()],
    )


def list_collections(cursor: Cursor) -> list[Report]:
    found = cursor.execute("select report from collections order by id desc limit 100").fetchall()
    return [msgspec.json.decode(report, type=Report) for (report,) in found]
