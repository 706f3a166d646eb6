"""Nodes and edges of the lineage graph, as rows and on the wire."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, ClassVar, Literal, get_args

import msgspec
from msgspec import Meta

from gfedge.wire import Page

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
    "logged_model",
]
"""What a node is; their order is stored: new ones go to the end. A `training_run` is one that only a model folder tells of; those that happen here are runs."""

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
    source_key: int
    target_key: int
    """The nodes by number, see `key`: walks join on these."""


CODES: dict[str, int] = {kind: code for code, kind in enumerate(get_args(Kind))}
KIND_BIT = 59


def key(node: Node) -> int:
    """63 bits that stand for a node: its kind in the upper 4, a digest of its id in the lower 59.

    Among ten million nodes two share a key with a chance of 1 in 10,000.
    """
    digest = hashlib.blake2b(node[1].encode(errors="surrogatepass"), digest_size=8).digest()
    return CODES[node[0]] << KIND_BIT | int.from_bytes(digest) >> 64 - KIND_BIT


def edge(source: Node, relation: str, target: Node, at: float) -> EdgeRow:
    """An edge to be written in the transaction of what it tells of; the relations are listed in docs/decisions/0003."""
    return EdgeRow(
        source_kind=source[0],
        source_id=source[1],
        target_kind=target[0],
        target_id=target[1],
        relation=relation,
        made_at=at,
        source_key=key(source),
        target_key=key(target),
    )


class Edge(msgspec.Struct, kw_only=True, frozen=True):
    """An edge between nodes; `source` and `target` are `kind:id`."""

    source: str
    target: str
    relation: str


Direction = Annotated[
    Literal["up", "down", "both"],
    Meta(description="up: what it came from; down: what came of it."),
]


class LineageQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How far to walk, and what to show of it."""

    direction: Direction = "both"
    depth: Annotated[int, Meta(ge=0, le=64, description="Steps from the subject.")] = 8
    kinds: Annotated[
        str,
        Meta(
            max_length=200,
            description="Kinds to show, with commas; the walk passes through all. None named shows all.",
        ),
    ] = ""
    limit: Annotated[int, Meta(ge=1, le=10_000, description="Nodes on a page.")] = 1000
    cursor: Annotated[str, Meta(max_length=2000, description="`next` of the page before.")] = ""
    format: Annotated[
        Literal["graph", "openlineage", "prov"],
        Meta(
            description="openlineage: run events (spec 2-0-2); prov: W3C PROV-JSON. Both hold all that it came from, "
            "and what it made; they take no other parameter."
        ),
    ] = "graph"


class LineageNode(msgspec.Struct, kw_only=True, frozen=True):
    """A thing in the graph."""

    kind: Kind
    id: str
    steps: Annotated[int, Meta(description="From the subject; negative towards what it came from.")]
    href: Annotated[str | None, Meta(description="Its own resource, where it has one.")]
    facts: dict[str, Any]


class Lineage(Page, kw_only=True):
    """The graph around a thing, nearest first. The edges are those between the nodes of this page and the subject."""

    subject: str
    """The node that was asked for, as `kind:id`."""
    direction: Direction
    nodes: list[LineageNode]
    edges: list[Edge]
    truncated: Annotated[
        bool, Meta(description="There is more: on the next page, or deeper than `depth`.")
    ]


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
