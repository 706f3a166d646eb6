"""Edges in the database: functions of a cursor."""

from __future__ import annotations

from gfedge.db import Cursor
from gfedge.lineage.types import Edge

MAX_DEPTH = 64
"""Steps back from the subject; a chain of jobs on jobs is cut there."""

ANCESTORS = """
with recursive up(kind, id, depth) as (
    select $1::varchar, $2::varchar, 0
    union
    select e.source_kind, e.source_id, up.depth + 1
    from up join edges e on e.target_kind = up.kind and e.target_id = up.id
    where up.depth < $3
)
select kind, id from up group by kind, id order by min(depth), kind, id
"""


def ancestors(cursor: Cursor, kind: str, node_id: str) -> list[tuple[str, str]]:
    """(kind, id) of the node itself and everything it came from, nearest first."""
    found = cursor.execute(ANCESTORS, [kind, node_id, MAX_DEPTH]).fetchall()
    return [(str(k), str(i)) for k, i in found]


def descendants_of(cursor: Cursor, nodes: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """(kind, id) one step after any of `nodes`."""
    found = cursor.execute(
        """
        select distinct e.target_kind, e.target_id
        from edges e join (select unnest($1) as kind, unnest($2) as id) n
          on e.source_kind = n.kind and e.source_id = n.id
        """,
        [[kind for kind, _ in nodes], [node_id for _, node_id in nodes]],
    ).fetchall()
    return [(str(k), str(i)) for k, i in found]


def edges_between(cursor: Cursor, nodes: list[tuple[str, str]]) -> list[Edge]:
    """Every edge whose two ends are among `nodes`, each once, oldest first."""
    found = cursor.execute(
        """
        with n as (select unnest($1) as kind, unnest($2) as id)
        select e.source_kind || ':' || e.source_id, e.target_kind || ':' || e.target_id, e.relation
        from edges e
        join n a on e.source_kind = a.kind and e.source_id = a.id
        join n b on e.target_kind = b.kind and e.target_id = b.id
        group by all order by min(e.made_at), 1, 2
        """,
        [[kind for kind, _ in nodes], [node_id for _, node_id in nodes]],
    ).fetchall()
    return [
        Edge(source=source, target=target, relation=relation) for source, target, relation in found
    ]
