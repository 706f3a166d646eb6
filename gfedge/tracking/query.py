"""From the tree of a filter to SQL over `run_index`. Pure: constant fragments, every value bound.

Nothing that a client wrote becomes text of a statement: keys are numbers (`index_keys`), attributes are looked up here.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

import msgspec

from gfedge import errors
from gfedge.tracking.filter import Comparison, Junction, Key, Node, Order, Query
from gfedge.tracking.types import Number, RunQuery

UNKNOWN = -1
"""Number of a key that no run has."""
COLUMNS = {
    "id": "id",
    "name": "name",
    "status": "status",
    "kind": "kind",
    "experiment_id": "experiment_id",
    "parent_id": "parent_id",
    "commit": "commit",
    "created_at": "created_at",
    "started_at": "started_at",
    "ended_at": "ended_at",
    "user_id": "user_id",
    "artifact_uri": "(select coalesce(nullif(e.artifact_location, ''), 'mlflow-artifacts:/' || e.id) "
    "from experiments e where e.id = experiment_id) || '/' || id || '/artifacts'",
}
LISTS = {
    "metrics": "list_extract(metric_values, list_position(metric_keys, {key}))",
    "params": "list_extract(param_values, list_position(param_keys, {key}))",
    "tags": "list_extract(tag_values, list_position(tag_keys, {key}))",
}
TEXT_CONDITIONS = {
    "=": "{of} = {value}",
    "!=": "{of} != {value}",
    "like": "{of} like {value}",
    "ilike": "{of} ilike {value}",
    "in": "list_contains({value}::varchar[], {of})",
    "null": "{of} is null",
}
NUMBER_CONDITIONS = {
    "=": "{of} = {value}",
    "!=": "{of} != {value}",
    "<": "{of} < {value}",
    "<=": "{of} <= {value}",
    # NaN is greater than every number in DuckDB, and matches nothing but != here.
    ">": "({of} > {value} and not isnan({of}))",
    ">=": "({of} >= {value} and not isnan({of}))",
    "in": "list_contains({value}::double[], {of})",
    "null": "{of} is null",
}
OF_DATASETS = {"id": "d.id", "name": "d.name", "digest": "d.digest", "context": "i.context"}
DATASETS = "id in (select i.run_id from run_inputs i join datasets d on d.id = i.dataset_id where {condition})"
VIEWS = {"active": "deleted_at is null", "deleted": "deleted_at is not null", "all": "true"}
NUMBER_RANK = "case when {of} is null then 2 when isnan({of}) then 1 else 0 end"
TEXT_RANK = "case when {of} is null then 2 else 0 end"


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Where a page ended: its last run, by rank and value of each key of the order."""

    digest: str
    id: str
    keys: list[tuple[int, Number | str | None]] = []


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What is searched beside the filter."""

    experiments: list[str] | None = None
    """Ids; None for all."""
    hidden: list[str] = []
    """Experiments that were deleted: their runs are left out."""
    hidden_view: bool = False
    """Their runs are seen as `view` says instead, as if each of them had been deleted."""
    view: str = "active"
    limit: int = 100
    after: Position | None = None
    since: str = ""
    """An id; older runs are left out."""


def digest(query: RunQuery) -> str:
    """What a cursor belongs to: it continues the same search only."""
    text = msgspec.json.encode([query.filter, query.experiment, query.view])
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def position(query: RunQuery) -> Position | None:
    """Where the page begins; Invalid where the cursor is none, or another search's."""
    if not query.cursor:
        return None
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(query.cursor), type=Position)
    except (ValueError, msgspec.MsgspecError):
        found = None
    if found is None or found.digest != digest(query):
        raise errors.Invalid(
            "cursor: it is not the `next` of a page of this very search",
            code="bad_cursor",
            field="cursor",
        )
    return found


def cursor_text(found: Position) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(found)).decode()


def keys(query: Query) -> set[Key]:
    """What a query compares and orders by."""
    return _keys(query.where) | {order.key for order in query.order}


def _keys(node: Node | None) -> set[Key]:
    if node is None:
        return set()
    if isinstance(node, Comparison):
        return {node.key}
    return {key for part in node.parts for key in _keys(part)}


def statement(
    query: Query,
    scope: Scope,
    numbers: Mapping[str, int],
    columns: Mapping[Key, str],
    more: int = 1,
) -> tuple[str, list[object]]:
    """SQL for one page and some rows more, with its values. Rows: version, id, then the order's values.

    `numbers` are those of keys in the lists, `columns` those of keys that have one (asked.py).
    """
    return _Statement(numbers, columns).build(query, scope, more)


class _Statement:
    """Collects the values of one statement as it is put together."""

    def __init__(self, numbers: Mapping[str, int], columns: Mapping[Key, str]) -> None:
        self._numbers = numbers
        self._columns = columns
        self.values: list[object] = []
        self._bound: dict[object, str] = {}

    def build(self, query: Query, scope: Scope, more: int) -> tuple[str, list[object]]:
        where = [self._view(scope), *self._scope(scope)]
        if query.where is not None:
            where.append(self._condition(query.where))
        columns = [f", {self._of(order.key)} as v{i}" for i, order in enumerate(query.order)]
        after = self._after(query.order, scope.after) if scope.after else "true"
        text = f"""
            with found as (
                select version, id{"".join(columns)} from run_index where {" and ".join(where)}
            )
            from found where {after} order by {_order(query.order)} limit {self._bind(scope.limit + more)}
        """  # noqa: S608 - constant fragments only
        return text, self.values

    def _view(self, scope: Scope) -> str:
        if not (scope.hidden and scope.hidden_view) or scope.view == "all":
            return VIEWS[scope.view]
        hidden = f"list_contains({self._bind(scope.hidden)}::varchar[], experiment_id)"
        if scope.view == "deleted":
            return f"({VIEWS[scope.view]} or {hidden})"
        return f"({VIEWS[scope.view]} and not {hidden})"

    def _scope(self, scope: Scope) -> list[str]:
        found = []
        if scope.experiments is not None and len(scope.experiments) == 1:
            found.append(f"experiment_id = {self._bind(scope.experiments[0])}")
        elif scope.experiments is not None:
            found.append(
                f"list_contains({self._bind(scope.experiments)}::varchar[], experiment_id)"
            )
        if scope.since:
            found.append(f"id >= {self._bind(scope.since)}")
        if scope.hidden and not scope.hidden_view:
            found.append(f"not list_contains({self._bind(scope.hidden)}::varchar[], experiment_id)")
        return found

    # Conditions

    def _condition(self, node: Node) -> str:
        if isinstance(node, Junction):
            return f"({f' {node.word} '.join(map(self._condition, node.parts))})"
        if node.key.entity == "datasets":
            return self._of_datasets(node)
        of = self._of(node.key)
        numeric = node.key.numeric
        if node.key.entity == "params" and _is_number(node.value):
            of, numeric = f"try_cast({of} as double)", True
        return self._compared(node, of, numeric)

    def _compared(self, node: Comparison, of: str, numeric: bool) -> str:
        fragment = (NUMBER_CONDITIONS if numeric else TEXT_CONDITIONS)[node.operator]
        value = "" if node.operator == "null" else self._bind(node.value)
        found = fragment.format(of=of, value=value)
        if not node.negated:
            return found
        return f"{of} is not null and not {found}" if node.operator == "in" else f"not ({found})"

    def _of_datasets(self, node: Comparison) -> str:
        """Whether one of the run's datasets is such."""
        if node.operator == "null":
            return (
                "id in (from run_inputs select run_id)"
                if node.negated
                else ("id not in (from run_inputs select run_id)")
            )
        condition = self._compared(node, OF_DATASETS[node.key.name], numeric=False)
        return DATASETS.format(condition=condition)

    def _of(self, key: Key) -> str:
        if key.entity == "attributes":
            return COLUMNS[key.name]
        if (column := self._columns.get(key)) is not None:
            return column
        bound = self._bind(self._numbers.get(key.name, UNKNOWN))
        return LISTS[key.entity].format(key=f"{bound}::integer")

    # Pages

    def _after(self, order: tuple[Order, ...], after: Position) -> str:
        """What comes after a position: further on in the first key, or equal there and further on in the next, …"""
        found = f"id < {self._bind(after.id)}"
        for i in reversed(range(len(order))):
            rank, value = after.keys[i]
            further, equal = self._further(f"v{i}", order[i], rank, value)
            found = f"({further} or ({equal} and {found}))"
        return found

    def _further(
        self, name: str, order: Order, rank: int, value: Number | str | None
    ) -> tuple[str, str]:
        ranked = _rank(name, order)
        at = self._bind(rank)
        if rank > 0:
            return f"{ranked} > {at}", f"{ranked} = {at}"
        bound = self._bind(float(value) if order.key.numeric and value is not None else value)
        sign = "<" if order.descending else ">"
        return (
            f"({ranked} > {at} or ({ranked} = {at} and {name} {sign} {bound}))",
            f"({ranked} = {at} and {name} = {bound})",
        )

    def _bind(self, value: object) -> str:
        """The placeholder of a value; the same value is bound once."""
        key = (type(value), repr(value))
        if (found := self._bound.get(key)) is None:
            self.values.append(value)
            found = self._bound[key] = f"${len(self.values)}"
        return found


def _rank(name: str, order: Order) -> str:
    return (NUMBER_RANK if order.key.numeric else TEXT_RANK).format(of=name)


def _order(orders: tuple[Order, ...]) -> str:
    """The whole order: numbers or texts, then NaN, then what is missing; the newest of equals first."""
    found = []
    for i, order in enumerate(orders):
        if order.descending and order.key.numeric:  # NaN would come first
            found.append(NUMBER_RANK.format(of=f"v{i}"))
        found.append(f"v{i} {'desc' if order.descending else 'asc'} nulls last")
    return ", ".join([*found, "id desc"])


def _is_number(value: object) -> bool:
    first = value[0] if isinstance(value, list) else value
    return isinstance(first, float)
