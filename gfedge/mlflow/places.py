"""Whose file a path below `mlflow-artifacts:/` is: a run's, a logged model's, a model version's, or nobody's."""

from __future__ import annotations

import itertools
from typing import Literal

import msgspec
from aiohttp import web

from gfedge import keys
from gfedge.mlflow import refusals, runs
from gfedge.registry.routes import opened
from gfedge.tracking import logged_models, paths
from gfedge.tracking.routes import EXPERIMENTS, RUNS

NOBODY = "mlflow-artifacts"
"""Whose files are those that no run or model has; they are kept like a run's."""
VERSIONS = "models"
MODEL_ID = "m-"


class Place(msgspec.Struct, frozen=True):
    """A file or a folder, and whose it is. The path is empty for all that the owner has."""

    kind: Literal["run", "model", "version", "nobody"]
    owner: str
    path: str


async def place(request: web.Request, path: str) -> Place:
    """What a path means; Refused where it means a run that is not there."""
    path = paths.folder(path)
    parts = path.split("/")
    for i, (owner, word) in enumerate(itertools.pairwise(parts)):
        rest = "/".join(parts[i + 2 :])
        if word != "artifacts" or i == 0:
            continue
        if owner.startswith(MODEL_ID) and await _is_model(request, owner):
            return Place("model", owner, rest)
        if await runs.is_known(request, owner):
            return Place("run", owner, rest)
    if parts[0] == VERSIONS and len(parts) >= 3:
        registry = await opened(request)
        if (row := registry.resolve(f"{parts[1]}@{parts[2]}")) is not None:
            return Place("version", row.id, "/".join(parts[3:]))
    if len(parts) > 2 and request.app[EXPERIMENTS].get(parts[0]) is not None:
        raise refusals.absent(f"Run with id={parts[1]} not found")
    return Place("nobody", NOBODY, path)


async def of_version(request: web.Request, name: str, version: str, path: str) -> Place:
    """A file of a registered version; of one that has none here, where they are."""
    registry = await opened(request)
    row = registry.resolve(f"{name}@{version}")
    if row is None or row.version != version:
        raise refusals.absent(f"Model Version (name={name}, version={version}) not found")
    return Place("version", row.id, path)


async def writable(request: web.Request, path: str) -> Place:
    """A place that takes files: one of a run that is not deleted, or nobody's."""
    found = await place(request, path)
    if found.kind == "version":
        raise refusals.denied("The files of a registered model version never change.")
    if found.kind == "run":
        runs.writable(request, await request.app[RUNS].find(found.owner))
    return found


async def _is_model(request: web.Request, model_id: str) -> bool:
    found = await request.app[keys.DB].read(logged_models.find_model, model_id)
    return found is not None
