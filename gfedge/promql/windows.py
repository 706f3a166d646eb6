"""The samples behind each step: windows over series, for all series and steps at once.

A window is a half-open run `lo <= i < hi` of sample positions. Series of one clock share their windows (`lo` has one
axis, the steps); irregular ones have their own ([series, steps], positions in the flat arrays).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator

import msgspec

from gfedge.arrays import np
from gfedge.promql.types import (
    STALE_BITS,
    Aligned,
    Block,
    Index,
    Irregular,
    LabelSets,
    Mask,
    Times,
    Values,
)

CHUNK = 1 << 17
"""Values that are worked on at a time, so that they stay in the processor's cache."""


class Part(msgspec.Struct, frozen=True):
    """Rows of a selection that share the form of their samples."""

    rows: Index
    """Which rows of the result."""
    block: Block


def stale(values: Values) -> Mask:
    """Where the staleness markers are."""
    bits = np.ascontiguousarray(values).view(np.int64)
    found: Mask = bits == STALE_BITS
    return found


def irregular(block: Aligned, present: Mask) -> Irregular:
    """The samples that are there, series by series."""
    counts = np.count_nonzero(present, axis=1)
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.intp)
    times = np.broadcast_to(block.times, present.shape)[present]
    return Irregular(block.labels, offsets, times, block.values[present])


def cut(block: Aligned, start: int, end: int) -> Aligned:
    """Only the samples of `start <= time <= end`."""
    first, last = np.searchsorted(block.times, (start, end + 1))
    if first == 0 and last == len(block.times):
        return block
    present = None if block.present is None else block.present[:, first:last]
    return Aligned(block.labels, block.times[first:last], block.values[:, first:last], present)


def parts(block: Block, base: int, *, drop_stale: bool) -> list[Part]:
    """The block as parts without gaps: whole rows stay aligned, rows with gaps become irregular.

    `base` is the row of the block's first series in the result. Staleness markers end a series for a step, but are
    no samples of a range: `drop_stale` leaves them out.
    """
    count = len(block.labels)
    rows = np.arange(base, base + count)
    if isinstance(block, Irregular):
        return [Part(rows, _without_stale(block) if drop_stale else block)]
    present = block.present
    if drop_stale and np.isnan(block.values).any() and (marked := stale(block.values)).any():
        present = ~marked if present is None else present & ~marked
    if present is None:
        return [Part(rows, block)]
    whole = np.logical_and.reduce(present, axis=1)
    if whole.all():
        return [Part(rows, Aligned(block.labels, block.times, block.values))]
    found = [_rows_with_gaps(block, present, rows, ~whole)]
    if whole.any():
        kept = Aligned(_some(block.labels, whole), block.times, block.values[whole])
        found.append(Part(rows[whole], kept))
    return found


def _some(labels: LabelSets, chosen: Mask) -> LabelSets:
    return LabelSets([labels.rows[row] for row in np.flatnonzero(chosen).tolist()])


def _rows_with_gaps(block: Aligned, present: Mask, rows: Index, chosen: Mask) -> Part:
    some = Aligned(_some(block.labels, chosen), block.times, block.values[chosen])
    return Part(rows[chosen], irregular(some, present[chosen]))


def _without_stale(block: Irregular) -> Irregular:
    kept = ~stale(block.values)
    if kept.all():
        return block
    before = np.concatenate(([0], np.cumsum(kept)))
    return Irregular(block.labels, before[block.offsets], block.times[kept], block.values[kept])


class Windows:
    """The windows `(start, end]` of every series; `starts` and `ends` are times, one per step."""

    def __init__(
        self, block: Block, starts: Times, ends: Times, check: Callable[[], None] = lambda: None
    ) -> None:
        self.block = block
        self.check = check
        self.aligned = isinstance(block, Aligned)
        self.times, self.values = block.times, block.values
        self.starts, self.ends = starts, ends
        self.lo, self.hi = self.after(starts), self.after(ends)
        self.shape = (len(block.labels), len(ends))

    def between(self, lo: Index, hi: Index) -> Windows:
        """The same series with other windows."""
        other = copy.copy(self)
        other.lo, other.hi = lo, hi
        return other

    def after(self, times: Times) -> Index:
        """Per window the position of the first sample later than a time."""
        if isinstance(self.block, Aligned):
            return np.searchsorted(self.times, times, "right")
        return _after_each(self.block, times)

    @property
    def first(self) -> Index | int:
        """The position of the first sample of all, [series, 1] for irregular ones."""
        return 0 if isinstance(self.block, Aligned) else self.block.offsets[:-1, None]

    @property
    def end(self) -> Index | int:
        return len(self.times) if isinstance(self.block, Aligned) else self.block.offsets[1:, None]

    @property
    def counts(self) -> Index:
        return self.hi - self.lo

    @property
    def total(self) -> int:
        """How many samples all the windows hold."""
        return int(self.counts.sum()) * (self.shape[0] if self.aligned else 1)

    def full(self, mask: Mask) -> Mask:
        """As [series, steps], whatever the form of the windows."""
        return np.broadcast_to(mask, self.shape)

    def value(self, at: Index) -> Values:
        """The samples at positions; any value where there is none."""
        if not len(self.times):
            return np.full(self.shape, np.nan)
        at = np.clip(at, 0, len(self.times) - 1)
        return self.values[:, at] if self.aligned else self.values[at]

    def time(self, at: Index) -> Times:
        """Their times, [steps] or [series, steps]."""
        if not len(self.times):
            return np.zeros_like(at)
        return self.times[np.clip(at, 0, len(self.times) - 1)]

    def chunks(self) -> Iterator[Chunk]:
        """The windows with their samples, some series and steps at a time."""
        counts = self.counts
        widest = int(counts.max(initial=0))
        if widest == 0:
            return
        series, steps = self.shape
        columns = max(1, min(steps, CHUNK // widest))
        rows = max(1, CHUNK // (widest * columns))
        for first in range(0, steps, columns):
            across = slice(first, min(first + columns, steps))
            for top in range(0, series, rows):
                self.check()
                yield self._chunk(slice(top, min(top + rows, series)), across)

    def _chunk(self, rows: slice, steps: slice) -> Chunk:
        lo, counts = self.lo[..., steps], self.counts[..., steps]
        if not self.aligned:
            lo, counts = lo[rows], counts[rows]
        width = max(1, int(counts.max(initial=0)))
        place = np.arange(width).reshape(-1, *[1] * lo.ndim)
        at = np.minimum(lo + place, len(self.times) - 1)
        inside = None if counts.min(initial=width) == width else place < counts
        times = self.times[at]
        values = (
            self.values[at]
            if not self.aligned
            else np.moveaxis(self.values[rows].take(at, axis=1), 1, 0)
        )
        if self.aligned:
            times, counts = times[:, None, :], counts[None, :]
            inside = None if inside is None else inside[:, None, :]
        return Chunk(rows, steps, values, times, counts, inside)


class Chunk(msgspec.Struct, frozen=True):
    """Windows spread out: the first axis is the place in the window, then series, then steps."""

    rows: slice
    steps: slice
    values: Values
    times: Times
    counts: Index
    inside: Mask | None
    """Where a window has a sample; None: everywhere."""

    def filled(self, value: float) -> Values:
        """The samples, with a value where a window is shorter than the widest."""
        return self.values if self.inside is None else np.where(self.inside, self.values, value)


def _after_each(block: Irregular, times: Times) -> Index:
    """One search over all series: each has its own stretch of the number line."""
    series = len(block.labels)
    if not len(block.times):
        return np.zeros((series, len(times)), np.intp)
    first, last = int(block.times.min()), int(block.times.max())
    stretch = last - first + 3
    rows = np.repeat(np.arange(series, dtype=np.int64), np.diff(block.offsets))
    keys = rows * stretch + (block.times - first + 1)
    asked = np.clip(times - (first - 1), 0, stretch - 1)
    wanted = np.arange(series, dtype=np.int64)[:, None] * stretch + asked
    return np.searchsorted(keys, wanted.ravel(), "right").reshape(wanted.shape)


def joined(blocks: Iterable[Block]) -> LabelSets:
    """The label sets of several blocks, one after the other."""
    several = list(blocks)
    if len(several) == 1:
        return several[0].labels
    return LabelSets([labels for block in several for labels in block.labels.rows])
