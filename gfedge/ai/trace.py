"""Where a picture came from: the lineage graph around a job or an asset, with what is known of each node."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import Any

import msgspec

from gfedge import errors, inference
from gfedge.ai import chain, metadata, record, store
from gfedge.ai.live import Live, wire_ended, wire_live
from gfedge.ai.types import EndedJob, Job
from gfedge.assets import store as asset_store
from gfedge.assets.assets import Assets
from gfedge.assets.types import AssetRow, Output
from gfedge.db import Cursor
from gfedge.lineage import store as lineage
from gfedge.lineage.types import Edge, EdgeRow, Trace
from gfedge.registry.registry import Registry, origins
from gfedge.tracking import store as tracking

Node = tuple[str, str]


async def recognise(
    data: bytes, assets: Assets, max_pixels: int
) -> tuple[AssetRow, str] | metadata.Origin:
    """The asset that a file is (by its bytes, else by its pixels), or what its metadata say of it.

    Raises NotFound where the file tells nothing, and ImageError where it is no picture.
    """
    if (row := await assets.find(hashlib.sha256(data).hexdigest())) is not None:
        return row, "bytes"
    pixels = await asyncio.to_thread(_pixels, data, max_pixels)
    if (row := await assets.find_same_pixels(pixels)) is not None:
        return row, "pixels"
    origin = metadata.read_origin(
        await asyncio.to_thread(inference.png.texts, data, (metadata.CHUNK,))
    )
    if origin is not None:
        return origin
    raise errors.NotFound(
        "this picture was not made here, or was changed since and lost its metadata",
        code="unknown_picture",
    )


def of_asset(cursor: Cursor, row: AssetRow, registry: Registry) -> Trace:
    """The trace of a picture."""
    return _trace(cursor, ("asset", row.sha256), [], registry, {})


def of_job(cursor: Cursor, job: Live | EndedJob, registry: Registry) -> Trace:
    """The trace of a job: what it came from and the pictures that it made. A live one has its inputs already."""
    if isinstance(job, EndedJob):
        return _trace(cursor, ("job", job.id), [], registry, {})
    edges = record.edges(job.submission, [], time.time())
    return _trace(cursor, ("job", job.id), edges, registry, {job.id: _facts(wire_live(job, None))})


def matched(trace: Trace, how: str) -> Trace:
    """The trace, saying whether the file was known by its bytes, its pixels or its metadata alone."""
    return msgspec.structs.replace(trace, matched=how)


def _trace(
    cursor: Cursor,
    subject: Node,
    unwritten: list[EdgeRow],
    registry: Registry,
    live: dict[str, dict[str, Any]],
) -> Trace:
    """`unwritten` are edges of a job that has not ended; `live` describes it."""
    starts = [subject] + [(e.source_kind, e.source_id) for e in unwritten if e.target_kind == "job"]
    found = dict.fromkeys(node for start in starts for node in lineage.ancestors(cursor, *start))
    jobs = [node for node in found if node[0] == "job"]
    made = lineage.descendants_of(cursor, [subject]) if subject in jobs else []
    runs = [node for node in lineage.descendants_of(cursor, jobs) if node[0] == "run"]
    experiments = [n for n in lineage.descendants_of(cursor, runs) if n[0] == "experiment"]
    later = [(e.target_kind, e.target_id) for e in unwritten if e.target_kind != "job"]
    nodes = list(dict.fromkeys([*found, *made, *runs, *experiments, *later]))
    # A live job may be ending: its edges are then in the database as well.
    written = lineage.edges_between(cursor, nodes)
    edges = list(dict.fromkeys([*written, *(_wire(edge) for edge in unwritten)]))
    described = _described(cursor, nodes, registry) | {("job", i): node for i, node in live.items()}
    shown = [
        {"kind": kind, "id": node_id, **described.get((kind, node_id), {})}
        for kind, node_id in nodes
    ]
    return Trace(
        subject=":".join(subject), nodes=shown, edges=edges, chain=chain.lines(shown, edges)
    )


def _described(cursor: Cursor, nodes: list[Node], registry: Registry) -> dict[Node, dict[str, Any]]:
    """What is known of each node."""
    ids: dict[str, list[str]] = {}
    for kind, node_id in nodes:
        ids.setdefault(kind, []).append(node_id)
    found: dict[Node, dict[str, Any]] = {}
    for job in store.find_jobs(cursor, ids.get("job", [])):
        found["job", job.id] = _facts(job)
    for sha256 in ids.get("asset", []):
        if (row := asset_store.find_asset(cursor, sha256)) is not None:
            found["asset", sha256] = msgspec.to_builtins(Output.of(row))
    for run_id in ids.get("run", []):
        if (run := tracking.find_run(cursor, run_id)) is not None:
            found["run", run_id] = {"name": run.name, "status": run.status}
    for experiment_id in ids.get("experiment", []):
        if (experiment := tracking.find_experiment(cursor, experiment_id)) is not None:
            found["experiment", experiment_id] = {"name": experiment.name}
    return found | _of_models(ids, registry)


def _of_models(ids: dict[str, list[str]], registry: Registry) -> dict[Node, dict[str, Any]]:
    """Model versions, and the trainings and datasets behind them, as their folders told."""
    found: dict[Node, dict[str, Any]] = {}
    for version in registry.recorded():
        if version.id not in ids.get("model_version", []):
            continue
        known = msgspec.to_builtins(version)
        training, dataset = origins(version)
        facts = {k: v for k, v in known.items() if k not in ("kind", "training", "dataset")}
        found["model_version", version.id] = {"pipeline": version.kind, **facts}
        for node, more in (
            (("training_run", training), "training"),
            (("dataset", dataset), "dataset"),
        ):
            found[node] = {k: v for k, v in known[more].items() if k not in ("kind", "id")}
    return found


def _facts(job: EndedJob | Job) -> dict[str, Any]:
    """A job as a node; its kind is called `pipeline` there, because every node has a `kind` of its own."""
    shown = wire_ended(job) if isinstance(job, EndedJob) else job
    values = msgspec.to_builtins(shown)
    return {"pipeline": values.pop("kind"), **values}


def _wire(edge: EdgeRow) -> Edge:
    return Edge(
        source=f"{edge.source_kind}:{edge.source_id}",
        target=f"{edge.target_kind}:{edge.target_id}",
        relation=edge.relation,
    )


def _pixels(data: bytes, max_pixels: int) -> str:
    return inference.png.pixels_sha256(inference.png.decode(data, max_pixels))
