"""A small storage: series with times of their own, held in memory. Tests and an empty server use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gfedge.promql.index import SeriesIndex
from gfedge.promql.types import EVERY, Irregular, Labels, Metadata, Need, Selector, Times, Values


class MemoryStorage:
    """Series by label set; what is added replaces the samples of the same series."""

    def __init__(self) -> None:
        self._index = SeriesIndex()
        self._samples: list[tuple[Times, Values]] = []
        self.known: dict[str, Metadata] = {}

    def add(
        self, labels: Labels, times: Sequence[int] | Times, values: Sequence[float] | Values
    ) -> None:
        """A series; times are milliseconds, ascending."""
        samples = np.asarray(times, np.int64), np.asarray(values, np.float64)
        row = self._index.add(labels)
        if row == len(self._samples):
            self._samples.append(samples)
        else:
            self._samples[row] = samples

    def select(
        self,
        matchers: Selector,
        start: int,
        end: int,
        need: Need = EVERY,  # noqa: ARG002  here every sample is at hand
    ) -> Sequence[Irregular]:
        found = self._index.find(matchers)
        times, values = [], []
        for row in found.rows.tolist():
            at, what = self._samples[row]
            first, last = np.searchsorted(at, (start, end + 1))
            times.append(at[first:last])
            values.append(what[first:last])
        if not times:
            return []
        offsets = np.concatenate(([0], np.cumsum([len(at) for at in times]))).astype(np.intp)
        return [Irregular(found.labels, offsets, np.concatenate(times), np.concatenate(values))]

    def series(self, selectors: Sequence[Selector], start: int, end: int) -> Sequence[Labels]:
        return [row for row in self._index.series(selectors) if self._seen(row, start, end)]

    def label_names(self, selectors: Sequence[Selector], start: int, end: int) -> Sequence[str]:
        return sorted({name for row in self.series(selectors, start, end) for name, _ in row})

    def label_values(
        self, name: str, selectors: Sequence[Selector], start: int, end: int
    ) -> Sequence[str]:
        found = {dict(row).get(name, "") for row in self.series(selectors, start, end)}
        return sorted(found - {""})

    def _seen(self, labels: Labels, start: int, end: int) -> bool:
        row = self._index.get(labels)
        assert row is not None
        times, _ = self._samples[row]
        return bool(np.searchsorted(times, start) < np.searchsorted(times, end, "right"))

    def metadata(self) -> Mapping[str, Metadata]:
        return self.known
