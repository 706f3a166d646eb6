"""The history of metrics: what is sampled, what is stored, and what comes back after a stop or a crash."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gfedge import migrate
from gfedge.db import Database
from gfedge.monitoring import blocks, store
from gfedge.monitoring.blocks import ABSENT, Block, absent, pack, unpack
from gfedge.monitoring.history import History
from gfedge.monitoring.rollups import roll
from gfedge.monitoring.storage import HistoryStorage
from gfedge.promql.engine import Engine
from gfedge.promql.types import STALE, STALE_BITS, Aligned, Matcher, Need
from gfedge.settings import Settings

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
BEGIN = 1_790_006_400_000
"""An hour's beginning, and a day's."""


def bits(values: NDArray[np.float64]) -> NDArray[np.uint64]:
    return np.ascontiguousarray(values).view(np.uint64)


# -- blocks -------------------------------------------------------------------------------------


def block(values: list[list[float]], start: int = BEGIN, step: int = 5 * SECOND) -> Block:
    matrix = np.array(values, np.float64)
    ids = np.arange(matrix.shape[0], dtype=np.int32)
    times = start + step * np.arange(matrix.shape[1], dtype=np.int64)
    return Block(ids, times, matrix)


def rough() -> Iterator[list[float]]:
    """Rows of every kind that the encoding tells apart."""
    generator = np.random.default_rng(7)
    yield [float(n) for n in range(120)]
    yield np.round(generator.normal(50, 9, 120), 2).tolist()
    yield generator.normal(size=120).tolist()
    yield [0.1 + 0.2] * 120
    yield [-0.0, *[0.0] * 119]
    yield [math.nan, math.inf, -math.inf, STALE, float(ABSENT), *[2.0] * 115]
    yield [2.0**53 + 2, -(2.0**60), 1e300, 5e-324, *[0.0001] * 116]
    yield [1e15 + 0.5, *[0.0] * 119]
    yield [(-1.0) ** n * 2.0**51 for n in range(120)]


def test_a_block_comes_back_bit_by_bit() -> None:
    rows = list(rough())
    original = Block(
        np.array([0, 3, 4, 7, 11, 200, 1000, 70_000, 70_001], np.int32)[: len(rows)],
        np.array([BEGIN + 5 * SECOND * n + (n % 7 == 3) for n in range(120)], np.int64),
        np.array(rows),
    )
    found = unpack(pack(original))
    assert (bits(found.values) == bits(original.values)).all()
    assert (found.times == original.times).all()
    assert (found.ids == original.ids).all()
    assert original.samples == 9 * 120 - 1


def test_an_empty_block_comes_back() -> None:
    found = unpack(pack(Block(np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros((0, 0)))))
    assert found.values.shape == (0, 0)


@pytest.mark.parametrize("data", [b"", b"no block", pack(block([[1.0, 2.0]]))[:-9]])
def test_bytes_that_are_no_block_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no block of metrics"):
        unpack(data)


def test_a_sample_of_common_metrics_takes_few_bytes() -> None:
    generator = np.random.default_rng(1)
    gauges = np.round(generator.normal(50, 5, (50, 120)), 2)
    counters = np.cumsum(generator.poisson(3, (50, 120)), axis=1).astype(float)
    found = block([*gauges.tolist(), *counters.tolist()])
    assert len(pack(found)) / found.samples < 2.5


def test_joined_blocks_have_gaps_where_one_lacks_a_series() -> None:
    first = Block(np.array([0, 2], np.int32), np.array([10, 20]), np.array([[1.0, 2], [3, 4]]))
    second = Block(np.array([1, 2], np.int32), np.array([30]), np.array([[5.0], [6]]))
    found = blocks.join([first, second])
    assert found.ids.tolist() == [0, 1, 2]
    assert found.times.tolist() == [10, 20, 30]
    assert absent(found.values).tolist() == [[0, 0, 1], [1, 1, 0], [0, 0, 0]]


# -- rollups ------------------------------------------------------------------------------------


def increase(values: NDArray[np.float64]) -> float:
    """The increase of a counter between its first and last sample, as Prometheus counts it."""
    numbers = values[~np.isnan(values)]
    falls = numbers[:-1][numbers[1:] < numbers[:-1]]
    return float(numbers[-1] - numbers[0] + falls.sum())


def test_rollups_keep_the_last_sample_of_each_window_as_of_its_end() -> None:
    values = [float(n) for n in range(1, 121)]
    raw = block([values], start=BEGIN + 5 * SECOND)
    found = roll(raw, np.array([True]), 5 * MINUTE, BEGIN)
    assert found["last"].times.tolist() == [BEGIN + 5 * MINUTE, BEGIN + 10 * MINUTE]
    assert found["last"].values.tolist() == [[60.0, 120.0]]
    assert set(found) == {"last"}


def test_rollups_of_gauges_keep_extremes_and_averages() -> None:
    raw = block([[1.0, 9, 2, math.nan], [float(ABSENT)] * 4], start=BEGIN + 5 * SECOND)
    found = roll(raw, np.array([False, False]), 5 * MINUTE, BEGIN)
    assert [found[name].values[0, 0] for name in ("min", "max", "avg")] == [1.0, 9.0, 4.0]
    assert absent(found["max"].values[1]).all()
    assert math.isnan(found["last"].values[0, 0])


def test_rollups_keep_the_increase_of_counters_over_restarts() -> None:
    generator = np.random.default_rng(3)
    steps = generator.poisson(5, 720).astype(float)
    counter = np.cumsum(steps)
    for at in (100, 101, 333, 360, 719):
        counter[at:] -= counter[at]
    counter[333] = STALE
    raw = block([counter.tolist()], start=BEGIN + 5 * SECOND)
    found = roll(raw, np.array([True]), 5 * MINUTE, BEGIN)["last"]
    whole = increase(raw.values[0, 59:])
    kept = found.values[0, found.times >= BEGIN + 5 * MINUTE]
    assert increase(kept) == whole
    assert len(found.times) < 30
    assert (np.diff(found.times) > 0).all()


def test_a_reset_right_after_the_window_before_is_kept() -> None:
    raw = block([[50.0, 60, 5, 70, 80]], start=BEGIN - 5 * SECOND)
    found = roll(raw, np.array([True]), 5 * MINUTE, BEGIN)["last"]
    assert found.values[0].tolist() == [5.0, 80.0]


# -- sampling and storing -----------------------------------------------------------------------


class Bench:
    """A history on a registry and a database of its own, whose clock the test is."""

    def __init__(self, folder: Path, registry: CollectorRegistry, **settings: object) -> None:
        self.db = Database(folder / "test.duckdb")
        self.settings = Settings(data=folder, **settings)  # type: ignore[arg-type]
        self.history = History(self.settings, self.db, registry)
        self.storage = HistoryStorage(self.history)

    async def ticks(self, start: int, count: int, step: int = 5 * SECOND) -> int:
        for number in range(count):
            await self.history.tick(start + step * number)
        return start + step * count

    async def select(self, name: str, start: int, end: int) -> Aligned | None:
        wanted = [Matcher("__name__", "=", name)]
        found = await asyncio.to_thread(self.storage.select, wanted, start, end)
        return found[0] if found else None


@asynccontextmanager
async def opened(
    folder: Path, registry: CollectorRegistry, close: bool = True, **settings: object
) -> AsyncIterator[Bench]:
    bench = Bench(folder, registry, **settings)
    await asyncio.to_thread(bench.db.open, migrate.migrate)
    try:
        await bench.history.open()
        yield bench
        if close:
            await bench.history.close()
    finally:
        await asyncio.to_thread(bench.db.close)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


async def test_every_sample_of_the_registry_becomes_a_series(
    tmp_path: Path, registry: CollectorRegistry
) -> None:
    gauge = Gauge("here_bytes", "A gauge.", ["of"], registry=registry)
    histogram = Histogram("took_seconds", "Times.", buckets=(1.0,), registry=registry)
    gauge.labels("a").set(7)
    histogram.observe(0.5)
    async with opened(tmp_path, registry) as bench:
        await bench.ticks(BEGIN, 1)
        gauge.labels("a").set(math.nan)
        await bench.ticks(BEGIN + 5 * SECOND, 1)
        found = await bench.select("here_bytes", BEGIN, BEGIN + MINUTE)
        assert found is not None
        assert found.labels.rows == [
            (
                ("__name__", "here_bytes"),
                ("instance", "127.0.0.1:8000"),
                ("job", "gfedge"),
                ("of", "a"),
            )
        ]
        assert found.times.tolist() == [BEGIN, BEGIN + 5 * SECOND]
        assert found.values[0, 0] == 7
        assert math.isnan(found.values[0, 1])
        assert found.present is None
        names = bench.storage.label_values("__name__", [], BEGIN, BEGIN + MINUTE)
        histogram_names = [f"took_seconds_{end}" for end in ("bucket", "count", "sum")]
        assert names == ["here_bytes", *histogram_names, "up"]
        assert bench.storage.metadata()["took_seconds"].type == "histogram"


async def test_a_series_that_goes_ends_with_a_staleness_marker(
    tmp_path: Path, registry: CollectorRegistry
) -> None:
    gauge = Gauge("here", "A gauge.", ["of"], registry=registry)
    gauge.labels("a").set(1)
    gauge.labels("b").set(2)
    async with opened(tmp_path, registry) as bench:
        now = await bench.ticks(BEGIN, 2)
        gauge.remove("a")
        now = await bench.ticks(now, 2)
        gauge.labels("a").set(3)
        await bench.ticks(now, 1)
        found = await bench.select("here", BEGIN, BEGIN + MINUTE)
        assert found is not None
        assert found.present is not None
        assert found.present.tolist() == [[1, 1, 1, 0, 1], [1] * 5]
        assert bits(found.values)[0, 2] == STALE_BITS
        assert found.values[0, [0, 1, 4]].tolist() == [1, 1, 3]


async def test_series_past_the_bound_are_counted_and_named(
    tmp_path: Path, registry: CollectorRegistry
) -> None:
    gauge = Gauge("many", "A gauge.", ["of"], registry=registry)
    for number in range(130):
        gauge.labels(str(number)).set(number)
    async with opened(tmp_path, registry, max_series=100) as bench:
        await bench.ticks(BEGIN, 2)
        found = await bench.select("many", BEGIN, BEGIN + MINUTE)
        assert found is not None
        assert len(found.labels) == 99
        assert dict(bench.history.sampler.dropped) == {"many": 31}


async def test_samples_of_rules_join_the_column_of_their_time(
    tmp_path: Path, registry: CollectorRegistry
) -> None:
    Gauge("here", "A gauge.", registry=registry)
    labels = (("__name__", "job:here:sum"), ("job", "gfedge"))
    async with opened(tmp_path, registry) as bench:
        await bench.ticks(BEGIN, 1)
        assert await bench.history.record(BEGIN, [(labels, 4.0)])
        await bench.ticks(BEGIN + 5 * SECOND, 1)
        assert await bench.history.record(BEGIN, [(labels, 5.0)])
        assert not await bench.history.record(BEGIN + SECOND, [(labels, 6.0)])
        found = await bench.select("job:here:sum", BEGIN, BEGIN + MINUTE)
        assert found is not None
        assert found.labels.rows == [labels]
        assert found.present is not None
        assert found.present.tolist() == [[True, False]]
        assert found.values[0, 0] == 5.0


async def test_a_clock_that_is_set_back_skips_samples(
    tmp_path: Path, registry: CollectorRegistry
) -> None:
    Gauge("here", "A gauge.", registry=registry)
    async with opened(tmp_path, registry) as bench:
        await bench.ticks(BEGIN, 1)
        await bench.ticks(BEGIN - MINUTE, 1)
        await bench.ticks(BEGIN + SECOND, 1)
        found = await bench.select("here", BEGIN - HOUR, BEGIN + HOUR)
        assert found is not None
        assert found.times.tolist() == [BEGIN, BEGIN + SECOND]


@pytest.mark.parametrize("how", ["stopped", "killed"])
async def test_what_was_sampled_comes_back_after_a_restart(
    tmp_path: Path, registry: CollectorRegistry, how: str
) -> None:
    counter = Counter("done", "Things done.", registry=registry)
    async with opened(tmp_path, registry, close=how == "stopped") as bench:
        now = BEGIN
        for _ in range(150):  # a block of ten minutes, and two and a half minutes of the next
            counter.inc()
            now = await bench.ticks(now, 1)
            if now % MINUTE == 0:
                await bench.history.write()
    registry = CollectorRegistry()
    Counter("done", "Things done.", registry=registry).inc(3)
    async with opened(tmp_path, registry) as bench:
        await bench.ticks(now + HOUR, 1)
        found = await bench.select("done_total", BEGIN, now + 2 * HOUR)
        assert found is not None
        assert (bits(found.values) == STALE_BITS).sum() == 1
        numbers = found.values[0, ~np.isnan(found.values[0])].tolist()
        kept = 150 if how == "stopped" else 144
        assert numbers == [*map(float, range(1, kept + 1)), 3.0]


async def test_a_second_restart_marks_nothing_twice(
    tmp_path: Path, registry: CollectorRegistry
) -> None:
    Gauge("here", "A gauge.", registry=registry)
    async with opened(tmp_path, registry) as bench:
        await bench.ticks(BEGIN, 3)
    for _ in range(2):
        async with opened(tmp_path, CollectorRegistry()) as bench:
            found = await bench.select("here", BEGIN, BEGIN + HOUR)
            assert found is not None
            assert len(found.times) == 4


async def test_the_past_comes_from_blocks_and_what_they_lack_from_rollups(
    tmp_path: Path, registry: CollectorRegistry
) -> None:
    counter = Counter("done", "Things done.", registry=registry)
    async with opened(tmp_path, registry, metrics_interval=60) as bench:
        now = BEGIN
        for _ in range(30 * 60):  # thirty hours
            counter.inc()
            now = await bench.ticks(now + MINUTE, 1, 0)
            if now % HOUR == 0:
                await bench.history.write()
                await bench.history.tidy()
        assert bench.history.memory.start is not None
        assert bench.history.memory.start > BEGIN + 5 * HOUR
        found = await bench.select("done_total", BEGIN, now)
        assert found is not None
        assert found.values[0].tolist() == [float(n) for n in range(1, 30 * 60 + 1)]
        rolled = await asyncio.to_thread(bench.storage.blocks, BEGIN, now, 300)
        assert rolled[0].times[:3].tolist() == [BEGIN + n * 5 * MINUTE for n in (1, 2, 3)]
        # The samples go, their rollups stay.
        coarse = [e for e in bench.history.archive.entries if e.resolution_seconds]
        await bench.db.write(store.prune, 0.0, sum(entry.size_bytes for entry in coarse))
        await bench.history.archive.look()
        found = await bench.select("done_total", BEGIN, now)
        assert found is not None
        assert (np.diff(found.times) > 0).all()
        assert found.times[:2].tolist() == [BEGIN + 5 * MINUTE, BEGIN + 10 * MINUTE]
        assert increase(found.values[0]) == found.values[0, -1] - found.values[0, 0]


def long_ago(days: int) -> Block:
    """A counter and a gauge every minute; the gauge has a peak of a minute each day."""
    minutes = np.arange(1, days * 1440 + 1)
    counter = np.cumsum(np.random.default_rng(2).poisson(4, len(minutes))).astype(float)
    counter[3000:] -= counter[3000]
    gauge = np.where(minutes % 1440 == 777, 99.0, minutes % 10)
    times = BEGIN + minutes.astype(np.int64) * MINUTE
    return Block(np.array([0, 1], np.int32), times, np.stack([counter, gauge]))


async def test_long_ranges_are_read_from_rollups_where_they_say_the_same(
    tmp_path: Path, registry: CollectorRegistry
) -> None:
    series = [
        ((("__name__", "c_total"),), "counter"),
        ((("__name__", "g"),), "gauge"),
    ]
    raw, is_counter = long_ago(5), np.array([True, False])
    rolled = [
        (window // SECOND, name, block)
        for window in (5 * MINUTE, HOUR)
        for name, block in roll(raw, is_counter, window, BEGIN).items()
    ]
    async with opened(tmp_path, registry) as bench:
        await bench.history.archive.write(series, [(0, "last", raw), *rolled])
    async with opened(tmp_path, registry) as bench:
        end = BEGIN + 5 * DAY
        await bench.ticks(end + MINUTE, 1)
        engine = Engine(bench.storage)

        async def ask(query: str, step: int = 6 * HOUR) -> NDArray[np.float64]:
            result = await asyncio.to_thread(engine.range, query, BEGIN + DAY, end, step)
            assert result.vector is not None
            asked.append(result.samples)
            return result.vector.values[0]

        asked: list[int] = []
        assert (await ask("max_over_time(g[1d])") == 99).all()
        assert (await ask("min_over_time(g[2h])") == 0).all()
        assert np.allclose(await ask("avg_over_time(g[2h])"), 4.5, atol=1.0)
        rates = await ask("increase(c_total[6h])")
        assert max(asked) < 5 * 24 * 30
        every = await ask("increase(c_total[6h] offset 0s) + 0 * count_over_time(c_total[6h])")
        assert np.allclose(rates, every, rtol=0.02)
        assert np.isfinite(await ask("rate(c_total[5m])", HOUR)).all()
        assert (await ask("g", HOUR) == 0).all()
        # What the raw samples alone can say is read from them.
        assert (await ask("count_over_time(g[1h])") == 60).all()
        assert bench.storage._source(
            np.array([1], np.int32), BEGIN, Need(HOUR, "max_over_time")
        ) == (300, "max")
        assert bench.storage._source(
            np.array([0, 1], np.int32), BEGIN, Need(HOUR, "max_over_time")
        ) == (0, "last")
        assert bench.storage._source(np.array([0], np.int32), BEGIN, Need(DAY, "rate")) == (
            3600,
            "last",
        )
        assert bench.storage._source(np.array([0], np.int32), end - DAY, Need(DAY, "rate")) == (
            0,
            "last",
        )


async def test_what_is_too_old_is_removed(tmp_path: Path, registry: CollectorRegistry) -> None:
    Gauge("here", "A gauge.", registry=registry)
    async with opened(tmp_path, registry, metrics_interval=60, history_days=1) as bench:
        now = await bench.ticks(BEGIN, 30, MINUTE)
        await bench.history.write()
        now = await bench.ticks(BEGIN + 3 * DAY, 90, MINUTE)
        await bench.history.write()
        await bench.history.tidy()
        entries = bench.history.archive.entries
        assert entries
        assert min(entry.ended_at for entry in entries) * 1000 > now - DAY


async def test_a_block_that_cannot_be_read_is_left_out(
    tmp_path: Path, registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    Gauge("here", "A gauge.", registry=registry)
    async with opened(tmp_path, registry) as bench:
        await bench.ticks(BEGIN, 3)
        await bench.history.write()
        await bench.db.write(
            lambda cursor: cursor.execute("update metric_tail set data = 'x'::blob")
        )
        await bench.ticks(BEGIN + 15 * SECOND, 1)
    async with opened(tmp_path, CollectorRegistry()) as bench:
        found = await bench.select("here", BEGIN, BEGIN + HOUR)
        assert found is not None
        assert found.times[0] == BEGIN + 15 * SECOND
    assert "cannot be read" in caplog.text
