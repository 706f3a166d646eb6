"""Rollups: what is kept of old samples. Pure functions of blocks.

`last` keeps whole columns: the last sample of each window, as of the window's end, so that PromQL reads from it at
these times what it would have read from the samples; and both sides of every reset of a counter, so that `rate` and
`increase` over longer ranges stay exact. `min`, `max` and `avg` are kept of gauges, for `min_over_time` and so on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from gfedge.arrays import np
from gfedge.monitoring.blocks import ABSENT, Block, Ids, absent
from gfedge.promql.types import Times, Values

if TYPE_CHECKING:
    from numpy.typing import NDArray

Aggregate = Literal["last", "min", "max", "avg"]
OF_GAUGES: dict[Aggregate, Callable[..., Any]] = {
    "min": lambda values, axis: np.fmin.reduce(values, axis=axis),
    "max": lambda values, axis: np.fmax.reduce(values, axis=axis),
    "avg": lambda values, axis: np.nansum(values, axis=axis) / (~np.isnan(values)).sum(axis=axis),
}
MOST_RESETS = 8
"""Resets of which both sides are kept in a window; a process that restarts more often loses the exact sum of them."""


def roll(
    block: Block, is_counter: NDArray[np.bool_], window: int, since: int
) -> dict[Aggregate, Block]:
    """The rollups of a block after a time; `window` and `since` are in milliseconds, `since` a multiple of `window`.

    `is_counter` goes by the block's rows. The block should begin before `since`, so that a reset right then is seen.
    """
    windows = _windows(block.times, window, since)
    found: dict[Aggregate, Block] = {"last": _last(block, is_counter, windows)}
    gauges = np.flatnonzero(~is_counter)
    if len(gauges):
        numbers = block.values[gauges]
        times = np.array([end for end, _, _ in windows], np.int64)
        for name, function in OF_GAUGES.items():
            parts = [_reduced(numbers[:, a:b], function) for _, a, b in windows]
            found[name] = _block(block.ids[gauges], times, parts)
    return found


def _windows(times: Times, window: int, since: int) -> list[tuple[int, int, int]]:
    """(end, first column, one past the last) of each window (end - window, end] with samples."""
    ends = -(-times // window) * window
    found = []
    for end in np.unique(ends[times > since]).tolist():
        first, last = np.searchsorted(ends, [end, end + 1])
        found.append((end, int(first), int(last)))
    return found


def _last(
    block: Block, is_counter: NDArray[np.bool_], windows: list[tuple[int, int, int]]
) -> Block:
    resets = _resets(block.values[is_counter])
    times: list[int] = []
    columns: list[Values] = []
    for end, first, last in windows:
        within = [pair for pair in resets if first <= pair[1] < last][:MOST_RESETS]
        # The last column of this window and of the one before are kept anyway.
        sides = {column for pair in within for column in pair if first <= column < last - 1}
        for column in sorted(sides):
            times.append(int(block.times[column]))
            columns.append(block.values[:, column])
        times.append(end)
        columns.append(_latest(block.values[:, first:last]))
    return _block(block.ids, np.array(times, np.int64), columns)


def _resets(counters: Values) -> list[tuple[int, int]]:
    """(column before, column of) each fall of some counter."""
    if not counters.size:
        return []
    before = _latest_columns(~np.isnan(counters))
    filled = np.take_along_axis(counters, before, axis=1)
    falls = filled[:, 1:] < filled[:, :-1]
    return [
        (int(before[falls[:, column], column].max()), int(column) + 1)
        for column in np.flatnonzero(falls.any(axis=0))
    ]


def _latest_columns(valid: NDArray[np.bool_]) -> NDArray[np.intp]:
    """For each place the latest valid column up to it; 0 where there is none."""
    columns = np.where(valid, np.arange(valid.shape[1]), 0)
    found: NDArray[np.intp] = np.maximum.accumulate(columns, axis=1)
    return found


def _latest(values: Values) -> Values:
    """The last sample of each row."""
    column = _latest_columns(~absent(values))[:, -1:]
    found: Values = np.take_along_axis(values, column, axis=1)[:, 0]
    return found


def _reduced(values: Values, function: Callable[..., Any]) -> Values:
    """One number a row, without what is no number; absent where there is none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Values = function(values, axis=1)
    found[np.isnan(values).all(axis=1)] = ABSENT
    return found


def _block(ids: Ids, times: Times, columns: list[Values]) -> Block:
    values = np.stack(columns, axis=1) if columns else np.zeros((len(ids), 0))
    return Block(ids, times, np.ascontiguousarray(values))
