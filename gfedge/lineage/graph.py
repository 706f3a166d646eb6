"""Walks through the lineage graph, with what each slice tells of its own nodes."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from typing import Any, get_args

import msgspec

from gfedge import errors
from gfedge.db import Cursor
from gfedge.lineage import store
from gfedge.lineage.types import Kind, Lineage, LineageNode, LineageQuery, Node, key

Facts = dict[str, Any]
"""What is known of a node; with `href`, the path of its own resource, where it has one."""
Teller = tuple[Kind, Callable[[Cursor, list[str]], dict[str, Facts]]]
"""A kind, and a function that gives the facts of those of some ids that its slice knows."""
Position = tuple[int, int]
"""Steps and key of the last node of a page: the order of a walk."""

KINDS: tuple[Kind, ...] = get_args(Kind)


def described(
    cursor: Cursor, nodes: Iterable[Node], tellers: Sequence[Teller]
) -> dict[Node, Facts]:
    """The facts of those nodes that anybody knows; several tellers may add to one."""
    ids: dict[Kind, list[str]] = {}
    for kind, node_id in nodes:
        ids.setdefault(kind, []).append(node_id)
    found: dict[Node, Facts] = {}
    for kind, tell in tellers:
        for node_id, facts in tell(cursor, ids[kind]).items() if kind in ids else ():
            found[kind, node_id] = {**found.get((kind, node_id), {}), **facts}
    return found


def around(
    cursor: Cursor, subject: Node, query: LineageQuery, tellers: Sequence[Teller]
) -> Lineage:
    """One page of the graph around a node, nearest first; NotFound where nothing is recorded of it."""
    page, following, deeper = _page(cursor, subject, query)
    nodes = list(dict.fromkeys([subject, *(node for node, _ in page)]))
    edges = store.edges_between(cursor, nodes)
    facts = described(cursor, nodes, tellers)
    if subject not in facts and not edges and not store.has_edges(cursor, subject):
        raise errors.NotFound(
            f"nothing is recorded of {subject[0]} {subject[1]!r} (a job is recorded when it ends)",
            code="node_not_found",
        )
    return Lineage(
        subject=":".join(subject),
        direction=query.direction,
        nodes=[_shown(node, steps, facts.get(node, {})) for node, steps in page],
        edges=edges,
        truncated=deeper or following is not None,
        next=following,
    )


def kind(text: str) -> Kind:
    """The kind that a path names."""
    if text not in KINDS:
        raise errors.NotFound(_unknown(text), code="unknown_kind")
    return text


# Inside


def _page(
    cursor: Cursor, subject: Node, query: LineageQuery
) -> tuple[list[tuple[Node, int]], str | None, bool]:
    """Nodes and their steps (negative towards what the subject came from), the next page, whether it goes deeper."""
    kinds = _kinds(query.kinds)
    after, room = _position(query.cursor), query.limit + 1
    found: list[tuple[Node, int]] = []
    deeper = False
    for sign, walk in ((-1, store.ANCESTORS), (1, store.DESCENDANTS)):
        if query.direction == ("down" if sign < 0 else "up"):
            continue
        rows, further = store.walk(cursor, walk, subject, query.depth, kinds, after, room)
        found += [(node, sign * steps) for node, steps in rows]
        deeper = deeper or further
    found.sort(key=_place)
    found = list(dict(found).items())  # the subject is in both directions
    page = found[: query.limit]
    more = len(found) > len(page)
    return page, _cursor(_place(page[-1])) if more else None, deeper


def _place(found: tuple[Node, int]) -> Position:
    node, steps = found
    return abs(steps), key(node)


def _kinds(text: str) -> list[Kind]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in KINDS]:
        raise errors.Invalid(f"kinds: {_unknown(unknown[0])}", code="unknown_kind", field="kinds")
    return [name for name in KINDS if name in names]


def _unknown(name: str) -> str:
    return f"{name!r} is no kind of node; there are: {', '.join(KINDS)}"


def _shown(node: Node, steps: int, facts: Facts) -> LineageNode:
    known = {name: value for name, value in facts.items() if name != "href" and value is not None}
    return LineageNode(kind=node[0], id=node[1], steps=steps, href=facts.get("href"), facts=known)


def _position(cursor: str) -> Position:
    if not cursor:
        return store.START
    try:
        found: Position = msgspec.json.decode(base64.urlsafe_b64decode(cursor), type=Position)
    except (ValueError, msgspec.MsgspecError):
        raise errors.Invalid(
            "cursor: it is not the `next` of a page", code="bad_cursor", field="cursor"
        ) from None
    return found


def _cursor(position: Position) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode()
