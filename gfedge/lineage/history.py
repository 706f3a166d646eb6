"""Everything that a thing came from, in the terms that the field's formats share: what was done, used and made. Pure but
for `read`."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import msgspec

from gfedge import errors
from gfedge.db import Cursor
from gfedge.lineage import store
from gfedge.lineage.graph import Facts, Teller, described
from gfedge.lineage.types import Edge, Kind, Node

DEEDS: tuple[Kind, ...] = ("job", "run", "training_job", "training_run", "promotion")
"""Kinds of things that happen; of the others, an experiment is neither done nor used and is left out."""
THINGS: tuple[Kind, ...] = ("asset", "model_version", "logged_model", "dataset", "commit")
MOST_NODES = 10_000
RECORDED = "recorded_as"


class History(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the graph with the facts of its nodes."""

    subject: Node
    facts: dict[Node, Facts]
    edges: list[tuple[Node, str, Node]]
    seen_at: dict[Node, float]
    """When each was first written of: the time of what has no better."""

    @property
    def deeds(self) -> list[Node]:
        """What was done, oldest first. The run that only records a job is that job."""
        records = {to for source, how, to in self.edges if how == RECORDED and source[0] == "job"}
        found = [node for node in self.facts if node[0] in DEEDS and node not in records]
        return sorted(found, key=lambda node: (self.began(node), node))

    @property
    def things(self) -> list[Node]:
        return [node for node in self.facts if node[0] in THINGS]

    def used(self, deed: Node) -> list[Node]:
        return [source for source, _, to in self.edges if to == deed and source[0] in THINGS]

    def made(self, deed: Node) -> list[Node]:
        return [to for source, _, to in self.edges if source == deed and to[0] in THINGS]

    def caused_by(self, deed: Node) -> list[Node]:
        """The deeds that one follows from: a run from its training job, a replay from the first job."""
        return [source for source, _, to in self.edges if to == deed and source[0] in DEEDS]

    def began(self, node: Node) -> str:
        facts = self.facts[node]
        times = (facts.get(name) for name in ("started_at", "created_at", "registered_at"))
        return next((found for at in times if (found := _iso(at))), "") or _of(self.seen_at[node])

    def ended(self, node: Node) -> str | None:
        facts = self.facts[node]
        times = (facts.get(name) for name in ("finished_at", "ended_at"))
        return next((found for at in times if (found := _iso(at))), None)


def read(cursor: Cursor, subject: Node, tellers: Sequence[Teller]) -> History:
    """All ancestors of a thing, and what it made; NotFound where nothing is recorded of it."""
    found = store.ancestors(cursor, subject)
    if subject[0] in DEEDS:
        made = store.descendants_of(cursor, [subject])
        found += [node for node in made if node[0] in (*THINGS, "run")]
    nodes = [node for node in dict.fromkeys(found) if node[0] in (*DEEDS, *THINGS)]
    if len(nodes) > MOST_NODES:
        raise errors.TooLarge(
            f"{len(nodes)} nodes are more than the {MOST_NODES} of one export: ask for the graph in pages",
            code="graph_too_large",
        )
    facts = described(cursor, nodes, tellers)
    edges = [_ends(edge) for edge in store.edges_between(cursor, nodes)]
    if not edges and subject not in facts:
        raise errors.NotFound(
            f"nothing is recorded of {subject[0]} {subject[1]!r}", code="node_not_found"
        )
    return History(
        subject=subject,
        facts={node: facts.get(node, {}) for node in nodes},
        edges=edges,
        seen_at=store.first_seen(cursor, nodes),
    )


def _ends(edge: Edge) -> tuple[Node, str, Node]:
    return store.node(edge.source), edge.relation, store.node(edge.target)


def _iso(at: object) -> str | None:
    """A time as ISO 8601, from Unix seconds or from what is ISO 8601 already."""
    if isinstance(at, (int, float)):
        return _of(at)
    try:
        return datetime.datetime.fromisoformat(str(at)).astimezone(datetime.UTC).isoformat()
    except ValueError:
        return None


def _of(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat()
