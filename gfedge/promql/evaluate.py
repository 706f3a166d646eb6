"""The tree walked: every expression at all steps at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from gfedge.arrays import np
from gfedge.promql import (
    aggregate,
    binary,
    elementwise,
    histogram,
    info,
    labels,
    ranges,
    relabel,
    selection,
)
from gfedge.promql.checks import value_type
from gfedge.promql.query import Query, Steps
from gfedge.promql.selection import RangeVector
from gfedge.promql.syntax import (
    SET_OPERATORS,
    Aggregate,
    Binary,
    Call,
    Expr,
    Number,
    Paren,
    Range,
    Selector,
    Subquery,
    Text,
    Unary,
    unwrapped,
)
from gfedge.promql.types import Aligned, Labels, LabelSets, Mask, Values, Vector

Value: TypeAlias = "Vector | Values | str"
"""A vector, a number at each step, or a string."""


class Evaluation:
    """One query's walk over its tree."""

    def __init__(self, query: Query) -> None:
        self.query = query

    def value(self, expr: Expr, steps: Steps) -> Value:
        self.query.check()
        match expr:
            case Number():
                return np.full(steps.count, expr.value)
            case Text():
                return expr.value
            case Selector():
                return selection.instant(self.query, expr, steps)
            case Paren():
                return self.value(expr.expr, steps)
            case Unary():
                return self._unary(expr, steps)
            case Binary():
                return self._binary(expr, steps)
            case Aggregate():
                return self._aggregate(expr, steps)
            case Call():
                return self._call(expr, steps)
            case _:
                raise self.query.fail(f"a {value_type(expr)} cannot stand here")

    def vector(self, expr: Expr, steps: Steps) -> Vector:
        found = self.value(expr, steps)
        assert isinstance(found, Vector)
        return found

    def scalar(self, expr: Expr, steps: Steps) -> Values:
        found = self.value(expr, steps)
        assert isinstance(found, np.ndarray)
        return found

    def string(self, expr: Expr) -> str:
        found = unwrapped(expr)
        assert isinstance(found, Text)
        return found.value

    # -- operators

    def _unary(self, expr: Unary, steps: Steps) -> Value:
        found = self.value(expr.expr, steps)
        if expr.op == "+" or isinstance(found, str):
            return found
        if isinstance(found, Vector):
            return labels.losing_names(Vector(found.labels, -found.values, found.present))
        return -found

    def _binary(self, expr: Binary, steps: Steps) -> Value:
        left, right = self.value(expr.left, steps), self.value(expr.right, steps)
        self.query.check()
        if isinstance(left, Vector) and isinstance(right, Vector):
            work = binary.sets if expr.op in SET_OPERATORS else binary.vectors
            return work(self.query, expr, left, right)
        assert not isinstance(left, str)
        assert not isinstance(right, str)
        if isinstance(left, Vector):
            return binary.with_scalar(expr, left, _number(right), swapped=False)
        if isinstance(right, Vector):
            return binary.with_scalar(expr, right, left, swapped=True)
        return binary.scalars(expr, left, right)

    def _aggregate(self, expr: Aggregate, steps: Steps) -> Vector:
        param: Values | str | None = None
        if expr.op == "count_values":
            assert expr.param is not None
            param = self.string(expr.param)
        elif expr.param is not None:
            param = self.scalar(expr.param, steps)
        found = aggregate.aggregate(self.query, expr, self.vector(expr.expr, steps), param)
        if expr.op in ("topk", "bottomk") and steps.step == 0:
            return _in_order(found, expr)
        return found

    # -- ranges

    def windows(self, expr: Expr, steps: Steps, pinned: bool, function: str = "") -> RangeVector:
        expr = unwrapped(expr)
        if isinstance(expr, Range):
            return selection.ranged(self.query, expr, steps, pinned=pinned, function=function)
        assert isinstance(expr, Subquery)
        return self._subquery(expr, steps, pinned)

    def _subquery(self, expr: Subquery, steps: Steps, pinned: bool) -> RangeVector:
        """The inner expression at its own steps, which are multiples of the resolution."""
        at = selection.moments(self.query, expr, steps)
        if not pinned and len(at) != steps.count:
            at = np.full(steps.count, at[0])
        milliseconds = selection.length(self.query, expr.duration)
        step = self.query.subquery_step
        if expr.step is not None:
            step = selection.length(self.query, expr.step)
        earliest = int(at.min()) - milliseconds
        start = -(-earliest // step) * step
        if start <= earliest:
            start += step
        inner = Steps(start, int(at.max()), step)
        if inner.end < inner.start:
            return RangeVector(LabelSets([]), [], len(at), milliseconds)
        self.query.spend(inner.count)
        found = self.vector(expr.expr, inner)
        block = Aligned(found.labels, inner.times, found.values, found.present)
        return selection.windowed(self.query, [block], at, milliseconds, found.nameless)

    # -- functions

    def _call(self, expr: Call, steps: Steps) -> Value:
        name = expr.function
        if name == "absent_over_time":
            return self._absent(expr, self._any_sample(expr, steps))
        if name in ranges.FUNCTIONS:
            numbers = [self.scalar(a, steps) for a in expr.args if value_type(a) == "scalar"]
            windows = partial(self.windows, function=name)
            return ranges.call(self.query, expr, steps, windows, numbers)
        if name in elementwise.MATHS:
            return self._each(expr, steps, getattr(np, elementwise.MATHS[name]))
        if name in elementwise.DATES:
            return self._dated(expr, steps)
        return _FUNCTIONS[name](self, expr, steps)

    def _each(self, expr: Call, steps: Steps, work: Callable[[Values], Values]) -> Vector:
        found = self.vector(expr.args[0], steps)
        with np.errstate(all="ignore"):
            values = work(found.values)
        return labels.losing_names(Vector(found.labels, values, found.present))

    def _dated(self, expr: Call, steps: Steps) -> Vector:
        if not expr.args:
            return _single(elementwise.dated(expr.function, steps.times / 1000))
        return self._each(expr, steps, lambda values: elementwise.dated(expr.function, values))

    def _any_sample(self, expr: Call, steps: Steps) -> Mask:
        found = self.windows(expr.args[0], steps, False)
        there = np.zeros(steps.count, np.bool_)
        for _, windows in found.windows:
            there |= windows.full(windows.counts > 0).any(axis=0)
        return there

    def _absent(self, expr: Call, there: Mask) -> Vector:
        """1 with the labels that the selector asked for, at the steps without any series."""
        present = ~there[None, :]
        row = _asked(unwrapped(expr.args[0]))
        return Vector(LabelSets([row]), np.ones(present.shape), present)

    def absent(self, expr: Call, steps: Steps) -> Vector:
        found = self.vector(expr.args[0], steps)
        return self._absent(expr, np.logical_or.reduce(found.mask, axis=0))

    def scalar_of(self, expr: Call, steps: Steps) -> Values:
        """The value of the only series; NaN where there is none or several."""
        found = self.vector(expr.args[0], steps)
        mask = found.mask
        only = np.where(mask, found.values, 0.0).sum(axis=0) if len(mask) else np.zeros(steps.count)
        return np.where(mask.sum(axis=0) == 1, only, np.nan)

    def timestamp(self, expr: Call, steps: Steps) -> Vector:
        """When the samples were taken; of what is computed, the time of the step."""
        inner = unwrapped(expr.args[0])
        if isinstance(inner, Selector):
            found = selection.instant(self.query, inner, steps, when=True)
        else:
            found = self.vector(inner, steps)
            times = np.broadcast_to(steps.times / 1000, found.values.shape)
            found = Vector(found.labels, times, found.present)
        return labels.losing_names(found)

    def round(self, expr: Call, steps: Steps) -> Vector:
        nearest = self.scalar(expr.args[1], steps) if len(expr.args) > 1 else np.ones(steps.count)
        return self._each(expr, steps, lambda values: elementwise.rounded(values, nearest))

    def clamp(self, expr: Call, steps: Steps) -> Vector:
        numbers = [self.scalar(arg, steps) for arg in expr.args[1:]]
        low, high = np.full(steps.count, -np.inf), np.full(steps.count, np.inf)
        if expr.function == "clamp":
            low, high = numbers
        elif expr.function == "clamp_min":
            low = numbers[0]
        else:
            high = numbers[0]
        found = self.vector(expr.args[0], steps)
        return labels.losing_names(elementwise.clamped(found, low, high))

    def quantile(self, expr: Call, steps: Steps) -> Vector:
        fraction, at = self.scalar(expr.args[0], steps), expr.args[1]
        found = self.vector(at, steps)
        asked = histogram.Quantile(fraction)
        made = histogram.Histograms(self.query, found, at).each(asked)
        aggregate.quantile_warning(self.query, fraction, expr.args[0])
        histogram.note_forced(self.query, asked, found, at)
        return made

    def quantiles(self, expr: Call, steps: Steps) -> Vector:
        fractions = [self.scalar(arg, steps) for arg in expr.args[2:]]
        for fraction, arg in zip(fractions, expr.args[2:], strict=True):
            aggregate.quantile_warning(self.query, fraction, arg)
        name, at = self.string(expr.args[1]), expr.args[0]
        return histogram.quantiles(self.query, self.vector(at, steps), fractions, name, at)

    def fraction(self, expr: Call, steps: Steps) -> Vector:
        bounds = [self.scalar(arg, steps) for arg in expr.args[:2]]
        at = expr.args[2]
        histograms = histogram.Histograms(self.query, self.vector(at, steps), at)
        return histograms.each(histogram.Fraction(*bounds))

    def native(self, expr: Call, steps: Steps) -> Vector:
        """Functions of native histograms find nothing here."""
        found = self.vector(expr.args[0], steps)
        if len(found.labels):
            self.query.info(
                f"native histograms are not supported: {expr.function}() has no result", expr
            )
        return Vector(LabelSets([]), np.empty((0, steps.count)))

    def sort(self, expr: Call, steps: Steps) -> Vector:
        found = self.vector(expr.args[0], steps)
        if steps.step:
            return found
        return relabel.by_value(found, descending=expr.function == "sort_desc")

    def sort_by_label(self, expr: Call, steps: Steps) -> Vector:
        found = self.vector(expr.args[0], steps)
        if steps.step:
            return found
        names = tuple(self.string(arg) for arg in expr.args[1:])
        return relabel.ordered(found, names, descending=expr.function == "sort_by_label_desc")

    def label_replace(self, expr: Call, steps: Steps) -> Vector:
        target, template, source, pattern = (self.string(arg) for arg in expr.args[1:])
        found = self.vector(expr.args[0], steps)
        return relabel.replace(self.query, found, target, template, source, pattern)

    def label_join(self, expr: Call, steps: Steps) -> Vector:
        target, separator, *sources = (self.string(arg) for arg in expr.args[1:])
        found = self.vector(expr.args[0], steps)
        return relabel.join(self.query, found, target, separator, tuple(sources))

    def info(self, expr: Call, steps: Steps) -> Vector:
        wanted = unwrapped(expr.args[1]) if len(expr.args) > 1 else None
        assert wanted is None or isinstance(wanted, Selector)
        return info.enriched(
            self.query, self.vector(expr.args[0], steps), expr.args[0], wanted, steps
        )

    def constant(self, expr: Call, steps: Steps) -> Values:
        """What depends on the query alone."""
        whole = self.query.steps
        seconds = {
            "pi": np.pi,
            "start": whole.start / 1000,
            "end": whole.end / 1000,
            "step": whole.step / 1000,
            "range": (whole.end - whole.start) / 1000,
        }
        return np.full(steps.count, seconds[expr.function])

    def extreme_of(self, expr: Call, steps: Steps) -> Values:
        work = np.minimum if expr.function == "min_of" else np.maximum
        return work(self.scalar(expr.args[0], steps), self.scalar(expr.args[1], steps))


_FUNCTIONS: dict[str, Callable[[Evaluation, Call, Steps], Value]] = {
    "time": lambda _, expr, steps: steps.times / 1000,
    "vector": lambda run, expr, steps: _single(run.scalar(expr.args[0], steps)),
    "scalar": Evaluation.scalar_of,
    "absent": Evaluation.absent,
    "timestamp": Evaluation.timestamp,
    "round": Evaluation.round,
    **dict.fromkeys(("clamp", "clamp_min", "clamp_max"), Evaluation.clamp),
    "histogram_quantile": Evaluation.quantile,
    "histogram_quantiles": Evaluation.quantiles,
    "histogram_fraction": Evaluation.fraction,
    **dict.fromkeys(
        (f"histogram_{what}" for what in ("avg", "count", "sum", "stddev", "stdvar")),
        Evaluation.native,
    ),
    **dict.fromkeys(("sort", "sort_desc"), Evaluation.sort),
    **dict.fromkeys(("sort_by_label", "sort_by_label_desc"), Evaluation.sort_by_label),
    "label_replace": Evaluation.label_replace,
    "label_join": Evaluation.label_join,
    "info": Evaluation.info,
    **dict.fromkeys(("pi", "start", "end", "step", "range"), Evaluation.constant),
    **dict.fromkeys(("min_of", "max_of"), Evaluation.extreme_of),
}


def _single(values: Values) -> Vector:
    return Vector(LabelSets([()]), values[None, :])


def _number(value: Value) -> Values:
    assert isinstance(value, np.ndarray)
    return value


def _in_order(found: Vector, expr: Aggregate) -> Vector:
    """An instant query's topk: group by group, the largest first."""
    kept = labels.without_empty(found)
    groups = aggregate.groups_of(kept.labels, expr.grouping, expr.without)
    sign = -1.0 if expr.op == "topk" else 1.0
    order = np.lexsort((sign * kept.values[:, 0], groups.of_row))
    return labels.chosen(kept, order)


def _asked(expr: Expr) -> Labels:
    """The labels that a selector asks for by equality, each once."""
    selector = expr.selector if isinstance(expr, Range) else expr
    if not isinstance(selector, Selector):
        return ()
    names = [m.name for m in selector.matchers]
    return tuple(
        sorted(
            (m.name, m.value)
            for m in selector.matchers
            if m.op == "=" and m.value and m.name not in labels.META and names.count(m.name) == 1
        )
    )
