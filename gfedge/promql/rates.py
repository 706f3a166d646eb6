"""rate, increase, delta and their like: the difference over a window, extrapolated to its edges.

The mathematics is that of Prometheus' extrapolatedRate and, for `anchored` and `smoothed`, extendedRate.
"""

from __future__ import annotations

import msgspec

from gfedge.arrays import np
from gfedge.promql.compensated import tree
from gfedge.promql.types import Index, Mask, Times, Values
from gfedge.promql.windows import Windows

_THRESHOLD = 1.1
"""An edge farther away than this many average gaps is where the series begins or ends."""
_FEW_RESETS = 2000


def extrapolated(windows: Windows, *, counter: bool, per_second: bool) -> tuple[Values, Mask]:
    """What a window shows, stretched to its whole length."""
    lo, last = windows.lo, windows.hi - 1
    present = windows.full(last > lo)
    first_time, last_time = windows.time(lo), windows.time(last)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        sampled = (last_time - first_time) / 1000
        average = sampled / (last - lo)
        to_start = _edge((first_time - windows.starts) / 1000, average)
        to_end = _edge((windows.ends - last_time) / 1000, average)
        first_value = windows.value(lo)
        result = windows.value(last) - first_value
        if counter:
            result += resets_between(windows, lo, last)
            to_zero = sampled * (first_value / result)
            nearer = (result > 0) & (first_value >= 0) & (to_zero < to_start)
            to_start = np.where(nearer, to_zero, to_start)
        factor = (sampled + to_start + to_end) / sampled
        if per_second:
            factor /= (windows.ends - windows.starts) / 1000
        return result * factor, present


def _edge(distance: Values, average: Values) -> Values:
    return np.where(distance >= average * _THRESHOLD, average / 2, distance)


def resets_between(windows: Windows, lo: Index, last: Index) -> Values:
    """The values that a counter lost between two positions, both of one series: the sample before each drop."""
    values = windows.values
    dropped = values[..., 1:] < values[..., :-1]
    if not windows.aligned and len(windows.times):
        dropped[windows.block.offsets[1:-1][_inside(windows)] - 1] = False  # type: ignore[union-attr]
    if not dropped.any():
        return np.zeros(windows.shape)
    at = np.nonzero(dropped)
    if len(at[0]) > _FEW_RESETS:
        return _resets_in_windows(windows, lo, last)
    out = np.zeros(windows.shape)
    if windows.aligned:
        for row, place in zip(*at, strict=True):
            # The drop to place + 1 counts in the windows with lo <= place < last.
            steps = slice(
                np.searchsorted(last, place, "right"), np.searchsorted(lo, place, "right")
            )
            out[row, steps] += values[row, place]
        return out
    rows = np.searchsorted(windows.block.offsets, at[0], "right") - 1  # type: ignore[union-attr]
    for row, place in zip(rows, at[0], strict=True):
        out[row] += np.where((lo[row] <= place) & (place < last[row]), values[place], 0.0)
    return out


def _inside(windows: Windows) -> Mask:
    offsets: Index = windows.block.offsets[1:-1]  # type: ignore[union-attr]
    return (offsets > 0) & (offsets < len(windows.times))


def _resets_in_windows(windows: Windows, lo: Index, last: Index) -> Values:
    """The same for a series that falls all the time, window by window."""
    out = np.zeros(windows.shape)
    for chunk in windows.between(lo, np.maximum(last + 1, lo)).chunks():
        values = chunk.filled(np.inf)
        lost = np.where(values[1:] < values[:-1], values[:-1], 0.0)
        out[chunk.rows, chunk.steps] = tree(lost).total
    return out


def instant(windows: Windows, *, counter: bool, per_second: bool) -> tuple[Values, Mask]:
    """irate and idelta: the difference of the last two samples."""
    last = windows.hi - 1
    before, after = windows.value(last - 1), windows.value(last)
    gap = windows.time(last) - windows.time(last - 1)
    present = windows.full((windows.counts >= 2) & (gap != 0))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        result = after - before
        if counter:
            result = np.where(after < before, after, result)
        return (result / (gap / 1000) if per_second else result), present


class Edges(msgspec.Struct, frozen=True):
    """The values at both edges of a window, and the samples strictly between them."""

    left: Values
    right: Values
    lo: Index
    hi: Index
    present: Mask


def extended(
    windows: Windows, lookback: int, *, smoothed: bool, counter: bool, per_second: bool
) -> tuple[Values, Mask]:
    """The difference between the values at the edges, which samples outside the window tell."""
    edges = _smoothed(windows, lookback, counter) if smoothed else _anchored(windows, lookback)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        result = edges.right - edges.left
        if counter:
            result = result + _correction(windows, edges)
        if per_second:
            result = result / ((windows.ends - windows.starts) / 1000)
    return result, edges.present


def anchor(windows: Windows, lookback: int) -> Index:
    """The position of the last sample at or before the start; that of the first one in the window where none is."""
    earliest = windows.after(windows.starts - lookback)
    return np.where(windows.lo - 1 >= earliest, windows.lo - 1, windows.lo)


def _anchored(windows: Windows, lookback: int) -> Edges:
    first, last = anchor(windows, lookback), windows.hi - 1
    left, right = windows.value(first), windows.value(last)
    return Edges(left, right, first + 1, windows.hi, windows.full(windows.hi > windows.lo))


def _smoothed(windows: Windows, lookback: int, counter: bool) -> Edges:
    first = anchor(windows, lookback)
    latest = windows.after(windows.ends + lookback)
    exact = (windows.hi > windows.lo) & (windows.time(windows.hi - 1) == windows.ends)
    last = np.minimum(np.where(exact, windows.hi - 1, windows.hi), latest - 1)
    present = (last >= first) & (windows.time(last) > windows.starts)
    left, right = windows.value(first), windows.value(last)
    between = present & (windows.time(first) < windows.starts) & (first < last)
    left = np.where(between, interpolated(windows, first, windows.starts, counter), left)
    between = present & (windows.time(last) > windows.ends) & (last > first)
    right = np.where(between, interpolated(windows, last - 1, windows.ends, counter), right)
    inner = np.where(windows.time(first) <= windows.starts, first + 1, first)
    outer = np.where(windows.time(last) >= windows.ends, last, last + 1)
    return Edges(left, right, inner, outer, windows.full(present))


def interpolated(windows: Windows, at: Index, moment: Times, counter: bool) -> Values:
    """On the line between a sample and the next one; after a reset a counter comes from 0."""
    before, after = windows.value(at), windows.value(at + 1)
    if counter:
        before = np.where(after < before, 0.0, before)
    since, gap = moment - windows.time(at), windows.time(at + 1) - windows.time(at)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        found: Values = before + (after - before) * since / gap
        return found


def _correction(windows: Windows, edges: Edges) -> Values:
    """What a counter lost from the left edge over the samples between to the right edge."""
    some = edges.hi > edges.lo
    first, last = windows.value(edges.lo), windows.value(edges.hi - 1)
    lost = np.where(some, resets_between(windows, edges.lo, edges.hi - 1), 0.0)
    lost += np.where(some & (first < edges.left), edges.left, 0.0)
    before = np.where(some, last, edges.left)
    return lost + np.where(edges.right < before, before, 0.0)
