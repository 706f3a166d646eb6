"""The functions of one window: sums, extremes, quantiles, regressions (`*_over_time`, deriv, changes ...)."""

from __future__ import annotations

from collections.abc import Callable

from gfedge.arrays import np
from gfedge.promql.compensated import tree
from gfedge.promql.quantiles import quantile
from gfedge.promql.rates import anchor
from gfedge.promql.types import Index, Mask, Times, Values
from gfedge.promql.windows import Chunk, Windows

Answer = tuple[Values, Mask]
Kernel = Callable[[Windows], Answer]


def each(windows: Windows, work: Callable[[Chunk], Values], least: int = 1) -> Answer:
    """The result of `work` for every window with at least so many samples."""
    out = np.full(windows.shape, np.nan)
    with np.errstate(all="ignore"):
        for chunk in windows.chunks():
            out[chunk.rows, chunk.steps] = work(chunk)
    return out, windows.full(windows.counts >= least)


def count(windows: Windows) -> Answer:
    counts = windows.counts.astype(np.float64)
    return np.broadcast_to(counts, windows.shape), windows.full(counts > 0)


def present(windows: Windows) -> Answer:
    return np.ones(windows.shape), windows.full(windows.counts > 0)


def last(windows: Windows) -> Answer:
    return windows.value(windows.hi - 1), windows.full(windows.counts > 0)


def first(windows: Windows) -> Answer:
    return windows.value(windows.lo), windows.full(windows.counts > 0)


def last_time(windows: Windows) -> Answer:
    times = windows.time(windows.hi - 1) / 1000
    return np.broadcast_to(times, windows.shape), windows.full(windows.counts > 0)


def first_time(windows: Windows) -> Answer:
    times = windows.time(windows.lo) / 1000
    return np.broadcast_to(times, windows.shape), windows.full(windows.counts > 0)


def total(windows: Windows) -> Answer:
    return each(windows, lambda chunk: tree(chunk.filled(0.0)).total)


def average(windows: Windows) -> Answer:
    return each(windows, _average)


def _average(chunk: Chunk) -> Values:
    values = chunk.filled(0.0)
    return mean(values, chunk.counts)


def mean(values: Values, counts: Values | Index) -> Values:
    """Of the first axis, where what is missing is 0."""
    found = tree(values).divided(counts)
    burst = ~np.isfinite(found) & np.isfinite(values).all(axis=0)
    if burst.any():  # the sum is too large for a float, the mean is not
        found = np.where(burst, tree(values / counts).total, found)
    return found


def smallest(windows: Windows) -> Answer:
    return each(windows, lambda chunk: np.fmin.reduce(chunk.filled(np.nan)))


def largest(windows: Windows) -> Answer:
    return each(windows, lambda chunk: np.fmax.reduce(chunk.filled(np.nan)))


def variance(windows: Windows) -> Answer:
    return each(windows, _variance)


def deviation(windows: Windows) -> Answer:
    return each(windows, lambda chunk: np.sqrt(_variance(chunk)))


def _variance(chunk: Chunk) -> Values:
    """Of the population, in two passes; the second one mends the rounding of the mean."""
    away = chunk.values - _average(chunk)
    if chunk.inside is not None:
        away = np.where(chunk.inside, away, 0.0)
    rest = tree(away).divided(chunk.counts)
    return tree(away * away).divided(chunk.counts) - rest * rest


def quantiles(windows: Windows, fractions: Values) -> Answer:
    """`fractions` are one per step."""

    def work(chunk: Chunk) -> Values:
        return quantile(chunk.values, chunk.inside, fractions[chunk.steps])

    return each(windows, work)


def median_deviation(windows: Windows) -> Answer:
    """The median of the distances from the median."""

    def work(chunk: Chunk) -> Values:
        middle = quantile(chunk.values, chunk.inside, 0.5)
        found = quantile(np.abs(chunk.values - middle), chunk.inside, 0.5)
        return np.where(np.isnan(chunk.filled(0.0)).any(axis=0), np.nan, found)

    return each(windows, work)


def time_of_smallest(windows: Windows) -> Answer:
    return each(windows, lambda chunk: _time_of(chunk, np.fmin.reduce(chunk.filled(np.nan))))


def time_of_largest(windows: Windows) -> Answer:
    return each(windows, lambda chunk: _time_of(chunk, np.fmax.reduce(chunk.filled(np.nan))))


def _time_of(chunk: Chunk, extreme: Values) -> Values:
    """When the last sample of this value was; where all are NaN, the last one."""
    hit = (chunk.values == extreme) | np.isnan(extreme)
    if chunk.inside is not None:
        hit = hit & chunk.inside
    found: Values = np.where(hit, chunk.times, np.iinfo(np.int64).min).max(axis=0) / 1000
    return found


def changes(windows: Windows) -> Answer:
    return _steps(windows, lambda a, b: (a != b) & ~(np.isnan(a) & np.isnan(b)))


def resets(windows: Windows) -> Answer:
    return _steps(windows, lambda a, b: b < a)


def _steps(windows: Windows, differs: Callable[[Values, Values], Mask]) -> Answer:
    def work(chunk: Chunk) -> Values:
        found = differs(chunk.values[:-1], chunk.values[1:])
        if chunk.inside is not None:
            found = found & chunk.inside[1:]
        counts: Values = np.count_nonzero(found, axis=0).astype(np.float64)
        return counts

    return each(windows, work)


def anchored(windows: Windows, lookback: int, kernel: Kernel) -> Answer:
    """The kernel over windows that begin with the sample before them; only where they hold one of their own."""
    values, _ = kernel(windows.between(anchor(windows, lookback), windows.hi))
    return values, windows.full(windows.counts > 0)


def slope(windows: Windows) -> Answer:
    return each(windows, lambda chunk: _regression(chunk, chunk.times[0])[0], least=2)


def predict(windows: Windows, at: Times, seconds: Values) -> Answer:
    """Where the line through the samples is so many seconds after `at`; both are one per step."""

    def work(chunk: Chunk) -> Values:
        gradient, offset = _regression(chunk, at[chunk.steps])
        found: Values = gradient * seconds[chunk.steps] + offset
        return found

    return each(windows, work, least=2)


def _regression(chunk: Chunk, origin: Times) -> tuple[Values, Values]:
    """Slope and value at `origin` of the line with the least squares."""
    values, counts = chunk.filled(0.0), chunk.counts
    along = (chunk.times - origin) / 1000
    if chunk.inside is not None:
        along = np.where(chunk.inside, along, 0.0)
    sum_x, sum_y = tree(along).total, tree(values).total
    covariance = tree(along * values).total - sum_x * sum_y / counts
    gradient = covariance / (tree(along * along).total - sum_x * sum_x / counts)
    offset = sum_y / counts - gradient * sum_x / counts
    start = values[0]
    same = (
        chunk.values == start if chunk.inside is None else (chunk.values == start) | ~chunk.inside
    )
    flat = same.all(axis=0)
    level = np.where(np.isinf(start), np.nan, start)
    return (
        np.where(flat, np.where(np.isnan(level), np.nan, 0.0), gradient),
        np.where(flat, level, offset),
    )


def smoothing(windows: Windows, level: Values, trend: Values) -> Answer:
    """Holt's double exponential smoothing; the factors are one per step."""

    def work(chunk: Chunk) -> Values:
        return _smoothed(chunk, level[chunk.steps], trend[chunk.steps])

    return each(windows, work, least=2)


def _smoothed(chunk: Chunk, level: Values, trend: Values) -> Values:
    values = chunk.values
    before = np.zeros(values.shape[1:])
    current: Values = values[0]
    if len(values) < 2:
        return current
    growth = values[1] - values[0]
    for place in range(1, len(values)):
        newer = growth if place == 1 else trend * (current - before) + (1 - trend) * growth
        after = level * values[place] + (1 - level) * (current + newer)
        going = place < chunk.counts
        growth = np.where(going, newer, growth)
        before = np.where(going, current, before)
        current = np.where(going, after, current)
    return current
