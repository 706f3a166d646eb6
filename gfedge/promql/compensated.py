"""Sums whose rounding errors are summed too (Knuth's TwoSum in a tree), so that 1e100 + 1 - 1e100 is 1.

Prometheus sums with Kahan's and Neumaier's algorithm; the tree does the same for many sums at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gfedge.arrays import np
from gfedge.promql.types import Index, Values


class Sum(msgspec.Struct, frozen=True):
    """`high + low`, where low is what rounding took from high."""

    high: Values
    low: Values

    @property
    def total(self) -> Values:
        return self.divided(1.0)

    def divided(self, count: Values | Index | float) -> Values:
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            exact = self.high / count + self.low / count
            # The error of an infinite sum is no number.
            return np.where(np.isfinite(self.high), exact, self.high / count)


def _two_sum(a: Values, b: Values) -> tuple[Values, Values]:
    # In place where it can be: to allocate costs more than to compute.
    total = a + b
    part = total - a
    error = total - part
    np.subtract(a, error, out=error)
    np.subtract(b, part, out=part)
    error += part
    return total, error


def tree(values: Values) -> Sum:
    """The sums along the first axis."""
    with np.errstate(invalid="ignore", over="ignore"):
        low = np.zeros(values.shape[1:])
        if not len(values):
            return Sum(low, low)
        while len(values) > 1:
            half = len(values) // 2
            odd = values[2 * half :]
            values, error = _two_sum(values[:half], values[half : 2 * half])
            low = low + error.sum(axis=0)
            if len(odd):
                values = np.concatenate((values, odd))
        return Sum(values[0], low)


class Level(msgspec.Struct, frozen=True):
    """One level of the tree: pairs of neighbours in a group become one row."""

    left: Index
    """The rows that go on."""
    paired: Index
    """Which of them have a right neighbour to add."""
    groups: Index
    """The groups that have such pairs, ascending."""
    starts: Index
    """Where each of these groups begins among the pairs."""


Plan = Sequence[Level]


def plan(groups: Index, count: int) -> tuple[Index, Plan]:
    """How to sum rows by group: the order in which to take the rows, and the levels. Every group has a row."""
    order = np.argsort(groups, kind="stable")
    levels: list[Level] = []
    current = groups[order]
    while len(current) > count:
        starts = np.searchsorted(current, np.arange(count))
        place = np.arange(len(current)) - starts[current]
        left = np.flatnonzero(place % 2 == 0)
        has_right = np.append(current[1:] == current[:-1], False)[left]
        of_pair, starts = np.unique(current[left[has_right]], return_index=True)
        levels.append(Level(left, np.flatnonzero(has_right), of_pair, starts))
        current = current[left]
    return order, levels


def grouped(values: Values, order: Index, levels: Plan, count: int) -> Sum:
    """The sums of rows by group, over all columns at once."""
    with np.errstate(invalid="ignore", over="ignore"):
        current = values if len(order) == 1 else values[order]
        low = np.zeros((count, values.shape[1]))
        for level in levels:
            kept, right = current[level.left], current[level.left[level.paired] + 1]
            kept[level.paired], error = _two_sum(kept[level.paired], right)
            low[level.groups] += np.add.reduceat(error, level.starts, axis=0)
            current = kept
        return Sum(current, low)
