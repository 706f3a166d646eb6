"""Edges in the database: functions of a cursor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gfedge.db import Cursor
from gfedge.lineage.types import Edge, Kind, Node

MAX_DEPTH = 64
"""Steps from the subject; a chain of jobs on jobs is cut there."""

WALK = """
with recursive walk(kind, id, depth) using key (kind, id) as (
    select $1::varchar, $2::varchar, 0
    union
    select e.{to}_kind, e.{to}_id, walk.depth + 1
    from walk join edges e on e.{at}_kind = walk.kind and e.{at}_id = walk.id
    where walk.depth < $3
      and not exists (from recurring.walk seen where seen.kind = e.{to}_kind and seen.id = e.{to}_id)
)
"""
"""Each node once, at its least number of steps: `using key` holds what was met, so nothing is walked from twice."""
ANCESTORS = WALK.format(at="target", to="source")
DESCENDANTS = WALK.format(at="source", to="target")


def ancestors(cursor: Cursor, node: Node) -> list[Node]:
    """The node itself and everything it came from, nearest first."""
    text = f"{ANCESTORS} select kind, id from walk order by depth, kind, id"  # noqa: S608 - constant
    return _nodes(cursor.execute(text, [*node, MAX_DEPTH]).fetchall())


def walk(
    cursor: Cursor,
    direction: str,
    start: Node,
    depth: int,
    kinds: Sequence[Kind],
    after: tuple[int, str, str],
    limit: int,
) -> tuple[list[tuple[Node, int]], bool]:
    """Nodes of some kinds (none named: all) with their steps, from behind a position on, nearest first; and whether
    the graph goes deeper than `depth`. `direction` is ANCESTORS or DESCENDANTS."""
    text = f"""{direction}
        , found as (
            select kind, id, depth from walk
            where depth <= $4 and (len($5::varchar[]) = 0 or list_contains($5, kind))
              and (depth, kind, id) > ($6::integer, $7::varchar, $8::varchar)
            order by depth, kind, id limit $9
        )
        select kind, id, depth, deepest from (select max(depth) as deepest from walk) left join found on true
        order by depth, kind, id
    """  # noqa: S608 - constant fragments
    found = cursor.execute(text, [*start, depth + 1, depth, list(kinds), *after, limit]).fetchall()
    return [((k, i), int(d)) for k, i, d, _ in found if k is not None], found[0][3] > depth


def has_edges(cursor: Cursor, kind: str, node_id: str) -> bool:
    found = cursor.execute(
        """
        select 1 from edges
        where (source_kind = $1 and source_id = $2) or (target_kind = $1 and target_id = $2) limit 1
        """,
        [kind, node_id],
    )
    return bool(found.fetchall())


def descendants_of(cursor: Cursor, nodes: Sequence[Node]) -> list[Node]:
    """The nodes one step after any of `nodes`."""
    found = cursor.execute(
        """
        select distinct e.target_kind, e.target_id
        from edges e join (select unnest($1) as kind, unnest($2) as id) n
          on e.source_kind = n.kind and e.source_id = n.id
        """,
        [[kind for kind, _ in nodes], [node_id for _, node_id in nodes]],
    ).fetchall()
    return _nodes(found)


def edges_between(cursor: Cursor, nodes: Sequence[Node]) -> list[Edge]:
    """Every edge whose two ends are among `nodes`, each once, oldest first."""
    # First by one id alone: most edges are elsewhere, and one key is half the price of four.
    found = cursor.execute(
        """
        with n as materialized (select unnest($1) as kind, unnest($2) as id),
        near as materialized (select e.* from edges e semi join n on e.source_id = n.id)
        select e.source_kind || ':' || e.source_id, e.target_kind || ':' || e.target_id, e.relation
        from near e
        join n a on e.source_kind = a.kind and e.source_id = a.id
        join n b on e.target_kind = b.kind and e.target_id = b.id
        group by all order by min(e.made_at), 1, 2
        """,
        [[kind for kind, _ in nodes], [node_id for _, node_id in nodes]],
    ).fetchall()
    return [
        Edge(source=source, target=target, relation=relation) for source, target, relation in found
    ]


def first_seen(cursor: Cursor, nodes: Sequence[Node]) -> dict[Node, float]:
    """When the first edge of each node was made; 0 where it has none."""
    found = cursor.execute(
        """
        with n as (select unnest($1) as kind, unnest($2) as id), ends as (
            select source_kind as kind, source_id as id, made_at from edges
            union all select target_kind, target_id, made_at from edges
        )
        select kind, id, coalesce(min(made_at), 0) from n left join ends using (kind, id) group by all
        """,
        [[kind for kind, _ in nodes], [node_id for _, node_id in nodes]],
    ).fetchall()
    return {(kind, node_id): float(at) for kind, node_id, at in found}


def node(text: str) -> Node:
    """A node from `kind:id`, as edges name it."""
    kind, _, node_id = text.partition(":")
    return kind, node_id  # type: ignore[return-value]  # what was written is a Kind


def _nodes(found: Iterable[tuple[Kind, str]]) -> list[Node]:
    return [(kind, node_id) for kind, node_id in found]
