"""What PromQL reads: the history as a storage of the engine. Called from the threads that evaluate queries.

The last day comes from memory. What is older comes from the archive, as sampled for ranges of up to two days and from
rollups for longer ones, where the query allows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from gfedge.monitoring.archive import RESOLUTIONS
from gfedge.monitoring.blocks import ABSENT_BITS, Block, Ids, fill
from gfedge.monitoring.history import History
from gfedge.promql.types import (
    Aligned,
    Index,
    Labels,
    LabelSets,
    Metadata,
    QueryError,
    Selector,
)

MOST_SAMPLES: Final = 60_000_000
"""That one selection may hold."""
NOTHING: Final = (Aligned(LabelSets(()), np.zeros(0, np.int64), np.zeros((0, 0))),)


class HistoryStorage:
    """The history, as `promql.types.Storage` has it."""

    def __init__(self, history: History) -> None:
        self._history = history

    def select(self, matchers: Selector, start: int, end: int) -> Sequence[Aligned]:
        found = self._history.sampler.index.find(matchers)
        if not len(found.rows):
            return ()
        blocks = self.blocks(start, end)
        columns = sum(len(block.times) for block in blocks)
        if not columns:
            return ()
        if columns * len(found.rows) > MOST_SAMPLES:
            raise QueryError(
                "execution",
                "query processing would load too many samples into memory in query execution",
            )
        return (_aligned(found.labels, found.rows.astype(np.int32), blocks, columns),)

    def blocks(self, start: int, end: int, resolution: int = 0) -> list[Block]:
        """What there is of a time, oldest first and each time once."""
        recent = self._history.memory.blocks(start, end)
        first = self._history.memory.start
        old: list[Block] = []
        if first is None or start < first:
            old = self._archived(start, end if first is None else min(end, first - 1), resolution)
        return _in_order([block.within(start, end) for block in (*old, *recent)])

    def _archived(self, start: int, until: int, resolution: int) -> list[Block]:
        """From the finest resolution that is asked for to coarser ones, where that does not reach back."""
        archive = self._history.archive
        found: list[Block] = []
        for level in RESOLUTIONS:
            first = archive.first(level)
            if level < resolution or first is None or first > until:
                continue
            found = archive.read(level, "last", max(start, first), until) + found
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
