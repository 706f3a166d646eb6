"""Experiments and runs in the database: functions of a cursor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from gfedge.db import Cursor, Row, append, rows
from gfedge.tracking.types import (
    ExperimentRow,
    Input,
    Latest,
    MadeRow,
    ModelLink,
    Run,
    RunRecord,
    RunRow,
    number,
    shown,
    structured,
)

# Experiments


def all_experiments(cursor: Cursor) -> list[ExperimentRow]:
    found = rows(cursor, "select * from experiments order by id")
    return [structured(ExperimentRow, row, "tags", "headline") for row in found]


def update_experiment(cursor: Cursor, row: ExperimentRow, tags: str, headline: str | None) -> None:
    """Writes what can change; `tags` and `headline` are JSON."""
    cursor.execute(
        """
        update experiments
        set name = $2, description = $3, tags = $4, headline = $5, deleted_at = $6, updated_at = $7
        where id = $1
        """,
        [row.id, row.name, row.description, tags, headline, row.deleted_at, row.updated_at],
    )


# Runs


def find_run(cursor: Cursor, run_id: str) -> Run | None:
    found = records(cursor, [run_id])
    return shown(found[0]) if found else None


def records(cursor: Cursor, ids: list[str]) -> list[RunRecord]:
    """All that is known of runs, from where it was first written: six statements for all of them."""
    found = rows(
        cursor, "select * exclude (made) from runs where list_contains($1, id) order by id", [ids]
    )
    params = _by_run(_of_runs(cursor, "select run_id, key, value from params", ids))
    tags = _by_run(_of_runs(cursor, "select run_id, key, value from tags", ids))
    metrics = latest(cursor, ids)
    inputs = inputs_of(cursor, ids)
    models = models_of(cursor, ids)
    return [
        structured(
            RunRecord,
            {
                **row,
                "params": params.get(row["id"], {}),
                "tags": tags.get(row["id"], {}),
                "metrics": metrics.get(row["id"], {}),
                "inputs": inputs.get(row["id"], []),
                "models": models.get(row["id"], []),
            },
            "source",
        )
        for row in found
    ]


def latest(cursor: Cursor, ids: list[str]) -> dict[str, dict[str, Latest]]:
    """The latest point of each metric: of the highest step, then time, then value."""
    found = cursor.execute(
        """
        select run_id, key, max({'step': step, 'logged_at': logged_at, 'value': value}) from metrics
        where list_contains($1, run_id) group by run_id, key
        """,
        [ids],
    ).fetchall()
    by_run: dict[str, dict[str, Latest]] = {}
    for run_id, key, point in found:
        by_run.setdefault(run_id, {})[key] = Latest(
            number(point["value"]), point["step"], point["logged_at"]
        )
    return by_run


def inputs_of(cursor: Cursor, ids: list[str]) -> dict[str, list[Input]]:
    """The datasets that runs read, in the order of their linking."""
    found = cursor.execute(
        """
        select i.run_id, d.id, d.name, d.digest, i.context, i.tags
        from run_inputs i join datasets d on d.id = i.dataset_id
        where list_contains($1, i.run_id) order by i.linked_at, d.id
        """,
        [ids],
    ).fetchall()
    by_run: dict[str, list[Input]] = {}
    for run_id, dataset_id, name, digest, context, tags in found:
        told = msgspec.json.decode(tags, type=dict[str, str]) if tags else {}
        by_run.setdefault(run_id, []).append(
            Input(dataset_id=dataset_id, name=name, digest=digest, context=context, tags=told)
        )
    return by_run


def models_of(cursor: Cursor, ids: list[str]) -> dict[str, list[ModelLink]]:
    """The logged models that runs read and made, in the order of their linking."""
    found = cursor.execute(
        """
        select run_id, model_id, direction, step from run_models
        where list_contains($1, run_id) order by linked_at, model_id
        """,
        [ids],
    ).fetchall()
    by_run: dict[str, list[ModelLink]] = {}
    for run_id, model_id, direction, step in found:
        by_run.setdefault(run_id, []).append(
            ModelLink(model_id=model_id, direction=direction, step=step)
        )
    return by_run


def half_made(cursor: Cursor) -> list[MadeRow]:
    """Runs whose other rows a crash forgot."""
    found = rows(
        cursor,
        """
        select * from runs r where made is not null and not exists (
            from edges e where e.source_id = r.id and e.source_kind = 'run' and e.relation = 'belongs_to'
        )
        """,
    )
    return [structured(MadeRow, row, "source", "made") for row in found]


def existing(cursor: Cursor, ids: list[str]) -> list[str]:
    """Those of some runs that are recorded."""
    found = cursor.execute(
        "select id from runs where id in (select unnest($1::varchar[]))", [ids]
    ).fetchall()
    return [str(run_id) for (run_id,) in found]


def unindexed(cursor: Cursor) -> list[str]:
    """Runs that the index has not, and those that have not ended: they may have reported since."""
    found = cursor.execute(
        "select id from runs where ended_at is null or id not in (from run_index select id) order by id"
    ).fetchall()
    return [str(run_id) for (run_id,) in found]


def stale(cursor: Cursor) -> list[str]:
    """Ended runs that changed after they were last written to the index."""
    return [str(i) for (i,) in cursor.execute("select distinct run_id from index_stale").fetchall()]


def forget_stale(cursor: Cursor) -> None:
    cursor.execute("delete from index_stale")


def update_run(cursor: Cursor, row: RunRow, gone: list[str], more: list[Row]) -> None:
    """Writes what can change of a run; `gone` and `more` as with `write_tags`."""
    cursor.execute(
        """
        update runs set name = $2, status = $3, started_at = $4, ended_at = $5, deleted_at = $6
        where id = $1
        """,
        [row.id, row.name, row.status, row.started_at, row.ended_at, row.deleted_at],
    )
    write_tags(cursor, row.id, gone, more)


def write_tags(cursor: Cursor, run_id: str, gone: list[str], more: list[Row]) -> None:
    """Takes tags away and writes rows, those of the tags' new values among them."""
    if gone:
        cursor.execute(
            "delete from tags where run_id = $1 and list_contains($2, key)", [run_id, gone]
        )
    insert(cursor, more)


def insert(cursor: Cursor, more: list[Row]) -> None:
    waiting: dict[type, list[Row]] = {}
    for row in more:
        waiting.setdefault(type(row), []).append(row)
    append(cursor, waiting)


def _of_runs(cursor: Cursor, select: str, ids: list[str]) -> Iterable[tuple[str, str, Any]]:
    return cursor.execute(f"{select} where list_contains($1, run_id)", [ids]).fetchall()


def _by_run(triples: Iterable[tuple[str, str, Any]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for run_id, key, value in triples:
        found.setdefault(run_id, {})[key] = value
    return found
