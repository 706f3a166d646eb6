"""What training tells of its nodes in the lineage graph."""

from __future__ import annotations

from gfedge.db import Cursor, rows
from gfedge.lineage.graph import Facts, Teller


def training_jobs(cursor: Cursor, ids: list[str]) -> dict[str, Facts]:
    found = rows(
        cursor,
        """
        select id, record->>'$.name' as name, backend, entry_point, state, created_at
        from training_jobs where list_contains($1, id)
        """,
        [ids],
    )
    return {
        row["id"]: {
            "href": f"/api/v1/ml-platform/training-jobs/{row['id']}",
            **{name: value for name, value in row.items() if name != "id" and value},
        }
        for row in found
    }


TELLERS: list[Teller] = [("training_job", training_jobs)]
