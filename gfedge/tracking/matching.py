"""Whether a run in memory is what a query asks for, and where it stands in its order: as `query.py` says it to the database.

Runs that changed a moment ago are read from memory, so that no reader waits for the index to be written.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from gfedge.tracking.filter import Comparison, Key, Node, Order, Query
from gfedge.tracking.query import Position, Scope, keys
from gfedge.tracking.types import RunRecord

Value = str | float | None
NUMBER = re.compile(
    r"\s*[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|nan|inf(?:inity)?)\s*", re.IGNORECASE | re.ASCII
)
"""What the database reads as a number."""
SIGNS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda of, value: of < value,
    "<=": lambda of, value: of <= value,
    ">": lambda of, value: of > value,
    ">=": lambda of, value: of >= value,
}


class Place(msgspec.Struct, frozen=True):
    """A run in the order of a query: rank and value of each of its keys, then its id."""

    keys: tuple[tuple[int, Value], ...]
    id: str


def decidable(query: Query) -> bool:
    """Whether all that a query asks for is in the record of a run."""
    fields = {*RunRecord.__struct_fields__, "commit"}
    return all(key.entity != "attributes" or key.name in fields for key in keys(query))


def matched(
    records: Iterable[RunRecord], query: Query, scope: Scope
) -> list[tuple[Place, RunRecord]]:
    """Those of some runs that belong on the page, or behind it, with their places."""
    after = place_after(scope.after, query.order) if scope.after else None
    found = []
    for record in records:
        if not matches(record, query, scope):
            continue
        at = place([value_of(record, order.key) for order in query.order], record.id)
        if after is None or compare(query.order, at, after) > 0:
            found.append((at, record))
    return found


def matches(record: RunRecord, query: Query, scope: Scope) -> bool:
    return _is_in(record, scope) and (query.where is None or _holds(record, query.where))


def place(values: Iterable[Value], run_id: str) -> Place:
    """Runs without a key come last, those with NaN before them."""
    return Place(tuple((_rank(value), value) for value in values), run_id)


def place_after(position: Position, orders: Sequence[Order]) -> Place:
    """Where the page before ended."""
    found = tuple(
        (rank, float(value) if order.key.numeric and value is not None else value)
        for order, (rank, value) in zip(orders, position.keys, strict=True)
    )
    return Place(found, position.id)


def compare(orders: Sequence[Order], one: Place, other: Place) -> int:
    """Below 0 where the one comes first; the newest of equals does."""
    for order, (rank, a), (other_rank, b) in zip(orders, one.keys, other.keys, strict=True):
        if rank != other_rank:
            return rank - other_rank
        if rank == 0 and a != b:
            return -1 if (a < b) != order.descending else 1  # type: ignore[operator]  # of one kind
    return (one.id < other.id) - (one.id > other.id)


def sorting(orders: Sequence[Order]) -> Callable[[Place], Any]:
    return functools.cmp_to_key(functools.partial(compare, orders))


def value_of(record: RunRecord, key: Key) -> Value:
    """What a run has under a key; None where it has nothing."""
    if key.entity == "metrics":
        latest = record.metrics.get(key.name)
        return None if latest is None else float(latest.value)
    if key.entity != "attributes":
        found: Value = getattr(record, key.entity).get(key.name)
        return found
    if key.name == "commit":
        return record.source.commit if record.source else None
    value: Value = getattr(record, key.name)
    return value


# Inside


def _is_in(record: RunRecord, scope: Scope) -> bool:
    if scope.experiments is not None and record.experiment_id not in scope.experiments:
        return False
    if record.id < scope.since:
        return False
    hidden = record.experiment_id in scope.hidden
    deleted = record.deleted_at is not None or (hidden and scope.hidden_view)
    if hidden and not scope.hidden_view:
        return False
    return scope.view == "all" or deleted == (scope.view == "deleted")


def _holds(record: RunRecord, node: Node) -> bool:
    if isinstance(node, Comparison):
        if node.key.entity == "datasets":
            return _of_datasets(record, node)
        return _compared(node, value_of(record, node.key))
    return (all if node.word == "and" else any)(_holds(record, part) for part in node.parts)


def _of_datasets(record: RunRecord, node: Comparison) -> bool:
    """Whether one of the run's datasets is such."""
    if node.operator == "null":
        return bool(record.inputs) == node.negated
    field = "dataset_id" if node.key.name == "id" else node.key.name
    return any(_compared(node, getattr(found, field)) for found in record.inputs)


def _compared(node: Comparison, of: Value) -> bool:
    """A missing value matches nothing but `is null`, and NaN nothing but `!=`."""
    if node.operator == "null":
        return (of is None) != node.negated
    wanted = node.value
    first = wanted[0] if isinstance(wanted, list) else wanted
    if isinstance(of, str) and isinstance(first, float):
        of = float(of) if NUMBER.fullmatch(of) else None
    return of is not None and _is(node.operator, of, wanted) != node.negated


def _is(operator: str, of: str | float, wanted: object) -> bool:
    if isinstance(wanted, list):
        return of in wanted
    if operator in ("=", "!="):
        return (of == wanted) == (operator == "=")
    if isinstance(of, str):
        text, pattern = (_lower(of), _lower(str(wanted))) if operator == "ilike" else (of, wanted)
        return _like(str(pattern)).fullmatch(text) is not None
    assert isinstance(wanted, float)
    return SIGNS[operator](of, wanted)


@functools.lru_cache(256)
def _like(pattern: str) -> re.Pattern[str]:
    parts = {"%": ".*", "_": "."}
    return re.compile("".join(parts.get(c) or re.escape(c) for c in pattern), re.DOTALL)


def _lower(text: str) -> str:
    """Character by character, as the database does it."""
    return "".join(low if len(low := c.lower()) == 1 else c for c in text)


def _rank(value: Value) -> int:
    if value is None:
        return 2
    return int(isinstance(value, float) and math.isnan(value))
