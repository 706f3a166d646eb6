"""Where a picture came from: the lineage graph around a job or an asset, with what is known of each node."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence

import msgspec

from gfedge import errors, inference
from gfedge.ai import chain, metadata, record, store
from gfedge.ai.live import Live, wire_ended, wire_live
from gfedge.ai.types import EndedJob, Job
from gfedge.assets.assets import Assets
from gfedge.assets.types import AssetRow
from gfedge.db import Cursor
from gfedge.lineage import store as lineage
from gfedge.lineage.graph import Facts, Teller, described
from gfedge.lineage.types import Edge, EdgeRow, Node, Trace


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


def of_asset(cursor: Cursor, row: AssetRow, tellers: Sequence[Teller]) -> Trace:
    """The trace of a picture."""
    return _trace(cursor, ("asset", row.sha256), [], tellers, {})


def of_job(cursor: Cursor, job: Live | EndedJob, tellers: Sequence[Teller]) -> Trace:
    """The trace of a job: what it came from and the pictures that it made. A live one has its inputs already."""
    if isinstance(job, EndedJob):
        return _trace(cursor, ("job", job.id), [], tellers, {})
    edges = record.edges(job.submission, [], time.time())
    return _trace(
        cursor, ("job", job.id), edges, tellers, {("job", job.id): _facts(wire_live(job, None))}
    )


def matched(trace: Trace, how: str) -> Trace:
    """The trace, saying whether the file was known by its bytes, its pixels or its metadata alone."""
    return msgspec.structs.replace(trace, matched=how)


def _trace(
    cursor: Cursor,
    subject: Node,
    unwritten: list[EdgeRow],
    tellers: Sequence[Teller],
    live: dict[Node, Facts],
) -> Trace:
    """`unwritten` are edges of a job that has not ended; `live` describes it."""
    starts = [subject] + [(e.source_kind, e.source_id) for e in unwritten if e.target_kind == "job"]
    found = dict.fromkeys(node for start in starts for node in lineage.ancestors(cursor, start))
    jobs = [node for node in found if node[0] == "job"]
    made = lineage.descendants_of(cursor, [subject]) if subject in jobs else []
    records = [node for node in lineage.descendants_of(cursor, jobs) if node[0] == "run"]
    runs = [*records, *(node for node in found if node[0] == "run")]
    experiments = [n for n in lineage.descendants_of(cursor, runs) if n[0] == "experiment"]
    later = [(e.target_kind, e.target_id) for e in unwritten if e.target_kind != "job"]
    nodes = list(dict.fromkeys([*found, *made, *records, *experiments, *later]))
    # A live job may be ending: its edges are then in the database as well.
    written = lineage.edges_between(cursor, nodes)
    edges = list(dict.fromkeys([*written, *(_wire(edge) for edge in unwritten)]))
    known = described(cursor, nodes, tellers) | _jobs(cursor, nodes) | live
    shown = [
        {"kind": kind, "id": node_id, **known.get((kind, node_id), {})} for kind, node_id in nodes
    ]
    return Trace(
        subject=":".join(subject), nodes=shown, edges=edges, chain=chain.lines(shown, edges)
    )


def _jobs(cursor: Cursor, nodes: list[Node]) -> dict[Node, Facts]:
    """All of each job that has ended; tellers say the least only."""
    found = store.find_jobs(cursor, [node_id for kind, node_id in nodes if kind == "job"])
    return {("job", job.id): _facts(job) for job in found}


def _facts(job: EndedJob | Job) -> Facts:
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
