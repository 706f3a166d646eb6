"""PromQL evaluated twice: by the engine, and step by step over lists of samples, from the definitions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gfedge.promql.engine import Engine
from gfedge.promql.memory import MemoryStorage
from gfedge.promql.types import (
    EVERY,
    STALE,
    Aligned,
    Labels,
    LabelSets,
    Need,
    Result,
    Selector,
    make_labels,
)

Samples = list[tuple[int, float]]
LOOKBACK = 300_000


def is_stale(value: float) -> bool:
    return bool(np.float64(value).view(np.uint64) == np.float64(STALE).view(np.uint64))


def window(samples: Samples, end: int, length: int) -> Samples:
    return [(t, v) for t, v in samples if end - length < t <= end and not is_stale(v)]


def instant(samples: Samples, at: int) -> float | None:
    found = [(t, v) for t, v in samples if at - LOOKBACK < t <= at]
    return None if not found or is_stale(found[-1][1]) else found[-1][1]


def rate(
    samples: Samples, end: int, length: int, *, counter: bool, per_second: bool
) -> float | None:
    found = window(samples, end, length)
    if len(found) < 2:
        return None
    (first, start_value), (last, end_value) = found[0], found[-1]
    result = end_value - start_value
    if counter:
        result += sum(a for (_, a), (_, b) in pairwise(found) if b < a)
    sampled = (last - first) / 1000
    average = sampled / (len(found) - 1)
    before, after = (first - (end - length)) / 1000, (end - last) / 1000
    before = before if before < average * 1.1 else average / 2
    after = after if after < average * 1.1 else average / 2
    if counter and result > 0 and start_value >= 0:
        before = min(before, sampled * start_value / result)
    factor = (sampled + before + after) / sampled
    return result * factor / (length / 1000 if per_second else 1)


def ranked(values: Sequence[float], fraction: float) -> float:
    ordered = sorted(values)
    rank = fraction * (len(ordered) - 1)
    low = math.floor(rank)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] * (1 - (rank - low)) + ordered[high] * (rank - low)


def slope(found: Samples) -> float | None:
    if len(found) < 2:
        return None
    xs, ys = [(t - found[0][0]) / 1000 for t, _ in found], [v for _, v in found]
    x, y = math.fsum(xs) / len(xs), math.fsum(ys) / len(ys)
    down = math.fsum((a - x) ** 2 for a in xs)
    return math.fsum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / down


def over(work: Callable[[list[float]], float | None]) -> Callable[[Samples], float | None]:
    return lambda found: work([v for _, v in found]) if found else None


def population(values: list[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((v - mean) ** 2 for v in values) / len(values)


WINDOWED: dict[str, Callable[[Samples], float | None]] = {
    "sum_over_time({})": over(math.fsum),
    "avg_over_time({})": over(lambda v: math.fsum(v) / len(v)),
    "min_over_time({})": over(min),
    "max_over_time({})": over(max),
    "count_over_time({})": over(lambda v: float(len(v))),
    "last_over_time({})": over(lambda v: v[-1]),
    "first_over_time({})": over(lambda v: v[0]),
    "stdvar_over_time({})": over(population),
    "stddev_over_time({})": over(lambda v: math.sqrt(population(v))),
    "quantile_over_time(0.3, {})": over(lambda v: ranked(v, 0.3)),
    "mad_over_time({})": over(lambda v: ranked([abs(x - ranked(v, 0.5)) for x in v], 0.5)),
    "changes({})": over(lambda v: float(sum(a != b for a, b in pairwise(v)))),
    "resets({})": over(lambda v: float(sum(b < a for a, b in pairwise(v)))),
    "idelta({})": over(lambda v: v[-1] - v[-2] if len(v) > 1 else None),
    "deriv({})": slope,
    "ts_of_last_over_time({})": lambda found: found[-1][0] / 1000 if found else None,
    "ts_of_max_over_time({})": lambda found: (
        max((v, t) for t, v in found)[1] / 1000 if found else None
    ),
}
RATES = {
    "rate": (True, True),
    "increase": (True, False),
    "delta": (False, False),
}


class GridStorage(MemoryStorage):
    """The same samples as one matrix with gaps: the form of a history that one clock sampled."""

    def __init__(self, rows: dict[Labels, Samples]) -> None:
        super().__init__()
        self.times = np.array(sorted({t for row in rows.values() for t, _ in row}), np.int64)
        self.rows = rows

    def select(  # type: ignore[override]
        self, matchers: Selector, start: int, end: int, need: Need = EVERY
    ) -> list[Aligned]:
        values = np.full((len(self.rows), len(self.times)), 12345.0)
        present = np.zeros(values.shape, np.bool_)
        for row, samples in enumerate(self.rows.values()):
            at = np.searchsorted(self.times, [t for t, _ in samples])
            values[row, at] = [v for _, v in samples]
            present[row, at] = True
        return [
            Aligned(
                LabelSets(list(self.rows)), self.times, values, None if present.all() else present
            )
        ]


values = st.one_of(
    st.integers(-5, 100).map(float),
    st.floats(-1e6, 1e6).map(lambda v: round(v, 3)),
    st.just(STALE),
)
times = st.lists(st.integers(0, 80), min_size=0, max_size=25, unique=True).map(sorted)
series = times.flatmap(
    lambda at: st.lists(values, min_size=len(at), max_size=len(at)).map(
        lambda vs: [(t * 15_000, v) for t, v in zip(at, vs, strict=True)]
    )
)
grids = st.tuples(
    st.integers(0, 1_000_000), st.sampled_from([15_000, 60_000, 7_000]), st.integers(1, 6)
)


def answers(found: Result) -> dict[Labels, dict[int, float]]:
    assert found.vector is not None
    mask = found.vector.mask
    return {
        labels: {
            int(t): float(v)
            for t, v, there in zip(found.times, found.vector.values[row], mask[row], strict=True)
            if there
        }
        for row, labels in enumerate(found.vector.labels.rows)
    }


def check(
    rows: list[Samples],
    grid: tuple[int, int, int],
    query: str,
    expected: Callable[[Samples, int], float | None],
) -> None:
    """The engine's answer over a range, from irregular series and from a matrix, against step by step."""
    start, step, count = grid
    end = start + step * (count - 1)
    labels = [make_labels({"__name__": "m", "row": str(row)}) for row in range(len(rows))]
    by_row = dict(zip(labels, rows, strict=True))
    plain = MemoryStorage()
    for one, samples in by_row.items():
        plain.add(one, [t for t, _ in samples], [v for _, v in samples])
    wanted = {
        dict(one)["row"]: {
            at: value
            for at in range(start, end + 1, step)
            if (value := expected(samples, at)) is not None
        }
        for one, samples in by_row.items()
    }
    wanted = {row: points for row, points in wanted.items() if points}
    for made in (plain, GridStorage(by_row)):
        found = {
            dict(one)["row"]: points
            for one, points in answers(Engine(made).range(query, start, end, step)).items()
        }
        assert found.keys() == wanted.keys()
        for row, points in wanted.items():
            assert found[row].keys() == points.keys()
            for at, value in points.items():
                assert math.isclose(found[row][at], value, rel_tol=1e-9, abs_tol=1e-6), (row, at)


@given(st.lists(series, max_size=4), grids)
@settings(deadline=None)
def test_selectors_look_back(rows: list[Samples], grid: tuple[int, int, int]) -> None:
    check(rows, grid, "m", instant)
    check(rows, grid, "m offset 1m", lambda samples, at: instant(samples, at - 60_000))


@given(st.lists(series, max_size=4), grids, st.sampled_from(sorted(RATES)), st.integers(20, 400))
@settings(deadline=None)
def test_rates_are_extrapolated(
    rows: list[Samples], grid: tuple[int, int, int], name: str, length: int
) -> None:
    counter, per_second = RATES[name]

    def expected(samples: Samples, at: int) -> float | None:
        return rate(samples, at, length * 1000, counter=counter, per_second=per_second)

    check(rows, grid, f"{name}(m[{length}s])", expected)


@given(st.lists(series, max_size=4), grids, st.sampled_from(sorted(WINDOWED)), st.integers(1, 500))
@settings(deadline=None, max_examples=200)
def test_windows_are_what_they_are_defined_as(
    rows: list[Samples], grid: tuple[int, int, int], query: str, length: int
) -> None:
    def expected(samples: Samples, at: int) -> float | None:
        return WINDOWED[query](window(samples, at, length * 1000))

    check(rows, grid, query.format(f"m[{length}s]"), expected)


@given(st.lists(series, max_size=3), grids, st.integers(1, 4))
@settings(deadline=None)
def test_a_subquery_is_evaluated_at_multiples_of_its_step(
    rows: list[Samples], grid: tuple[int, int, int], minutes: int
) -> None:
    step = 40_000

    def expected(samples: Samples, at: int) -> float | None:
        inner = range((at - minutes * 60_000) // step * step + step, at + 1, step)
        found = [v for t in inner if (v := instant(samples, t)) is not None]
        return math.fsum(found) if found else None

    check(rows, grid, f"sum_over_time(m[{minutes}m:40s])", expected)


AGGREGATED: dict[str, Callable[[list[float]], float]] = {
    "sum": math.fsum,
    "avg": lambda v: math.fsum(v) / len(v),
    "min": min,
    "max": max,
    "count": len,
    "stddev": lambda v: math.sqrt(population(v)),
    "quantile": lambda v: ranked(v, 0.7),
}


@given(st.lists(series, max_size=6), grids, st.sampled_from(sorted(AGGREGATED)))
@settings(deadline=None)
def test_groups_are_aggregated(rows: list[Samples], grid: tuple[int, int, int], op: str) -> None:
    start, step, count = grid
    made = MemoryStorage()
    for row, samples in enumerate(rows):
        labels = make_labels({"__name__": "m", "row": str(row), "half": str(row % 2)})
        made.add(labels, [t for t, _ in samples], [v for _, v in samples])
    param = "0.7, " if op == "quantile" else ""
    query = f"{op} by (half) ({param}m)"
    found = answers(Engine(made).range(query, start, start + step * (count - 1), step))
    for at in range(start, start + step * count, step):
        for half in (0, 1):
            there = [v for s in rows[half::2] if (v := instant(s, at)) is not None]
            value = found.get(make_labels({"half": str(half)}), {}).get(at)
            assert (value is None) == (not there)
            if value is not None:
                assert math.isclose(value, AGGREGATED[op](there), rel_tol=1e-9, abs_tol=1e-6)


def test_rounding_errors_do_not_add_up() -> None:
    made = MemoryStorage()
    values = [1e100, 1.0, -1e100, 1.0]
    made.add(make_labels({"__name__": "m"}), range(0, 40_000, 10_000), values)
    for row, value in enumerate(values):
        made.add(make_labels({"__name__": "n", "row": str(row)}), [30_000], [value])
    for query in ("sum_over_time(m[1m])", "sum(n)", "avg(n) * 4"):
        found = Engine(made).instant(query, 30_000).vector
        assert found is not None
        assert found.values[0, 0] == 2.0, query


def test_a_counter_that_falls_all_the_time() -> None:
    """More resets than are handled one by one."""
    made, samples = MemoryStorage(), [(k * 1000, float(k * 7919 % 101)) for k in range(6000)]
    made.add(make_labels({"__name__": "m"}), [t for t, _ in samples], [v for _, v in samples])
    found = answers(Engine(made).range("increase(m[5m])", 600_000, 5_000_000, 100_000))
    for at, value in found[()].items():
        wanted = rate(samples, at, 300_000, counter=True, per_second=False)
        assert wanted is not None
        assert math.isclose(value, wanted, rel_tol=1e-12)
