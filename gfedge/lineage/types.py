"""Nodes and edges of the lineage graph, as rows and on the wire."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

Kind = Literal[
    "asset",
    "job",
    "run",
    "experiment",
    "model_version",
    "promotion",
    "training_job",
    "training_run",
    "dataset",
    "commit",
]
"""What a node is. A `training_run` is one that only a model folder tells of; those that happen here are runs."""

Node = tuple[Kind, str]
"""A node by its kind and its id within that kind."""


class EdgeRow(msgspec.Struct, kw_only=True, frozen=True):
    """An edge as it is stored: from the earlier thing to the later one."""

    table: ClassVar[str] = "edges"

    source_kind: Kind
    source_id: str
    target_kind: Kind
    target_id: str
    relation: str
    made_at: float


def edge(source: Node, relation: str, target: Node, at: float) -> EdgeRow:
    """An edge to be written in the transaction of what it tells of; the relations are listed in docs/decisions/0003."""
    return EdgeRow(
        source_kind=source[0],
        source_id=source[1],
        target_kind=target[0],
        target_id=target[1],
        relation=relation,
        made_at=at,
    )


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
