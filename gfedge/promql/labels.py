"""Label sets in company: groups of rows, rows without their names, rows that became the same."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

import msgspec

from gfedge.arrays import np
from gfedge.promql.compensated import Plan, plan
from gfedge.promql.lexer import quoted
from gfedge.promql.printer import label
from gfedge.promql.types import NAME, Index, Labels, LabelSets, QueryError, Vector

META = frozenset((NAME, "__type__", "__unit__"))
"""What describes a metric and is lost when its values are changed."""
SAME = "vector cannot contain metrics with the same labelset"


class Groups(msgspec.Struct, frozen=True):
    """Rows that belong together, and the label set of each group."""

    of_row: Index
    labels: LabelSets

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def plan(self) -> tuple[Index, Plan]:
        made: tuple[Index, Plan] = self.labels.derived("plan", lambda: plan(self.of_row, len(self)))
        return made

    @property
    def members(self) -> list[Index]:
        """The rows of each group, ascending."""

        def split() -> list[Index]:
            order = np.argsort(self.of_row, kind="stable")
            return np.split(order, np.cumsum(np.bincount(self.of_row, minlength=len(self)))[:-1])

        made: list[Index] = self.labels.derived("members", split)
        return made


def group(sets: LabelSets, key: Hashable, project: Callable[[Labels], Labels]) -> Groups:
    """Rows whose label sets become the same under `project`; `key` names it for the next time."""

    def make() -> Groups:
        found: dict[Labels, int] = {}
        rows = [found.setdefault(project(labels), len(found)) for labels in sets.rows]
        return Groups(np.array(rows, np.intp), LabelSets(list(found)))

    made: Groups = sets.derived(("group", key), make)
    return made


def keep(names: Iterable[str]) -> Callable[[Labels], Labels]:
    wanted = frozenset(names)
    return lambda labels: tuple(pair for pair in labels if pair[0] in wanted)


def drop(names: Iterable[str]) -> Callable[[Labels], Labels]:
    unwanted = frozenset(names)
    return lambda labels: tuple(pair for pair in labels if pair[0] not in unwanted)


def signatures(sets: LabelSets, on: bool, names: tuple[str, ...]) -> Groups:
    """The groups of series that `on(names)` or `ignoring(names)` takes for the same."""
    project = keep(names) if on else drop({*names, *META})
    return group(sets, ("signature", on, names), project)


def nameless(sets: LabelSets) -> LabelSets:
    """The same rows without what describes the metric."""
    without = drop(META)

    def make() -> LabelSets:
        return LabelSets([without(labels) for labels in sets.rows])

    made: LabelSets = sets.derived("nameless", make)
    return made


def mapped(sets: LabelSets, change: Callable[[Labels], Labels]) -> LabelSets:
    return LabelSets([change(labels) for labels in sets.rows])


def chosen(vector: Vector, rows: Index) -> Vector:
    """Some rows of it, in this order."""
    sets = LabelSets([vector.labels.rows[row] for row in rows.tolist()])
    return Vector(
        sets,
        vector.values[rows],
        None if vector.present is None else vector.present[rows],
        None if vector.nameless is None else vector.nameless[rows],
    )


def without_empty(vector: Vector) -> Vector:
    """Only the rows that have a value at some step."""
    if vector.present is None or (some := vector.present.any(axis=1)).all():
        return vector
    return chosen(vector, np.flatnonzero(some))


def merged(vector: Vector) -> Vector:
    """Rows with the same label set as one; QueryError where two of them have a value at the same step."""
    groups = group(vector.labels, "same", lambda labels: labels)
    if len(groups) == len(vector.labels):
        return vector
    present = vector.mask
    values = np.full((len(groups), present.shape[1]), np.nan)
    there = np.zeros(values.shape, np.bool_)
    lost = np.zeros(len(groups), np.bool_)
    for row, at in enumerate(groups.of_row.tolist()):
        if (there[at] & present[row]).any():
            raise QueryError("execution", SAME)
        values[at] = np.where(present[row], vector.values[row], values[at])
        there[at] |= present[row]
        lost[at] |= vector.nameless is not None and bool(vector.nameless[row])
    return Vector(groups.labels, values, there, lost if lost.any() else None)


def cleaned(vector: Vector) -> Vector:
    """The names that were to be lost are lost now, at the end of a query."""
    if vector.nameless is None or not vector.nameless.any():
        return vector
    if vector.nameless.all():
        sets = nameless(vector.labels)
    else:
        without = drop(META)
        pairs = zip(vector.labels.rows, vector.nameless, strict=True)
        sets = LabelSets([without(labels) if lost else labels for labels, lost in pairs])
    return merged(without_empty(Vector(sets, vector.values, vector.present)))


def losing_names(vector: Vector) -> Vector:
    lost = np.ones(len(vector.labels), np.bool_)
    return Vector(vector.labels, vector.values, vector.present, lost)


def shown(labels: Labels) -> str:
    """As errors write a label set: `{__name__="up", job="a"}`."""
    return "{" + ", ".join(f"{label(name)}={quoted(value)}" for name, value in labels) + "}"


def get(labels: Labels, name: str) -> str:
    return next((value for found, value in labels if found == name), "")
