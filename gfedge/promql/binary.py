"""Operators: between numbers, between a vector and a number, and between vectors whose series match."""

from __future__ import annotations

from collections.abc import Callable

from gfedge.arrays import np
from gfedge.promql import labels
from gfedge.promql.labels import Groups
from gfedge.promql.query import Query
from gfedge.promql.syntax import COMPARISONS, Binary, Matching
from gfedge.promql.types import Index, Labels, LabelSets, Mask, QueryError, Values, Vector

OPERATIONS = {
    "+": "add",
    "-": "subtract",
    "*": "multiply",
    "/": "divide",
    "%": "fmod",
    "^": "float_power",
    "atan2": "arctan2",
    "==": "equal",
    "!=": "not_equal",
    ">": "greater",
    "<": "less",
    ">=": "greater_equal",
    "<=": "less_equal",
}
"""numpy's functions."""


def operate(op: str, left: Values, right: Values) -> Values:
    with np.errstate(all="ignore"):
        found: Values = getattr(np, OPERATIONS[op])(left, right)
        return found


def scalars(node: Binary, left: Values, right: Values) -> Values:
    return operate(node.op, left, right).astype(np.float64)


def with_scalar(node: Binary, vector: Vector, scalar: Values, *, swapped: bool) -> Vector:
    """A vector and a number at each step; `swapped` where the number stands on the left."""
    sides = (scalar, vector.values) if swapped else (vector.values, scalar)
    found = operate(node.op, *sides)
    if node.op in COMPARISONS and not node.returns_bool:
        kept = found.astype(np.bool_)
        present = kept if vector.present is None else kept & vector.present
        return Vector(vector.labels, vector.values, present, vector.nameless)
    return labels.losing_names(
        Vector(vector.labels, found.astype(np.float64), vector.present, vector.nameless)
    )


def sets(query: Query, node: Binary, left: Vector, right: Vector) -> Vector:
    """and, or, unless: which series are there, by their signatures at each step."""
    on, names = node.matching.on, node.matching.labels
    one, other = (
        labels.signatures(left.labels, on, names),
        labels.signatures(right.labels, on, names),
    )
    query.spend(left.values.size + right.values.size)
    if node.op == "or":
        return _union(left, right, _seen_by(right, other, left, one))
    seen = _seen_by(left, one, right, other)
    present = left.mask & (seen if node.op == "and" else ~seen)
    return Vector(left.labels, left.values, present, left.nameless)


def _seen_by(vector: Vector, mine: Groups, others: Vector, theirs: Groups) -> Mask:
    """For each row and step: whether a series of the other side has the same signature."""
    number = {row: at for at, row in enumerate(theirs.labels.rows)}
    seen = np.zeros((len(theirs) + 1, others.values.shape[1]), np.bool_)
    np.logical_or.at(seen, theirs.of_row, others.mask)
    partner = np.array([number.get(row, len(theirs)) for row in mine.labels.rows], np.intp)
    found: Mask = seen[partner[mine.of_row]]
    return found


def _union(left: Vector, right: Vector, hidden: Mask) -> Vector:
    rows = LabelSets([*left.labels.rows, *right.labels.rows])
    values = np.concatenate((left.values, right.values))
    present = np.concatenate((left.mask, right.mask & ~hidden))
    lost = [
        np.zeros(len(v.labels), np.bool_) if v.nameless is None else v.nameless
        for v in (left, right)
    ]
    return labels.merged(labels.without_empty(Vector(rows, values, present, np.concatenate(lost))))


def vectors(query: Query, node: Binary, left: Vector, right: Vector) -> Vector:
    """An operator between the series of two vectors that match."""
    if node.matching.group == "right":
        found = _Join(query, node, right, left, flipped=True)
    else:
        found = _Join(query, node, left, right, flipped=False)
    return found.result()


class _Join:
    """The `many` side keeps its labels; each of its series has at most one partner on the `one` side."""

    def __init__(
        self, query: Query, node: Binary, many: Vector, one: Vector, *, flipped: bool
    ) -> None:
        self.query, self.node, self.matching = query, node, node.matching
        self.flipped = flipped
        on, names = self.matching.on, self.matching.labels
        self.many, self.one = many, one
        self.many_groups = labels.signatures(many.labels, on, names)
        self.one_groups = labels.signatures(one.labels, on, names)
        number = {row: at for at, row in enumerate(self.one_groups.labels.rows)}
        rows = self.many_groups.labels.rows
        self.partner = np.array([number.get(row, -1) for row in rows], np.intp)

    def result(self) -> Vector:
        self._check_unique(self.one, self.one_groups, "right" if not self.flipped else "left")
        many, one = self._pairs()
        self.query.spend(len(many) * self.many.values.shape[1])
        made = self._combined(many, one)
        if self.matching.filled:
            made = self._with_filled(made)
        return labels.merged(labels.without_empty(made))

    def _check_unique(self, vector: Vector, groups: Groups, side: str) -> None:
        """At no step may two series of the `one` side have a signature that the other side has too."""
        if len(groups) == len(vector.labels):
            return
        asked = self.many.mask.any(axis=0) | self.matching.filled
        for number, rows in enumerate(groups.members):
            if len(rows) < 2:
                continue
            there = vector.mask[rows] & asked
            several = np.flatnonzero(there.sum(axis=0) > 1)
            if len(several):
                twice = rows[there[:, several[0]]]
                raise self._duplicates(vector, groups.labels.rows[number], twice.tolist(), side)

    def _duplicates(
        self, vector: Vector, signature: Labels, rows: list[int], side: str
    ) -> QueryError:
        twice = sorted(vector.labels.rows[row] for row in rows)[:2]
        shown = ", ".join(labels.shown(row) for row in twice)
        return self.query.fail(
            f"found duplicate series for the match group {labels.shown(signature)} on the {side} hand-side of the"
            f" operation: [{shown}];many-to-many matching not allowed: matching labels must be unique on one side"
        )

    def _pairs(self) -> tuple[Index, Index]:
        """The rows of both sides that meet; several where the partner changes in time."""
        partner = self.partner[self.many_groups.of_row]
        if len(self.one_groups) == len(self.one.labels):
            many = np.flatnonzero(partner >= 0)
            return many, partner[many]
        members = self.one_groups.members
        found = [
            (row, other)
            for row, number in enumerate(partner.tolist())
            if number >= 0
            for other in members[number].tolist()
        ]
        pairs = np.array(found, np.intp).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    def _combined(self, many: Index, one: Index) -> Vector:
        present = _both(self.many, many, self.one, one)
        ours, theirs = self.many.values[many], self.one.values[one]
        self._check_many(many, present)
        rows = self._labels(many, one)
        lost = None if self.many.nameless is None else self.many.nameless[many]
        return self._operated(rows, ours, theirs, present, lost)

    def _operated(
        self, rows: LabelSets, ours: Values, theirs: Values, present: Mask | None, lost: Mask | None
    ) -> Vector:
        """The values; a comparison keeps those of its left side where it holds."""
        left, right = (theirs, ours) if self.flipped else (ours, theirs)
        values = operate(self.node.op, left, right)
        if self.node.op not in COMPARISONS:
            return Vector(rows, values, present)
        if self.node.returns_bool:
            every = np.ones(len(rows), np.bool_)
            return Vector(rows, values.astype(np.float64), present, every)
        kept = values.astype(np.bool_)
        return Vector(rows, left, kept if present is None else kept & present, lost)

    def _check_many(self, many: Index, present: Mask | None) -> None:
        """Without group_left and group_right both sides must be unique."""
        if self.matching.group or len(self.many_groups) == len(self.many.labels):
            return
        counts = np.zeros((len(self.many_groups), self.many.values.shape[1]), np.intp)
        there = np.ones((len(many), counts.shape[1]), np.intp) if present is None else present
        np.add.at(counts, self.many_groups.of_row[many], there)
        if (counts > 1).any():
            raise self.query.fail(
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
            )

    def _labels(self, many: Index, one: Index) -> LabelSets:
        changed, matching = self.node.op not in COMPARISONS, self.matching
        key = ("result", changed, matching.on, matching.labels, matching.group)
        sets: LabelSets = self.many.labels.derived(
            key, lambda: labels.mapped(self.many.labels, _projection(changed, matching))
        )
        if not matching.include:
            whole = len(many) == len(sets)
            return sets if whole else LabelSets([sets.rows[row] for row in many.tolist()])
        pairs = zip(many.tolist(), one.tolist(), strict=True)
        rows = [
            included(sets.rows[row], self.one.labels.rows[other], matching.include)
            for row, other in pairs
        ]
        self._check_included(rows, many, one)
        return LabelSets(rows)

    def _check_included(self, rows: list[Labels], many: Index, one: Index) -> None:
        if len(set(rows)) == len(rows):
            return
        there = _both(self.many, many, self.one, one)
        counts: dict[Labels, Values] = {}
        for number, row in enumerate(rows):
            mask = np.ones(self.many.values.shape[1]) if there is None else there[number]
            counts[row] = counts.get(row, np.zeros(len(mask))) + mask
            if (counts[row] > 1).any():
                raise self.query.fail(
                    "multiple matches for labels: grouping labels must ensure unique matches"
                )

    # -- fill: what one side lacks has a stated value

    def _with_filled(self, made: Vector) -> Vector:
        fill_many, fill_one = self.matching.fill_left, self.matching.fill_right
        if self.flipped:
            fill_many, fill_one = fill_one, fill_many
        pieces = [made]
        if fill_one is not None:
            pieces.append(
                self._alone(self.many, self.many_groups, self.one, self.one_groups, fill_one, True)
            )
        if fill_many is not None:
            pieces.append(
                self._alone(
                    self.one, self.one_groups, self.many, self.many_groups, fill_many, False
                )
            )
        return _stacked([labels.without_empty(piece) for piece in pieces])

    def _alone(
        self, mine: Vector, groups: Groups, other: Vector, theirs: Groups, value: float, many: bool
    ) -> Vector:
        """The series of one side at the steps where the other side has no partner."""
        present = mine.mask & ~_seen_by(mine, groups, other, theirs)
        filler = np.full(mine.values.shape, value)
        if many:
            changed = self.node.op not in COMPARISONS
            project = _projection(changed, self.matching)
            sets = labels.mapped(mine.labels, project)
            rows = [included(row, (), self.matching.include) for row in sets.rows]
            return self._operated(LabelSets(rows), mine.values, filler, present, mine.nameless)
        rows = [groups.labels.rows[number] for number in groups.of_row.tolist()]
        if self.matching.include:
            pairs = zip(rows, mine.labels.rows, strict=True)
            rows = [included(row, one, self.matching.include) for row, one in pairs]
        return self._operated(LabelSets(rows), filler, mine.values, present, None)


def _both(left: Vector, rows: Index, right: Vector, others: Index) -> Mask | None:
    if left.present is None and right.present is None:
        return None
    if left.present is None:
        return right.mask[others]
    return (
        left.present[rows] if right.present is None else left.present[rows] & right.present[others]
    )


def _projection(changed: bool, matching: Matching) -> Callable[[Labels], Labels]:
    """What is left of the labels of the `many` side."""
    if matching.group:
        return labels.drop(labels.META if changed else ())
    if matching.on:
        return labels.keep(set(matching.labels) - (labels.META if changed else set()))
    return labels.drop({*matching.labels, *(labels.META if changed else ())})


def included(row: Labels, other: Labels, names: tuple[str, ...]) -> Labels:
    """The labels with those that group_left or group_right takes from the other side."""
    found = dict(row)
    for name in names:
        value = labels.get(other, name)
        found.pop(name, None)
        if value:
            found[name] = value
    return tuple(sorted(found.items()))


def _stacked(pieces: list[Vector]) -> Vector:
    rows = LabelSets([row for piece in pieces for row in piece.labels.rows])
    lost = [np.zeros(len(p.labels), np.bool_) if p.nameless is None else p.nameless for p in pieces]
    return Vector(
        rows,
        np.concatenate([piece.values for piece in pieces]),
        np.concatenate([piece.mask for piece in pieces]),
        np.concatenate(lost),
    )
