"""Selectors to samples: the value at each step, or the windows behind it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec

from gfedge.arrays import np
from gfedge.promql import durations
from gfedge.promql.query import Query, Steps
from gfedge.promql.rates import interpolated
from gfedge.promql.syntax import Duration, Range, Selector, Subquery
from gfedge.promql.types import (
    EVERY,
    Aligned,
    Block,
    Irregular,
    LabelSets,
    Mask,
    Need,
    QueryError,
    Times,
    Values,
    Vector,
)
from gfedge.promql.windows import Part, Windows, cut, joined, parts, stale

FARTHEST = 1 << 60
"""Milliseconds: what is farther away has no sample, and the arithmetic stays within 64 bits."""


def moments(query: Query, node: Selector | Subquery, steps: Steps) -> Times:
    """The times that a selector looks at: one per step, or a single one where `@` pins it."""
    offset = 0 if node.offset is None else _milliseconds(query, node.offset)
    match node.at:
        case None:
            return steps.times - offset
        case "start":
            pinned = query.steps.start
        case "end":
            pinned = query.steps.end
        case float() | int() as seconds:
            pinned = math.floor(seconds * 1000 + 0.5)
    return np.array([max(-FARTHEST, min(FARTHEST, pinned - offset))], np.int64)


def _milliseconds(query: Query, duration: Duration) -> int:
    whole = query.steps.end - query.steps.start
    return durations.milliseconds(duration, query.steps.step, whole)


def length(query: Query, duration: Duration) -> int:
    """A range in milliseconds; it must be more than nothing."""
    if (found := _milliseconds(query, duration)) <= 0:
        raise QueryError("bad_data", "duration must be greater than 0")
    return found


def select(query: Query, node: Selector, start: int, end: int, need: Need) -> Sequence[Block]:
    found = query.storage.select(node.matchers, start, end, need)
    return [cut(block, start, end) if isinstance(block, Aligned) else block for block in found]


def instant(query: Query, node: Selector, steps: Steps, *, when: bool = False) -> Vector:
    """The last sample of each series within the lookback; with `when` its time instead of its value."""
    at = moments(query, node, steps)
    later = query.lookback if node.extent == "smoothed" else 0
    earliest, latest = int(at.min()) - query.lookback + 1, int(at.max()) + later
    need = EVERY if node.extent else Need(query.lookback)
    blocks = [b for b in select(query, node, earliest, latest, need) if len(b.labels)]
    labels = joined(blocks) if blocks else LabelSets([])
    query.spend(len(labels) * steps.count, sum(block.values.size for block in blocks))
    query.samples += len(labels) * len(at)
    smoothed = node.extent == "smoothed"
    read = _smoothed if smoothed else _latest
    pieces = [
        (part, *read(query, part.block, at, when))
        for part in _all_parts(blocks, drop_stale=smoothed)
    ]
    values, present = assembled(pieces, len(labels), len(at))
    return widened(Vector(labels, values, present), steps)


def assembled(
    pieces: Sequence[tuple[Part, Values, Mask | None]], rows: int, columns: int
) -> tuple[Values, Mask | None]:
    """The results of the parts, each at its rows."""
    if len(pieces) == 1:
        return pieces[0][1], pieces[0][2]
    values = np.full((rows, columns), np.nan)
    present = np.zeros((rows, columns), np.bool_)
    for part, found, there in pieces:
        values[part.rows] = found
        present[part.rows] = True if there is None else there
    return values, present


def widened(vector: Vector, steps: Steps) -> Vector:
    """What was asked of one moment holds for every step."""
    if vector.values.shape[1] == steps.count:
        return vector
    shape = (len(vector.labels), steps.count)
    present = None if vector.present is None else np.broadcast_to(vector.present, shape)
    return Vector(vector.labels, np.broadcast_to(vector.values, shape), present, vector.nameless)


def _all_parts(blocks: Sequence[Block], *, drop_stale: bool) -> Iterator[Part]:
    base = 0
    for block in blocks:
        yield from parts(block, base, drop_stale=drop_stale)
        base += len(block.labels)


def _latest(query: Query, block: Block, at: Times, when: bool) -> tuple[Values, Mask | None]:
    windows = Windows(block, at - query.lookback, at)
    inside = windows.counts > 0
    values = windows.value(windows.hi - 1)
    present = None if inside.all() else windows.full(inside)
    if np.isnan(values).any() and (marked := stale(values)).any():
        present = ~marked if present is None else present & ~marked
    if when:
        values = np.broadcast_to(windows.time(windows.hi - 1) / 1000, windows.shape)
    return values, present


def _smoothed(query: Query, block: Block, at: Times, when: bool) -> tuple[Values, Mask]:
    """On the line between the samples around each step; the last sample where none follows."""
    windows = Windows(block, at - query.lookback, at)
    last = windows.hi - 1
    present = windows.counts > 0
    following = windows.after(at + query.lookback) > windows.hi
    between = present & following & (windows.time(last) != at)
    values = np.where(between, interpolated(windows, last, at, False), windows.value(last))
    if when:
        values = np.broadcast_to(at / 1000, windows.shape)
    return values, windows.full(present)


class RangeVector(msgspec.Struct, frozen=True):
    """The windows of a range selector or a subquery, in parts."""

    labels: LabelSets
    windows: Sequence[tuple[Part, Windows]]
    columns: int
    milliseconds: int
    nameless: Mask | None = None


def windowed(
    query: Query,
    blocks: Sequence[Block],
    at: Times,
    milliseconds: int,
    nameless: Mask | None = None,
) -> RangeVector:
    """Windows that end at these moments."""
    blocks = [block for block in blocks if len(block.labels)]
    labels = joined(blocks) if blocks else LabelSets([])
    found = []
    query.spend(len(labels) * len(at), sum(block.values.size for block in blocks))
    for part in _all_parts(blocks, drop_stale=True):
        windows = Windows(part.block, at - milliseconds, at, query.check)
        query.samples += windows.total
        found.append((part, windows))
    return RangeVector(labels, found, len(at), milliseconds, nameless)


def ranged(
    query: Query, node: Range, steps: Steps, *, pinned: bool = True, function: str = ""
) -> RangeVector:
    """The windows of a range selector; `pinned=False` repeats a pinned one for every step.

    `function` is what is called on them, if anything is.
    """
    at = moments(query, node.selector, steps)
    if not pinned and len(at) != steps.count:
        at = np.full(steps.count, at[0])
    milliseconds = length(query, node.duration)
    before = query.lookback if node.selector.extent else 0
    after = query.lookback if node.selector.extent == "smoothed" else 0
    start, end = int(at.min()) - milliseconds - before + 1, int(at.max()) + after
    plain = function and not node.selector.extent
    need = Need(milliseconds, function) if plain else EVERY
    return windowed(query, select(query, node.selector, start, end, need), at, milliseconds)


def raw(found: RangeVector) -> list[Irregular]:
    """The samples in the windows of one step, as an instant query answers a range selector."""
    out = []
    for part, windows in found.windows:
        counts = np.broadcast_to(windows.counts.reshape(-1, 1), (windows.shape[0], 1))[:, 0]
        lo = np.broadcast_to(windows.lo.reshape(-1, 1), (windows.shape[0], 1))[:, 0]
        rows = np.flatnonzero(counts)
        values = [_run(windows, row, lo[row], counts[row]) for row in rows.tolist()]
        times = [windows.times[lo[row] : lo[row] + counts[row]] for row in rows.tolist()]
        if not len(rows):
            continue
        offsets = np.concatenate(([0], np.cumsum(counts[rows]))).astype(np.intp)
        labels = LabelSets([part.block.labels.rows[row] for row in rows.tolist()])
        out.append(Irregular(labels, offsets, np.concatenate(times), np.concatenate(values)))
    return out


def _run(windows: Windows, row: int, lo: int, count: int) -> Values:
    values = windows.values[row] if windows.aligned else windows.values
    return values[lo : lo + count]
