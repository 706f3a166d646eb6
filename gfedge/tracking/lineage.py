"""What tracking tells of its nodes in the lineage graph."""

from __future__ import annotations

from gfedge.db import Cursor, rows
from gfedge.lineage.graph import Facts, Teller

AT = "/api/v1/ml-platform"


def runs(cursor: Cursor, ids: list[str]) -> dict[str, Facts]:
    found = rows(
        cursor,
        "select id, name, kind, status, created_at, ended_at from runs where list_contains($1, id)",
        [ids],
    )
    return {
        row["id"]: {"href": f"{AT}/runs/{row['id']}", "made_by": row.pop("kind"), **_facts(row)}
        for row in found
    }


def experiments(cursor: Cursor, ids: list[str]) -> dict[str, Facts]:
    found = rows(cursor, "select id, name from experiments where list_contains($1, id)", [ids])
    return {
        row["id"]: {"href": f"{AT}/experiments/{row['id']}", "name": row["name"]} for row in found
    }


def datasets(cursor: Cursor, ids: list[str]) -> dict[str, Facts]:
    found = rows(
        cursor,
        """
        select id, name, digest, source_type, source, created_at from datasets
        where list_contains($1, id)
        """,
        [ids],
    )
    return {row["id"]: {"href": f"{AT}/datasets/{row['id']}", **_facts(row)} for row in found}


def logged_models(cursor: Cursor, ids: list[str]) -> dict[str, Facts]:
    """Models as runs logged them, registered or not."""
    found = rows(
        cursor,
        """
        select id, name, model_type, status, run_id, created_at from logged_models
        where list_contains($1, id)
        """,
        [ids],
    )
    return {row["id"]: {"href": f"{AT}/logged-models/{row['id']}", **_facts(row)} for row in found}


def commits(cursor: Cursor, ids: list[str]) -> dict[str, Facts]:
    """Where code lies, as the runs say that ran it."""
    found = rows(
        cursor,
        """
        select source->>'$.commit' as id, any_value(source->>'$.repository') as repository,
               any_value(source->>'$.entry_point') as entry_point
        from runs where source is not null and list_contains($1, source->>'$.commit') group by 1
        """,
        [ids],
    )
    return {row["id"]: _facts(row) for row in found}


def _facts(row: Facts) -> Facts:
    return {name: value for name, value in row.items() if name != "id" and value not in (None, "")}


TELLERS: list[Teller] = [
    ("run", runs),
    ("experiment", experiments),
    ("dataset", datasets),
    ("commit", commits),
    ("logged_model", logged_models),
]
