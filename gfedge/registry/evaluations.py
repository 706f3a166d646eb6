"""Scores that a version is given after it was registered: by an evaluation, with the judge and the run that it is of."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from gfedge.inference.types import ModelFolder
from gfedge.lineage.types import Node, edge
from gfedge.registry import labels
from gfedge.registry.types import JUDGED, ModelVersionRow
from gfedge.tracking.dataset_types import InputCreate

if TYPE_CHECKING:
    from gfedge.registry.registry import Registry


class Evaluation(msgspec.Struct, kw_only=True, frozen=True):
    """What evaluation.json says, as far as the registry keeps it; the rest stays with the run."""

    metrics: Annotated[
        dict[Annotated[str, Meta(max_length=250)], float], Meta(min_length=1, max_length=100)
    ]
    judge: Annotated[str, Meta(max_length=250)] = ""
    """Digest of the judge that gave the score."""
    data: InputCreate | None = None
    """The set that it was measured on; None where it had none but the judge."""


async def give(
    registry: Registry, version: str, told: Evaluation, run: str, training_job: str
) -> None:
    """Adds the figures to those of a version, with a record of it; twice the same says nothing new.

    Raises NotFound where the version is not here any more.
    """
    row = registry.version(version)
    if row.evaluation is not None and row.evaluation.get("run") == run:
        return
    now = time.time()
    kept = {"judge": told.judge, "run": run, "evaluated_at": now}
    after = replace(row, metrics=row.metrics | told.metrics, evaluation=kept)
    details = {
        "judge": told.judge,
        "run": run,
        "metrics": {name: [row.metrics.get(name), value] for name, value in told.metrics.items()},
    }
    change = labels.change(row, "evaluated", f"training job {training_job}", details)
    node: Node = ("training_job", training_job)
    await registry.commit([after], change, edge(("model_version", row.id), "evaluated", node, now))


def judge_of(row: ModelVersionRow | None, folder: ModelFolder | None) -> str:
    """Digest of the judge that gave a version the score that it has; empty where nobody knows."""
    if row is not None and row.evaluation is not None:
        return str(row.evaluation.get("judge", ""))
    if row is None or folder is None or folder.metrics.get(JUDGED) != row.metrics.get(JUDGED):
        return ""
    return str(folder.evaluation.get("judge", ""))
