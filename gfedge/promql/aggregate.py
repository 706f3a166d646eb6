"""Aggregations: many series to one per group, for all steps at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gfedge.arrays import np
from gfedge.promql import compensated, labels
from gfedge.promql.hashing import label_hash
from gfedge.promql.labels import Groups
from gfedge.promql.lexer import quoted
from gfedge.promql.numbers import format_value, general
from gfedge.promql.quantiles import quantile
from gfedge.promql.query import Query
from gfedge.promql.syntax import Aggregate, Expr
from gfedge.promql.types import Index, Labels, LabelSets, Mask, Values, Vector


def groups_of(sets: LabelSets, grouping: Sequence[str], without: bool) -> Groups:
    names = tuple(sorted(set(grouping)))
    project = labels.drop({*names, *labels.META}) if without else labels.keep(names)
    return labels.group(sets, ("by", without, names), project)


def aggregate(query: Query, node: Aggregate, vector: Vector, param: Values | str | None) -> Vector:
    """The aggregation of a vector; `param` is the string, or the number at each step."""
    if isinstance(param, str):
        return _count_values(query, node, vector, param)
    if param is not None:
        check_param(query, node, param)
    if not len(vector.labels):
        return vector
    query.spend(vector.values.size)
    groups = groups_of(vector.labels, node.grouping, node.without)
    if node.op in ("topk", "bottomk", "limitk", "limit_ratio"):
        assert param is not None
        chosen = _CHOICES[node.op](vector, groups, param)
        present = chosen if vector.present is None else chosen & vector.present
        return Vector(vector.labels, vector.values, present, vector.nameless)
    counts = _counts(vector, groups)
    with np.errstate(all="ignore"):
        if node.op == "quantile":
            assert param is not None
            values = _quantile(vector, groups, param)
        else:
            values = _REDUCTIONS[node.op](vector, groups, counts)
    some: Mask | None = None if vector.present is None or counts.all() else counts > 0
    return Vector(groups.labels, values, some, _nameless(vector, groups))


def _nameless(vector: Vector, groups: Groups) -> Mask | None:
    """A group loses its name where any of its series does."""
    if vector.nameless is None or not vector.nameless.any():
        return None
    return np.bincount(groups.of_row, vector.nameless, len(groups)) > 0


def _counts(vector: Vector, groups: Groups) -> Values:
    """Series with a value, [groups, steps]; [groups, 1] where all have one."""
    if vector.present is None:
        return np.bincount(groups.of_row, minlength=len(groups)).astype(np.float64)[:, None]
    order, starts = _runs(groups)
    ones = vector.present[order].astype(np.float64)
    return np.add.reduceat(ones, starts, axis=0)


def _runs(groups: Groups) -> tuple[Index, Index]:
    """Rows ordered by group, and where each group begins."""

    def make() -> tuple[Index, Index]:
        order = np.argsort(groups.of_row, kind="stable")
        return order, np.searchsorted(groups.of_row[order], np.arange(len(groups)))

    made: tuple[Index, Index] = groups.labels.derived("runs", make)
    return made


def _filled(vector: Vector, value: float) -> Values:
    return (
        vector.values if vector.present is None else np.where(vector.present, vector.values, value)
    )


def _tree(values: Values, groups: Groups) -> compensated.Sum:
    order, levels = groups.plan
    return compensated.grouped(values, order, levels, len(groups))


def _sum(vector: Vector, groups: Groups, counts: Values) -> Values:
    return _tree(_filled(vector, 0.0), groups).total


def _average(vector: Vector, groups: Groups, counts: Values) -> Values:
    values = _filled(vector, 0.0)
    found = _tree(values, groups).divided(counts)
    if not np.isfinite(found).all():  # the sum is too large for a float, the mean may not be
        finite = ~_any(~np.isfinite(values), groups)
        share = values / np.broadcast_to(counts, (len(groups), values.shape[1]))[groups.of_row]
        found = np.where(~np.isfinite(found) & finite, _tree(share, groups).total, found)
    return found


def _any(mask: Mask, groups: Groups) -> Mask:
    order, starts = _runs(groups)
    return np.logical_or.reduceat(mask[order], starts, axis=0)


def _variance(vector: Vector, groups: Groups, counts: Values) -> Values:
    mean = _average(vector, groups, counts)
    away = vector.values - mean[groups.of_row]
    if vector.present is not None:
        away = np.where(vector.present, away, 0.0)
    rest = _tree(away, groups).divided(counts)
    return _tree(away * away, groups).divided(counts) - rest * rest


def _deviation(vector: Vector, groups: Groups, counts: Values) -> Values:
    return np.sqrt(_variance(vector, groups, counts))


def _smallest(vector: Vector, groups: Groups, counts: Values) -> Values:
    order, starts = _runs(groups)
    return np.fmin.reduceat(_filled(vector, np.nan)[order], starts, axis=0)


def _largest(vector: Vector, groups: Groups, counts: Values) -> Values:
    order, starts = _runs(groups)
    return np.fmax.reduceat(_filled(vector, np.nan)[order], starts, axis=0)


def _count(vector: Vector, groups: Groups, counts: Values) -> Values:
    return np.broadcast_to(counts, (len(groups), vector.values.shape[1]))


def _group(vector: Vector, groups: Groups, counts: Values) -> Values:
    return np.ones((len(groups), vector.values.shape[1]))


_REDUCTIONS: dict[str, Callable[[Vector, Groups, Values], Values]] = {
    "sum": _sum,
    "avg": _average,
    "min": _smallest,
    "max": _largest,
    "count": _count,
    "group": _group,
    "stddev": _deviation,
    "stdvar": _variance,
}


def _quantile(vector: Vector, groups: Groups, fraction: Values) -> Values:
    out = np.empty((len(groups), vector.values.shape[1]))
    for number, rows in enumerate(groups.members):
        present = None if vector.present is None else vector.present[rows]
        out[number] = quantile(vector.values[rows], present, fraction)
    return out


def check_param(query: Query, node: Aggregate, param: Values) -> None:
    """Errors and warnings about the first argument, whether or not there are series."""
    assert node.param is not None
    if node.op in ("topk", "bottomk", "limitk"):
        if np.isnan(param).any():
            raise query.fail("Parameter value is NaN")
        if (np.abs(param) > 9.2e18).any():
            shown = general(float(param[np.abs(param) > 9.2e18][0]))
            raise query.fail(f"Scalar value {shown} overflows int64")
    elif node.op == "limit_ratio":
        if np.isnan(param).any():
            raise query.fail("Ratio value is NaN")
        for value in param[np.abs(param) > 1].tolist()[:1]:
            capped = "1" if value > 1 else "-1"
            query.warn(
                f"ratio value should be between -1 and 1, got {general(value)}, capping to {capped}",
                node.param,
            )
    elif node.op == "quantile":
        quantile_warning(query, param, node.param)


def quantile_warning(query: Query, fractions: Values, at: Expr) -> None:
    for value in fractions[~((fractions >= 0) & (fractions <= 1))].tolist()[:1]:
        query.warn(f"quantile value should be between 0 and 1, got {general(value)}", at)


def _ranked(vector: Vector, groups: Groups, k: Values, sign: float) -> Mask:
    """The k largest of each group at each step; NaN comes last."""
    out = np.zeros(vector.values.shape, np.bool_)
    with np.errstate(invalid="ignore"):
        keys = -sign * vector.values
    for rows in groups.members:
        key = keys[rows]
        if vector.present is not None:
            key = np.where(vector.present[rows], key, np.nan)
            # What is missing comes after what is NaN.
            order = (
                np.lexsort((~vector.present[rows], key), axis=0) if np.isnan(key).any() else None
            )
        else:
            order = None
        if order is None:
            order = np.argsort(key, axis=0, kind="stable")
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.arange(len(rows))[:, None], axis=0)
        out[rows] = rank < k
    return out


def _top(vector: Vector, groups: Groups, k: Values) -> Mask:
    return _ranked(vector, groups, np.trunc(k), 1.0)


def _bottom(vector: Vector, groups: Groups, k: Values) -> Mask:
    return _ranked(vector, groups, np.trunc(k), -1.0)


def _first(vector: Vector, groups: Groups, k: Values) -> Mask:
    """Any k of each group: the first ones that have a value."""
    present, out = vector.mask, np.zeros(vector.values.shape, np.bool_)
    for rows in groups.members:
        out[rows] = np.cumsum(present[rows], axis=0) <= np.trunc(k)
    return out


def _ratio(vector: Vector, groups: Groups, ratio: Values) -> Mask:
    """The series whose hash is in the first part (below 0: the last part) of all hashes: the same ones each time."""

    def make() -> Values:
        return np.array([label_hash(row) / 2**64 for row in vector.labels.rows])[:, None]

    place: Values = vector.labels.derived("hash", make)
    return np.where(ratio >= 0, place < ratio, place >= 1.0 + ratio)


_CHOICES: dict[str, Callable[[Vector, Groups, Values], Mask]] = {
    "topk": _top,
    "bottomk": _bottom,
    "limitk": _first,
    "limit_ratio": _ratio,
}


def _count_values(query: Query, node: Aggregate, vector: Vector, name: str) -> Vector:
    """How many series of a group have each value; the value becomes a label."""
    if not name or any(0xDC80 <= ord(char) <= 0xDCFF for char in name):
        raise query.fail(f"invalid label name {quoted(name)}")
    grouping = node.grouping if node.without else tuple(g for g in node.grouping if g != name)
    groups = groups_of(vector.labels, grouping, node.without)
    mask, found = vector.mask, dict[Labels, Values]()
    for row, number in enumerate(groups.of_row.tolist()):
        query.check()
        base = tuple(pair for pair in groups.labels.rows[number] if pair[0] != name)
        for step in np.flatnonzero(mask[row]).tolist():
            value = format_value(float(vector.values[row, step]))
            key = tuple(sorted((*base, (name, value))))
            if key not in found:
                query.spend(len(found) * mask.shape[1])
                found[key] = np.zeros(mask.shape[1])
            found[key][step] += 1
    values = np.array(list(found.values())).reshape(len(found), mask.shape[1])
    return Vector(LabelSets(list(found)), values, values > 0)
