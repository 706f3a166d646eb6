"""Which rows of a storage match a selector. The answers are kept until a series appears."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gfedge.arrays import np
from gfedge.promql.types import NAME, Index, Labels, LabelSets, Matcher, Selector

KEPT = 512
"""Selections that are remembered."""


class Found(msgspec.Struct, frozen=True):
    """The rows that match, ascending, and their label sets: the same objects for the same question."""

    rows: Index
    labels: LabelSets

    @property
    def span(self) -> slice | Index:
        """A slice where the rows are neighbours (a view of the matrix), else the rows."""
        count = len(self.rows)
        if count and self.rows[-1] - self.rows[0] == count - 1:
            return slice(int(self.rows[0]), int(self.rows[-1]) + 1)
        return self.rows


class SeriesIndex:
    """Label sets by row number, appended to by one thread; any thread may ask."""

    def __init__(self) -> None:
        self.labels: list[Labels] = []
        self._row: dict[Labels, int] = {}
        self._postings: dict[str, dict[str, list[int]]] = {}
        self._found: dict[tuple[Matcher, ...], Found] = {}

    def __len__(self) -> int:
        return len(self.labels)

    def get(self, labels: Labels) -> int | None:
        return self._row.get(labels)

    def add(self, labels: Labels) -> int:
        """The row of a label set, which is a new one where it was not known."""
        if (known := self._row.get(labels)) is not None:
            return known
        row = len(self.labels)
        self.labels.append(labels)  # first: who finds the row in a posting reads its labels
        for name, value in labels:
            self._postings.setdefault(name, {}).setdefault(value, []).append(row)
        self._row[labels] = row
        self._found = {}
        return row

    def find(self, matchers: Selector) -> Found:
        """The rows that fulfil every matcher."""
        key, kept = tuple(matchers), self._found
        if (found := kept.get(key)) is None:
            rows = np.array(self._match(matchers), np.intp)
            found = Found(rows, LabelSets([self.labels[row] for row in rows]))
            if len(kept) >= KEPT:
                kept.clear()
            kept[key] = found
        return found

    def series(self, selectors: Sequence[Selector]) -> list[Labels]:
        """The label sets that match any of the selectors; all where there are none."""
        if not selectors:
            return list(self.labels)
        rows: set[int] = set()
        for selector in selectors:
            rows.update(self.find(selector).rows.tolist())
        return [self.labels[row] for row in sorted(rows)]

    def label_names(self, selectors: Sequence[Selector]) -> list[str]:
        if not selectors:
            return sorted(self._postings)
        return sorted({name for labels in self.series(selectors) for name, _ in labels})

    def label_values(self, name: str, selectors: Sequence[Selector]) -> list[str]:
        if not selectors:
            return sorted(self._postings.get(name, ()))
        found = (value for labels in self.series(selectors) for n, value in labels if n == name)
        return sorted(set(found))

    def _match(self, matchers: Selector) -> list[int]:
        rows: set[int] | None = None
        ordered = sorted(matchers, key=lambda m: (m.op != "=", m.name != NAME))
        for wanted in ordered:
            matching = self._rows_of(wanted, rows)
            rows = matching if rows is None else rows & matching
            if not rows:
                return []
        return sorted(rows) if rows is not None else list(range(len(self.labels)))

    def _rows_of(self, wanted: Matcher, among: set[int] | None) -> set[int]:
        values = self._postings.get(wanted.name, {})
        if wanted.op == "=" and wanted.value:
            return set(values.get(wanted.value, ()))
        hits = [rows for value, rows in list(values.items()) if wanted.matches(value)]
        matching: set[int] = set().union(*hits)
        if wanted.matches(""):
            having: set[int] = set().union(*list(values.values()))
            matching |= (set(range(len(self.labels))) if among is None else among) - having
        return matching
