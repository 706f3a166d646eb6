"""What the registry tells of its nodes in the lineage graph, among them what model folders say of trainings and data."""

from __future__ import annotations

from typing import Any

import msgspec

from gfedge.db import Cursor
from gfedge.lineage.graph import Facts, Teller
from gfedge.registry import store
from gfedge.registry.origins import origins


def versions(cursor: Cursor, ids: list[str]) -> dict[str, Facts]:
    """Every version that was ever registered, also those whose folders are gone."""
    wanted, found = set(ids), {}
    for row in store.all_versions(cursor):
        if row.id in wanted:
            known = msgspec.to_builtins(row)
            facts = _without(known, "kind", "training", "dataset")
            href = f"/api/v1/ml-platform/models/{row.id}"
            found[row.id] = {"href": href, "pipeline": row.kind, **facts}
    return found


def promotions(cursor: Cursor, ids: list[str]) -> dict[str, Facts]:
    return {
        row.id: {
            "href": f"/api/v1/ml-platform/models/{row.name}/history",
            "to": row.to_stage,
            "by": row.by,
            "reason": row.reason,
            "forced": row.forced,
            "changed_at": row.changed_at,
        }
        for row in store.changes(cursor)
        if row.id in ids
    }


def trainings(cursor: Cursor, ids: list[str]) -> dict[str, Facts]:
    return {
        origins(row)[0]: _without(row.training, "kind", "id")
        for row in store.all_versions(cursor)
        if origins(row)[0] in ids
    }


def datasets(cursor: Cursor, ids: list[str]) -> dict[str, Facts]:
    return {
        origins(row)[1]: _without(row.dataset, "kind", "id")
        for row in store.all_versions(cursor)
        if origins(row)[1] in ids
    }


def commits(cursor: Cursor, ids: list[str]) -> dict[str, Facts]:
    """Where the code lies that model folders name."""
    told = {str(row.training.get("commit", "")): row.training for row in store.all_versions(cursor)}
    return {
        commit: {
            "repository": told[commit].get("repository"),
            "entry_point": told[commit].get("script"),
        }
        for commit in ids
        if commit in told
    }


def _without(facts: dict[str, Any], *names: str) -> Facts:
    return {name: value for name, value in facts.items() if name not in names}


TELLERS: list[Teller] = [
    ("model_version", versions),
    ("promotion", promotions),
    ("training_run", trainings),
    ("dataset", datasets),
    ("commit", commits),
]
