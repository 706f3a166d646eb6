"""Nodes and edges of the lineage graph, as rows and on the wire."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

Kind = Literal["asset", "job", "run", "experiment", "model_version", "training_run", "dataset"]


class EdgeRow(msgspec.Struct, kw_only=True, frozen=True):
    """An edge as it is stored: from the earlier thing to the later one."""

    table: ClassVar[str] = "edges"

    source_kind: Kind
    source_id: str
    target_kind: Kind
    target_id: str
    relation: str
    made_at: float


class Edge(msgspec.Struct, kw_only=True, frozen=True):
    """An edge between nodes; `source` and `target` are `kind:id`."""

    source: str
    target: str
    relation: str


class Trace(msgspec.Struct, kw_only=True, frozen=True):
    """Where something came from: the graph, and the same in readable lines."""

    subject: str
    """The node that was asked for, as `kind:id`."""
    nodes: list[dict[str, Any]]
    """Each with `kind` and `id` and what is known of it."""
    edges: list[Edge]
    chain: list[str]
    matched: str | None = None
    """How a file was recognised: by its `bytes`, its `pixels`, or its `metadata` alone."""
