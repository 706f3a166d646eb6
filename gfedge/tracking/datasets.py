"""Datasets and the runs that read them: functions of a cursor. Name and digest together are one dataset."""

from __future__ import annotations

from gfedge.db import Cursor, Row, new_id, rows
from gfedge.lineage.types import edge
from gfedge.tracking import store
from gfedge.tracking.dataset_types import (
    Dataset,
    DatasetCreate,
    DatasetQuery,
    DatasetRow,
    InputCreate,
    InputRow,
)
from gfedge.tracking.types import Input, structured

DATASETS = """
    select d.*, (select count(distinct run_id) from run_inputs i where i.dataset_id = d.id) as run_count
    from datasets d
"""


def find_dataset(cursor: Cursor, dataset_id: str) -> Dataset | None:
    found = rows(cursor, DATASETS + " where d.id = $1", [dataset_id])
    return structured(Dataset, found[0], "schema", "profile") if found else None


def find_datasets(cursor: Cursor, ids: list[str]) -> dict[str, DatasetRow]:
    found = rows(cursor, "select * from datasets where list_contains($1, id)", [ids])
    return {row["id"]: structured(DatasetRow, row, "schema", "profile") for row in found}


def read_in(cursor: Cursor, experiments: list[str]) -> list[tuple[str, str, str, str]]:
    """Experiment, name, digest and context of the datasets that runs of experiments read."""
    return cursor.execute(
        """
        select distinct r.experiment_id, d.name, d.digest, i.context
        from run_inputs i join datasets d on d.id = i.dataset_id join runs r on r.id = i.run_id
        where list_contains($1, r.experiment_id) order by all limit 1000
        """,
        [experiments],
    ).fetchall()


def list_datasets(cursor: Cursor, query: DatasetQuery) -> list[Dataset]:
    """Newest first, and one more than asked for."""
    found = rows(
        cursor,
        DATASETS
        + """
        where ($1 = '' or d.id < $1) and ($2 = '' or contains(lower(d.name), lower($2)))
          and ($3 = '' or d.digest = $3)
        order by d.id desc limit $4
        """,
        [query.cursor, query.name, query.digest, query.limit + 1],
    )
    return [structured(Dataset, row, "schema", "profile") for row in found]


def put_dataset(cursor: Cursor, wanted: DatasetCreate, now: float) -> tuple[str, bool]:
    """The id of the dataset of that name and digest, and whether it is new; the first description of it stays."""
    found = cursor.execute(
        "select id from datasets where name = $1 and digest = $2", [wanted.name, wanted.digest]
    ).fetchall()
    if found:
        return str(found[0][0]), False
    row = DatasetRow(
        id=new_id(),
        name=wanted.name,
        digest=wanted.digest,
        source_type=wanted.source_type,
        source=wanted.source,
        schema=wanted.schema,
        profile=wanted.profile,
        created_at=now,
    )
    store.insert(cursor, [row])
    return row.id, True


def link(
    cursor: Cursor, run_id: str, wanted: list[InputCreate], more: list[Row], now: float
) -> list[Input]:
    """Datasets, their links to a run and the lineage edges, in one commit; a link that is there stays as it is."""
    linked = {found.dataset_id for found in store.inputs_of(cursor, [run_id]).get(run_id, [])}
    for one in wanted:
        dataset_id, _ = put_dataset(cursor, one, now)
        if dataset_id not in linked:
            linked.add(dataset_id)
            row = InputRow(
                run_id=run_id,
                dataset_id=dataset_id,
                context=one.context,
                linked_at=now,
                tags=one.tags,
            )
            store.insert(
                cursor, [row, edge(("dataset", dataset_id), "input", ("run", run_id), now)]
            )
    store.insert(cursor, more)
    return store.inputs_of(cursor, [run_id])[run_id]
