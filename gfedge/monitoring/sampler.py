"""The sampler: reads the metrics' registry into one column of numbers, never over text.

It knows every series by the row that the index gave it, says which ones are gone since the column before, and takes no
new ones past a bound, but counts them by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from prometheus_client.registry import Collector

from gfedge.arrays import np
from gfedge.monitoring.blocks import Ids
from gfedge.promql.index import SeriesIndex
from gfedge.promql.types import NAME, STALE, Index, Labels, Metadata, Times, Values, make_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from prometheus_client.metrics_core import Metric

COUNTERS = frozenset(("counter", "histogram"))
DROPPED = -1
GROW_ROWS = 256
NAMED_DROPS = 100
"""Names that are kept of series which were not taken."""


class Sampler:
    """Series by row, and the registry that they are read from. One thread calls `sample`, `take` and `load`."""

    def __init__(self, registry: Collector, common: Mapping[str, str], most: int) -> None:
        self.index = SeriesIndex()
        self.kinds: list[str] = []
        """The type of each row's metric: counter, gauge, histogram."""
        self.metadata = {"up": Metadata("gauge", "1: the server samples itself.")}
        self.dropped: Counter[str] = Counter()
        """Series that were not taken, by name."""
        self._registry = registry
        self._common = dict(common)
        self._up = make_labels({**common, NAME: "up"})
        """What Prometheus says of a target that answers, which is the first thing that people ask for."""
        self._most = most
        self._rows: dict[tuple[str, ...], int] = {}
        self._times: Times | None = None
        """When each row was first and last sampled, in milliseconds."""
        self._before: frozenset[int] | None = None
        self._seen: set[int] = set()

    @property
    def live(self) -> int:
        """How many series were in the latest column."""
        return len(self._before or ())

    def load(self, labels: Labels, kind: str) -> None:
        """A series of before the start; rows are given in this order."""
        self.index.add(labels)
        self.kinds.append(kind)

    def saw(self, ids: Ids, start: int, end: int) -> None:
        """Notes that rows were sampled from a time to a later one."""
        times = self._times if self._times is not None else np.zeros((0, 2), np.int64)
        if len(ids) and (most := int(ids.max())) >= len(times):
            more = np.zeros((most + 1 + GROW_ROWS, 2), np.int64)
            more[: len(times)] = times
            times = more
        known = times[ids]
        times[ids, 0] = np.where(known[:, 0] > 0, known[:, 0], start)
        times[ids, 1] = end
        self._times = times

    def seen(self, rows: Index, start: int, end: int) -> NDArray[np.bool_]:
        """Which rows were sampled between two times, roughly: a row of before the start may have been, for long."""
        if (times := self._times) is None:
            return np.ones(len(rows), np.bool_)
        rows = np.minimum(rows, len(times) - 1)
        first, last = times[rows, 0], times[rows, 1]
        found: NDArray[np.bool_] = ((first <= end) & (last >= start)) | (last == 0)
        return found

    def is_counter(self, ids: Ids) -> NDArray[np.bool_]:
        return np.array([self.kinds[row] in COUNTERS for row in ids.tolist()], np.bool_)

    def sample(self) -> tuple[Ids, Values]:
        """One column: a value for each series that is there, the staleness marker for each that has gone."""
        rows, values = [self._row(self._up, "gauge")], [1.0]
        known = self._rows
        for family in self._registry.collect():
            for one in family.samples:
                key = (one.name, *one.labels.values())
                if (row := known.get(key)) is None:
                    row = self._meet(key, one.name, one.labels, family)
                if row != DROPPED:
                    rows.append(row)
                    values.append(one.value)
        return self._with_gone(rows, values)

    def take(self, found: Iterable[tuple[Labels, float]]) -> tuple[Ids, Values]:
        """A column of series that are not in the registry (results of rules); labels as they are."""
        rows: list[int] = []
        values: list[float] = []
        for labels, value in found:
            if (row := self._row(labels, "gauge")) != DROPPED:
                rows.append(row)
                values.append(value)
        return np.array(rows, np.int32), np.array(values, np.float64)

    def _with_gone(self, rows: list[int], values: list[float]) -> tuple[Ids, Values]:
        now = frozenset(rows)
        gone = [] if self._before is None else sorted(self._before - now)
        self._before = now
        return (
            np.array(rows + gone, np.int32),
            np.array(values + [STALE] * len(gone), np.float64),
        )

    def _meet(
        self, key: tuple[str, ...], name: str, labels: Mapping[str, str], family: Metric
    ) -> int:
        """The row of a series that this process has not seen yet."""
        self.metadata.setdefault(
            name if family.type == "counter" else family.name,
            Metadata(family.type, family.documentation, family.unit),
        )
        row = self._rows[key] = self._row(
            make_labels({**self._common, **labels, NAME: name}), family.type
        )
        return row

    def _row(self, labels: Labels, kind: str) -> int:
        row = self.index.get(labels)
        if row is not None and row in self._seen:
            return row
        if len(self._seen) >= self._most:
            name = dict(labels)[NAME]
            if name in self.dropped or len(self.dropped) < NAMED_DROPS:
                self.dropped[name] += 1
            return DROPPED
        if row is None:
            self.kinds.append(kind)
            row = self.index.add(labels)
        self._seen.add(row)
        return row
