"""Experiments and runs in the database: functions of a cursor."""

from __future__ import annotations

from collections.abc import Iterable

from gfedge.db import Cursor, rows
from gfedge.tracking.types import (
    Experiment,
    ExperimentQuery,
    ExperimentRow,
    ListQuery,
    Run,
    structured,
)

EXPERIMENTS = """
select e.*, coalesce(r.run_count, 0) as run_count, r.last_activity_at
from experiments e
left join (
    select experiment_id, count(*) as run_count, max(coalesce(ended_at, created_at)) as last_activity_at
    from runs group by experiment_id
) r on r.experiment_id = e.id
"""


def all_experiments(cursor: Cursor) -> list[ExperimentRow]:
    found = rows(cursor, "select * from experiments order by id")
    return [structured(ExperimentRow, row, "tags") for row in found]


def list_experiments(cursor: Cursor, query: ExperimentQuery) -> list[Experiment]:
    """Newest first; one more than asked for, so that the caller sees whether there is a next page."""
    found = rows(
        cursor,
        EXPERIMENTS
        + """
        where ($1 = '' or e.id < $1) and ($2 = '' or contains(lower(e.name), lower($2)))
          and ($3 = '' or e.kind = $3)
        order by e.id desc limit $4
        """,
        [query.cursor, query.name, query.kind, query.limit + 1],
    )
    return [structured(Experiment, row, "tags") for row in found]


def find_experiment(cursor: Cursor, experiment_id: str) -> Experiment | None:
    found = rows(cursor, EXPERIMENTS + " where e.id = $1", [experiment_id])
    return structured(Experiment, found[0], "tags") if found else None


def list_runs(cursor: Cursor, experiment_id: str, query: ListQuery) -> list[Run]:
    found = rows(
        cursor,
        """
        select * from runs where experiment_id = $1 and ($2 = '' or id < $2)
        order by id desc limit $3
        """,
        [experiment_id, query.cursor, query.limit + 1],
    )
    return _with_values(cursor, found)


def find_run(cursor: Cursor, run_id: str) -> Run | None:
    found = _with_values(cursor, rows(cursor, "select * from runs where id = $1", [run_id]))
    return found[0] if found else None


def _with_values(cursor: Cursor, found: list[dict[str, object]]) -> list[Run]:
    """Adds params and latest metrics to rows of `runs`, two statements for all of them."""
    ids = [row["id"] for row in found]
    params = _by_run(
        cursor.execute(
            "select run_id, key, value from params where list_contains($1, run_id)", [ids]
        ).fetchall()
    )
    metrics = _by_run(
        cursor.execute(
            """
            select run_id, key, arg_max(value, (step, logged_at)) from metrics
            where list_contains($1, run_id) group by run_id, key
            """,
            [ids],
        ).fetchall()
    )
    return [
        structured(
            Run, {**row, "params": params.get(row["id"], {}), "metrics": metrics.get(row["id"], {})}
        )
        for row in found
    ]


def _by_run(triples: Iterable[tuple[object, str, object]]) -> dict[object, dict[str, object]]:
    found: dict[object, dict[str, object]] = {}
    for run_id, key, value in triples:
        found.setdefault(run_id, {})[key] = value
    return found
