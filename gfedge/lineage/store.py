"""Edges in the database: functions of a cursor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gfedge.db import Cursor
from gfedge.lineage.types import CODES, KIND_BIT, Edge, Kind, Node, key

MAX_DEPTH = 64
"""Steps from the subject; a chain of jobs on jobs is cut there."""
MAX_NODES = 1_000_000

WALK = """
with recursive walk(key, depth) using key (key) as (
    select $1::bigint, 0
    union
    select e.{to}_key, walk.depth + 1
    from walk join edges e on e.{at}_key = walk.key
    where walk.depth < $2 and not exists (from recurring.walk seen where seen.key = e.{to}_key)
),
found as (
    select key, depth from walk
    where depth <= $3 and (len($4::integer[]) = 0 or list_contains($4, key >> {bit}))
      and (depth, key) > ($5::integer, $6::bigint)
    order by depth, key limit $7
),
named as (
    select {to}_key as key, any_value({to}_kind) as kind, any_value({to}_id) as id
    from edges e semi join found on e.{to}_key = found.key group by 1
)
select kind, id, depth, deepest
from (select max(depth) as deepest from walk) left join found on true left join named using (key)
order by depth, key
"""
"""Each node once, at its least number of steps: `using key` holds what was met, so nothing is walked from twice."""
ANCESTORS = WALK.format(at="target", to="source", bit=KIND_BIT)
DESCENDANTS = WALK.format(at="source", to="target", bit=KIND_BIT)
START = (-1, 0)
"""The position before every node."""


def ancestors(cursor: Cursor, node: Node) -> list[Node]:
    """The node itself and everything it came from, nearest first."""
    found, _ = walk(cursor, ANCESTORS, node, MAX_DEPTH, [], START, MAX_NODES)
    return [one for one, _ in found]


def walk(
    cursor: Cursor,
    direction: str,
    start: Node,
    depth: int,
    kinds: Sequence[Kind],
    after: tuple[int, int],
    limit: int,
) -> tuple[list[tuple[Node, int]], bool]:
    """Nodes of some kinds (none named: all) with their steps, from behind a position (steps, key) on, nearest first;
    and whether the graph goes deeper than `depth`. `direction` is ANCESTORS or DESCENDANTS."""
    codes = [CODES[kind] for kind in kinds]
    bound = [key(start), depth + 1, depth, codes, *after, limit]
    found = cursor.execute(direction, bound).fetchall()
    # An edge leads to every node but the first, which has its name from the caller.
    steps = [(start if k is None else (k, i), int(d)) for k, i, d, _ in found if d is not None]
    return steps, found[0][3] > depth


def has_edges(cursor: Cursor, node: Node) -> bool:
    text = "select 1 from edges where source_key = $1 or target_key = $1 limit 1"
    return bool(cursor.execute(text, [key(node)]).fetchall())


def descendants_of(cursor: Cursor, nodes: Sequence[Node]) -> list[Node]:
    """The nodes one step after any of `nodes`."""
    found = cursor.execute(
        """
        select distinct e.target_kind, e.target_id
        from edges e semi join (select unnest($1::bigint[]) as key) n on e.source_key = n.key
        """,
        [[key(node) for node in nodes]],
    ).fetchall()
    return _nodes(found)


def edges_between(cursor: Cursor, nodes: Sequence[Node]) -> list[Edge]:
    """Every edge whose two ends are among `nodes`, each once, oldest first."""
    found = cursor.execute(
        """
        with n as materialized (select unnest($1::bigint[]) as key)
        select e.source_kind || ':' || e.source_id, e.target_kind || ':' || e.target_id, e.relation
        from edges e semi join n a on e.source_key = a.key semi join n b on e.target_key = b.key
        group by all order by min(e.made_at), 1, 2
        """,
        [[key(node) for node in nodes]],
    ).fetchall()
    return [
        Edge(source=source, target=target, relation=relation) for source, target, relation in found
    ]


def first_seen(cursor: Cursor, nodes: Sequence[Node]) -> dict[Node, float]:
    """When the first edge of each node was made; 0 where it has none."""
    found = cursor.execute(
        """
        with n as materialized (select unnest($1::bigint[]) as key), ends as (
            select source_key as key, made_at from edges
            union all select target_key, made_at from edges
        )
        select key, min(made_at) from ends semi join n using (key) group by key
        """,
        [[key(node) for node in nodes]],
    ).fetchall()
    first = dict(found)
    return {node: float(first.get(key(node), 0)) for node in nodes}


def node(text: str) -> Node:
    """A node from `kind:id`, as edges name it."""
    kind, _, node_id = text.partition(":")
    return kind, node_id  # type: ignore[return-value]  # what was written is a Kind


def _nodes(found: Iterable[tuple[Kind, str]]) -> list[Node]:
    return [(kind, node_id) for kind, node_id in found]
