"""Quantiles and fractions of classic histograms: series with the label `le` (Prometheus' quantile.go)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gfedge.arrays import np
from gfedge.promql import labels
from gfedge.promql.lexer import quoted
from gfedge.promql.numbers import label_of_float
from gfedge.promql.query import Query
from gfedge.promql.syntax import Expr
from gfedge.promql.types import NAME, Index, Labels, LabelSets, Mask, Values, Vector

_SAME = 1e-12
"""Counts that differ by less (relatively) are one count that was rounded twice."""

Work = Callable[[Values, Values], Values]
"""Upper bounds [buckets], ascending, and counts [buckets, ...] to an answer [...]."""


def upper_bound(row: Labels) -> float:
    """The number in `le`; NaN where it is none."""
    written = labels.get(row, "le")
    try:
        return float(written) if written and not written.isspace() else np.nan
    except ValueError:
        return np.nan


class Histograms:
    """The buckets of a vector, histogram by histogram; those of the same bounds stand together."""

    def __init__(self, query: Query, vector: Vector, at: Expr) -> None:
        self.vector = vector
        made = vector.labels.derived("histograms", lambda: _layout(vector.labels))
        self.labels, self.batches, malformed = made
        for name, le in malformed:
            query.warn(
                f'bucket label "le" is missing or has a malformed value of {quoted(le)}'
                + (f" for metric name {quoted(name)}" if name else ""),
                at,
            )

    def each(self, work: Work) -> Vector:
        """The answer for every histogram at every step where it has a bucket."""
        steps = self.vector.values.shape[1]
        values = np.full((len(self.labels), steps), np.nan)
        present = np.zeros(values.shape, np.bool_)
        with np.errstate(all="ignore"):
            for numbers, rows, bounds in self.batches:
                for rows_at, bounds_at, where in self._gapless(rows, bounds):
                    counts = self.vector.values[rows_at]
                    found = work(*coalesced(bounds_at, counts))
                    values[numbers] = np.where(where, found, values[numbers])
                    present[numbers] |= where
        every = np.ones(len(self.labels), np.bool_)
        return Vector(self.labels, values, None if present.all() else present, every)

    def _gapless(self, rows: Index, bounds: Values) -> Iterator[tuple[Index, Values, Mask]]:
        """Rows [buckets, histograms] that are there together, their bounds, and where that is."""
        histograms, steps = rows.shape[1], self.vector.values.shape[1]
        if self.vector.present is None:
            yield rows, bounds, np.ones((histograms, steps), np.bool_)
            return
        present = self.vector.present[rows]
        patterns = np.unique(present.reshape(len(rows), -1), axis=1)
        for pattern in patterns.T:
            if pattern.any():
                where = (present == pattern[:, None, None]).all(axis=0)
                yield rows[pattern], bounds[pattern], where


def _layout(
    sets: LabelSets,
) -> tuple[LabelSets, list[tuple[Index, Index, Values]], list[tuple[str, str]]]:
    """Label sets of the histograms; per bounds their numbers and rows; what is wrong with `le`."""
    bounds = np.array([upper_bound(row) for row in sets.rows])
    bad = np.flatnonzero(np.isnan(bounds)).tolist()
    malformed = [(labels.get(sets.rows[r], NAME), labels.get(sets.rows[r], "le")) for r in bad]
    project = labels.drop({"le"})
    rows_of: dict[Labels, list[int]] = {}
    for row in np.flatnonzero(~np.isnan(bounds)).tolist():
        rows_of.setdefault(project(sets.rows[row]), []).append(row)
    batches: dict[bytes, tuple[list[int], list[Index]]] = {}
    for number, rows in enumerate(rows_of.values()):
        ordered = np.array(rows, np.intp)[np.argsort(bounds[rows], kind="stable")]
        numbers, together = batches.setdefault(bounds[ordered].tobytes(), ([], []))
        numbers.append(number)
        together.append(ordered)
    made = [
        (np.array(numbers, np.intp), np.array(together).T, bounds[together[0]])
        for numbers, together in batches.values()
    ]
    return LabelSets(list(rows_of)), made, malformed


def coalesced(bounds: Values, counts: Values) -> tuple[Values, Values]:
    """Buckets of the same upper bound as one."""
    starts = np.flatnonzero(np.append(True, bounds[1:] != bounds[:-1]))
    if len(starts) == len(bounds):
        return bounds, counts
    return bounds[starts], np.add.reduceat(counts, starts, axis=0)


def monotonic(counts: Values) -> tuple[Values, Mask]:
    """Counts that never fall, and where one had to be raised for it."""
    counts = counts.copy()
    forced = np.zeros(counts.shape[1:], np.bool_)
    for place in range(1, len(counts)):
        before, now = counts[place - 1], counts[place]
        near = np.abs(now - before) < _SAME * (np.abs(now) + np.abs(before))
        falls = (now < before) & ~near
        forced |= falls
        counts[place] = np.where(near | falls, before, now)
    return counts, forced


class Quantile:
    """histogram_quantile for fractions at each step; remembers whether counts had to be mended."""

    def __init__(self, fraction: Values) -> None:
        self.fraction = fraction
        self.forced = False

    def __call__(self, bounds: Values, counts: Values) -> Values:
        fraction = np.broadcast_to(self.fraction, counts.shape[1:])
        counts, forced = monotonic(counts)
        if not np.isposinf(bounds[-1]) or len(bounds) < 2:
            found = np.full(counts.shape[1:], np.nan)
        else:
            self.forced |= bool(forced.any())
            found = _quantile(fraction, bounds, counts)
        found = np.where(fraction < 0, -np.inf, np.where(fraction > 1, np.inf, found))
        return np.where(np.isnan(fraction), np.nan, found)


def _quantile(fraction: Values, bounds: Values, counts: Values) -> Values:
    observations = counts[-1]
    rank = fraction * observations
    enough = counts[:-1] >= rank
    bucket = np.where(enough.any(axis=0), enough.argmax(axis=0), len(bounds) - 1)
    before = np.maximum(bucket - 1, 0)
    lower = np.where(bucket > 0, bounds[before], 0.0)
    below = np.where(bucket > 0, np.take_along_axis(counts, before[None], 0)[0], 0.0)
    inside = np.take_along_axis(counts, bucket[None], 0)[0] - below
    found = lower + (bounds[bucket] - lower) * ((rank - below) / inside)
    found = np.where((bucket == 0) & (bounds[0] <= 0), bounds[0], found)
    found = np.where(bucket == len(bounds) - 1, bounds[-2], found)
    return np.where(observations == 0, np.nan, found)


class Fraction:
    """histogram_fraction: the part of the observations between two values at each step."""

    def __init__(self, lower: Values, upper: Values) -> None:
        self.lower, self.upper = lower, upper

    def __call__(self, bounds: Values, counts: Values) -> Values:
        shape = counts.shape[1:]
        if not np.isposinf(bounds[-1]):
            return np.full(shape, np.nan)
        lower, upper = np.broadcast_to(self.lower, shape), np.broadcast_to(self.upper, shape)
        total = counts[-1]
        found = (_rank(upper, bounds, counts) - _rank(lower, bounds, counts)) / total
        found = np.where(lower >= upper, 0.0, found)
        unknown = (total == 0) | np.isnan(lower) | np.isnan(upper) | np.isnan(total)
        return np.where(unknown, np.nan, found)


def _rank(value: Values, bounds: Values, counts: Values) -> Values:
    """How many observations are below a value, linear within its bucket."""
    bucket = np.minimum(np.searchsorted(bounds, value, "left"), len(bounds) - 1)
    before = np.maximum(bucket - 1, 0)
    start = 0.0 if bounds[0] > 0 else -np.inf
    lower = np.where(bucket > 0, bounds[before], start)
    below = np.where(bucket > 0, np.take_along_axis(counts, before[None], 0)[0], 0.0)
    inside = np.take_along_axis(counts, bucket[None], 0)[0] - below
    share = np.where(value > lower, (value - lower) / (bounds[bucket] - lower), 0.0)
    # In a bucket that reaches to infinity nothing is known of the place: it counts on its finite side.
    share = np.where(np.isposinf(bounds[bucket]) & ~np.isposinf(value), 0.0, share)
    share = np.where(
        (value == bounds[bucket]) | (np.isneginf(lower) & np.isfinite(value)), 1.0, share
    )
    found: Values = np.minimum(below + inside * share, counts[-1])
    return found


def quantiles(query: Query, vector: Vector, fractions: list[Values], name: str, at: Expr) -> Vector:
    """histogram_quantiles: each quantile with its fraction as the label `name`."""
    histograms = Histograms(query, vector, at)
    pieces: list[Vector] = []
    for fraction in fractions:
        asked = Quantile(fraction)
        found = histograms.each(asked)
        note_forced(query, asked, vector, at)
        each = np.unique(fraction).tolist()
        pieces.extend(_labelled(found, name, value, fraction) for value in each)
    return labels.merged(_joined(pieces)) if pieces else vector


def _labelled(found: Vector, name: str, value: float, fraction: Values) -> Vector:
    written = label_of_float(value)
    rows = labels.mapped(
        found.labels, lambda row: tuple(sorted({**dict(row), name: written}.items()))
    )
    where = np.isnan(fraction) if value != value else fraction == value
    return Vector(rows, found.values, found.mask & where, found.nameless)


def _joined(pieces: list[Vector]) -> Vector:
    rows = LabelSets([row for piece in pieces for row in piece.labels.rows])
    values = np.concatenate([piece.values for piece in pieces])
    return labels.losing_names(
        Vector(rows, values, np.concatenate([piece.mask for piece in pieces]))
    )


def note_forced(query: Query, asked: Quantile, vector: Vector, at: Expr) -> None:
    if asked.forced:
        name = labels.get(vector.labels.rows[0], NAME)
        query.info(
            "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)"
            + (f" for metric name {quoted(name)}" if name else ""),
            at,
        )
