"""Calls of functions that take a range vector."""

from __future__ import annotations

from collections.abc import Callable

from gfedge.arrays import np
from gfedge.promql import overtime, rates, selection
from gfedge.promql.aggregate import quantile_warning
from gfedge.promql.checks import value_type
from gfedge.promql.lexer import quoted
from gfedge.promql.query import Query, Steps
from gfedge.promql.selection import RangeVector
from gfedge.promql.signatures import ANCHORED, SMOOTHED
from gfedge.promql.syntax import Call, Expr, Range, unwrapped
from gfedge.promql.types import NAME, LabelSets, Values, Vector
from gfedge.promql.windows import Windows

KERNELS: dict[str, overtime.Kernel] = {
    "avg_over_time": overtime.average,
    "sum_over_time": overtime.total,
    "min_over_time": overtime.smallest,
    "max_over_time": overtime.largest,
    "count_over_time": overtime.count,
    "last_over_time": overtime.last,
    "first_over_time": overtime.first,
    "present_over_time": overtime.present,
    "stddev_over_time": overtime.deviation,
    "stdvar_over_time": overtime.variance,
    "mad_over_time": overtime.median_deviation,
    "ts_of_min_over_time": overtime.time_of_smallest,
    "ts_of_max_over_time": overtime.time_of_largest,
    "ts_of_last_over_time": overtime.last_time,
    "ts_of_first_over_time": overtime.first_time,
    "deriv": overtime.slope,
    "changes": overtime.changes,
    "resets": overtime.resets,
    "irate": lambda windows: rates.instant(windows, counter=True, per_second=True),
    "idelta": lambda windows: rates.instant(windows, counter=False, per_second=False),
    "rate": lambda windows: rates.extrapolated(windows, counter=True, per_second=True),
    "increase": lambda windows: rates.extrapolated(windows, counter=True, per_second=False),
    "delta": lambda windows: rates.extrapolated(windows, counter=False, per_second=False),
}
_PARAMETRIC = {"quantile_over_time", "predict_linear", "double_exponential_smoothing"}
FUNCTIONS = KERNELS.keys() | _PARAMETRIC | {"absent_over_time"}
_NAMED = {"last_over_time", "first_over_time"}
_COUNTERS = ("_total", "_sum", "_count", "_bucket")

Subvector = Callable[[Expr, Steps, bool], RangeVector]
"""The windows of a range argument; the last argument says whether a pinned one stays a single column."""


def call(
    query: Query, node: Call, steps: Steps, windows_of: Subvector, numbers: list[Values]
) -> Vector:
    """The function over each window; `numbers` are its scalar arguments at each step."""
    at = next(arg for arg in node.args if value_type(arg) == "range vector")
    _check_extent(query, node.function, unwrapped(at))
    found = windows_of(unwrapped(at), steps, not numbers)
    kernel = _kernel(query, node, unwrapped(at), steps, numbers)
    pieces = []
    for part, windows in found.windows:
        query.check()
        values, present = kernel(windows)
        pieces.append((part, values, None if present.all() else present))
    values, there = selection.assembled(pieces, len(found.labels), found.columns)
    made = selection.widened(Vector(found.labels, values, there, found.nameless), steps)
    if node.function in ("rate", "increase"):
        _note_counters(query, made, at)
    if node.function in _NAMED:
        return made
    lost = np.ones(len(made.labels), np.bool_)
    return Vector(made.labels, made.values, made.present, lost)


def _check_extent(query: Query, function: str, at: Expr) -> None:
    extent = at.selector.extent if isinstance(at, Range) else ""
    allowed = {"anchored": ANCHORED, "smoothed": SMOOTHED}.get(extent, (function,))
    if function not in allowed:
        names = ", ".join(allowed)
        raise query.fail(f"{extent} modifier can only be used with: {names} - not with {function}")


def _kernel(
    query: Query, node: Call, at: Expr, steps: Steps, numbers: list[Values]
) -> overtime.Kernel:
    match node.function:
        case "quantile_over_time":
            return _quantiles(query, node, numbers[0])
        case "predict_linear":
            return lambda windows: overtime.predict(windows, steps.times, numbers[0])
        case "double_exponential_smoothing":
            _check_factor(query, "smoothing", numbers[0])
            _check_factor(query, "trend", numbers[1])
            return lambda windows: overtime.smoothing(windows, numbers[0], numbers[1])
    if isinstance(at, Range) and at.selector.extent:
        return _extended(query, node.function, smoothed=at.selector.extent == "smoothed")
    return KERNELS[node.function]


def _quantiles(query: Query, node: Call, fractions: Values) -> overtime.Kernel:
    def kernel(windows: Windows) -> overtime.Answer:
        values, present = overtime.quantiles(windows, fractions)
        if present.any():
            quantile_warning(query, fractions, node.args[0])
        return values, present

    return kernel


def _check_factor(query: Query, what: str, factors: Values) -> None:
    bad = factors[~((factors > 0) & (factors < 1))]
    if len(bad):
        short = "sf" if what == "smoothing" else "tf"
        raise query.fail(f"invalid {what} factor. Expected: 0 < {short} < 1, got: {bad[0]:f}")


def _extended(query: Query, function: str, *, smoothed: bool) -> overtime.Kernel:
    lookback = query.lookback
    if function in ("changes", "resets"):
        return lambda windows: overtime.anchored(windows, lookback, KERNELS[function])
    return lambda windows: rates.extended(
        windows,
        lookback,
        smoothed=smoothed,
        counter=function != "delta",
        per_second=function == "rate",
    )


def _note_counters(query: Query, vector: Vector, at: Expr) -> None:
    """Infos for series that do not look like counters."""
    suspects = vector.labels.derived("suspects", lambda: _suspects(vector.labels))
    for text, row in suspects.items():
        if vector.present is None or vector.present[row].any():
            query.info(text, at)


def _suspects(sets: LabelSets) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for number, row in enumerate(sets.rows):
        known = dict(row)
        name, kind = known.get(NAME, ""), known.get("__type__")
        if kind is not None and kind not in ("counter", "histogram"):
            text = f'metric might not be a counter, __type__ label is not set to "counter" or "histogram", got {quoted(kind)}: {quoted(name)}'
        elif kind is None and name and not name.endswith(_COUNTERS):
            text = f"metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {quoted(name)}"
        else:
            continue
        found.setdefault(text, []).append(number)
    return found
