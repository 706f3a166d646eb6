"""What PromQL reads: the history as a storage of the engine. Called from the threads that evaluate queries.

The last day comes from memory. What is older comes from the archive, as sampled for ranges of up to two days and from
rollups for longer ones, where the query allows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from gfedge.arrays import np
from gfedge.monitoring.archive import RESOLUTIONS
from gfedge.monitoring.blocks import ABSENT_BITS, Block, Ids, fill
from gfedge.monitoring.history import History
from gfedge.monitoring.rollups import Aggregate
from gfedge.promql.types import (
    EVERY,
    Aligned,
    Index,
    Labels,
    LabelSets,
    Metadata,
    Need,
    QueryError,
    Selector,
)

MOST_SAMPLES: Final = 60_000_000
"""That one selection may hold."""
LONG_MS: Final = 2 * 86_400_000
"""Beyond memory; up to that, all samples are read."""
OF_LAST: Final = frozenset(
    ("rate", "increase", "delta", "deriv", "predict_linear", "last_over_time", "present_over_time")
)
"""Functions of ranges that the last sample of each window serves."""
OF_AGGREGATES: Final[Mapping[str, Aggregate]] = {
    "min_over_time": "min",
    "max_over_time": "max",
    "avg_over_time": "avg",
}


class HistoryStorage:
    """The history, as `promql.types.Storage` has it."""

    def __init__(self, history: History) -> None:
        self._history = history

    def select(
        self, matchers: Selector, start: int, end: int, need: Need = EVERY
    ) -> Sequence[Aligned]:
        found = self._history.sampler.index.find(matchers)
        if not len(found.rows):
            return ()
        ids = found.rows.astype(np.int32)
        blocks = self.blocks(start, end, *self._source(ids, start, need))
        columns = sum(len(block.times) for block in blocks)
        if not columns:
            return ()
        if columns * len(ids) > MOST_SAMPLES:
            raise QueryError(
                "execution",
                "query processing would load too many samples into memory in query execution",
            )
        return (_aligned(found.labels, ids, blocks, columns),)

    def blocks(
        self, start: int, end: int, resolution: int = 0, aggregate: Aggregate = "last"
    ) -> list[Block]:
        """What there is of a time, oldest first and each time once; `resolution` in seconds holds for the archive."""
        recent = self._history.memory.blocks(start, end)
        first = self._history.memory.start
        old: list[Block] = []
        if first is None or start < first:
            until = end if first is None else min(end, first - 1)
            old = self._archived(start, until, resolution, aggregate)
        return _in_order([block.within(start, end) for block in (*old, *recent)])

    def _source(self, ids: Ids, start: int, need: Need) -> tuple[int, Aggregate]:
        """The resolution that a query over a long time may be given, and of what kind.

        A window needs two samples, an instant selector one within the lookback.
        """
        first = self._history.memory.start
        if first is None or first - start < LONG_MS or not need.milliseconds:
            return 0, "last"
        spacing = need.milliseconds // 2 if need.function else need.milliseconds
        resolution = max((r for r in RESOLUTIONS if r * 1000 <= spacing), default=0)
        if need.function in OF_LAST or not need.function:
            return resolution, "last"
        aggregate = OF_AGGREGATES.get(need.function)
        if aggregate is None or self._history.sampler.is_counter(ids).any():
            return 0, "last"
        return resolution, aggregate

    def _archived(
        self, start: int, until: int, resolution: int, aggregate: Aggregate
    ) -> list[Block]:
        """From the finest resolution that is asked for to coarser ones, where that does not reach back."""
        archive = self._history.archive
        found: list[Block] = []
        for level in RESOLUTIONS:
            kind: Aggregate = aggregate if level else "last"
            first = archive.first(level)
            if level < resolution or first is None or first > until:
                continue
            found = archive.read(level, kind, max(start, first), until) + found
            until = first - 1
            if until < start:
                break
        return found

    def series(self, selectors: Sequence[Selector], start: int, end: int) -> Sequence[Labels]:
        sampler = self._history.sampler
        labels = sampler.index.labels
        rows = self._rows(selectors)
        return [labels[row] for row in rows[sampler.seen(rows, start, end)].tolist()]

    def label_names(self, selectors: Sequence[Selector], start: int, end: int) -> Sequence[str]:
        return sorted({name for labels in self.series(selectors, start, end) for name, _ in labels})

    def label_values(
        self, name: str, selectors: Sequence[Selector], start: int, end: int
    ) -> Sequence[str]:
        found = self.series(selectors, start, end)
        return sorted({value for labels in found for label, value in labels if label == name})

    def _rows(self, selectors: Sequence[Selector]) -> Index:
        """The rows that match any of the selectors; all where there are none."""
        index = self._history.sampler.index
        if not selectors:
            return np.arange(len(index.labels))
        found = [index.find(selector).rows for selector in selectors]
        return found[0] if len(found) == 1 else np.unique(np.concatenate(found))

    def metadata(self) -> Mapping[str, Metadata]:
        return dict(self._history.sampler.metadata)


def _in_order(blocks: Sequence[Block]) -> list[Block]:
    """Without what a block has of times that the one before has too (a write that was repeated)."""
    found: list[Block] = []
    for block in blocks:
        if found and len(block.times) and block.times[0] <= found[-1].times[-1]:
            block = block.within(int(found[-1].times[-1]) + 1, int(block.times[-1]))
        if len(block.times):
            found.append(block)
    return found


def _aligned(labels: LabelSets, ids: Ids, blocks: Sequence[Block], columns: int) -> Aligned:
    """One matrix of the series over all blocks; only a single block can be given as a view."""
    times = np.concatenate([block.times for block in blocks])
    values = np.empty((len(ids), columns))
    column = 0
    for block in blocks:
        after = column + len(block.times)
        fill(block, ids, 0, len(block.times), values[:, column:after])
        column = after
    present = values.view(np.uint64) != ABSENT_BITS
    return Aligned(labels, times, values, None if present.all() else present)
