"""The history of metrics: one clock samples the registry, memory keeps a day of it and the archive what is older.

Every ten minutes a block of samples is stored, and every minute what came since: so much a crash may lose. Rollups are
made of it every hour, and what is too old or too much is removed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from prometheus_client.registry import Collector

from gfedge import errors, metrics
from gfedge.arrays import np
from gfedge.db import Database
from gfedge.monitoring.archive import Archive
from gfedge.monitoring.blocks import Block, absent, join
from gfedge.monitoring.memory import Memory
from gfedge.monitoring.rollups import Aggregate, roll
from gfedge.monitoring.sampler import Sampler
from gfedge.promql.types import STALE, STALE_BITS, Labels
from gfedge.settings import Settings
from gfedge.tasks import Tasks

log = logging.getLogger(__name__)

T = TypeVar("T")

HOUR_MS = 3_600_000
IN_MEMORY_MS = 24 * HOUR_MS
TAIL_MS = 60_000
"""How often the tail is written: what a crash loses at most."""
ROLLUPS_MS = {300_000: HOUR_MS, HOUR_MS: 4 * HOUR_MS}
"""The windows of rollups, and over what they are made at once."""
LAG_SECONDS = 0.5
"""Between looks at how late the event loop is."""

Read = Callable[[], None]
"""Reads values from outside into the metrics before each sampling, in the clock's thread."""


class History:
    """Samples from `open` to `close`; `HistoryStorage` reads what is here."""

    def __init__(self, settings: Settings, db: Database, registry: Collector) -> None:
        self._settings = settings
        self.interval_ms = round(settings.metrics_interval * 1000)
        common = {"job": "gfedge", "instance": settings.address.partition("://")[2]}
        self.sampler = Sampler(registry, common, settings.max_series)
        self.memory = Memory(self.interval_ms, IN_MEMORY_MS)
        self.archive = Archive(db)
        self.sources: list[Read] = []
        self.ticked: list[Callable[[int], Awaitable[None]]] = []
        """Called on the event loop after each sampling with its time; the next one waits for them."""
        self._tasks = Tasks()
        self._clock = ThreadPoolExecutor(1, "metrics-clock")
        self._unwritten: list[Block] = []
        self._written_until = 0
        self._opened = False
        self._rolled: dict[int, int] = {}

    # Its life

    async def open(self) -> None:
        """Takes up what was stored before the start."""
        for labels, kind in await self.archive.open():
            self.sampler.load(labels, kind)
        self._rolled = {window: self.archive.last(window // 1000) for window in ROLLUPS_MS}
        now = round(time.time() * 1000)
        blocks, tail = await self.archive.recent(now - IN_MEMORY_MS)
        if ending := _ending((tail or blocks)[-1:], now, self.interval_ms):
            tail.append(ending)
        if tail:
            blocks.append(last := join(tail))
            await self.archive.write(self._series(), [(0, "last", last)])
        for block in blocks:
            self.memory.restore(block)
            self.sampler.saw(block.ids, int(block.times[0]), int(block.times[-1]))
        self._written_until = self.memory.last
        self._opened = True

    def start(self) -> None:
        """Opens, and then runs the clock; does not wait, because a day of samples takes a while to read."""
        self._tasks.spawn("sample metrics", self._run())
        self._tasks.spawn("look at the event loop", _watch_the_loop())

    async def close(self) -> None:
        await self._tasks.stop()
        if self._opened:
            await self.write()
        await asyncio.to_thread(self._clock.shutdown)

    async def _run(self) -> None:
        await self.open()
        await _logged(self.tick(round(time.time() * 1000)))  # so that there is something at once
        while True:
            now = time.time() * 1000
            at = int(now // self.interval_ms + 1) * self.interval_ms
            await asyncio.sleep((at - now) / 1000)
            await _logged(self.tick(at))
            if at - self._written_until >= TAIL_MS:
                await _logged(self.write())
                await _logged(self.tidy())

    # Sampling

    async def tick(self, time_ms: int) -> None:
        """Samples once, as of a time later than all before."""
        await self._in_clock(self._sample, time_ms)
        for react in self.ticked:
            await _logged(react(time_ms))

    async def record(self, time_ms: int, found: Iterable[tuple[Labels, float]]) -> bool:
        """Adds samples of other series (results of rules) to the column of a tick; False if that is no longer open.

        Such a series ends when its owner gives it the value STALE.
        """
        return await self._in_clock(self._amend, time_ms, list(found))

    async def _in_clock(self, function: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._clock, function, *args)

    def _sample(self, time_ms: int) -> None:
        if time_ms <= self.memory.last:  # the machine's clock was set back
            metrics.history_missed_total.inc()
            return
        began = time.perf_counter()
        for read in self.sources:
            try:
                read()
            except Exception:
                log.exception("a source of metrics failed")
        ids, values = self.sampler.sample()
        self.sampler.saw(ids, time_ms, time_ms)
        if (done := self.memory.append(time_ms, ids, values)) is not None:
            self._unwritten.append(done)
        metrics.history_series.set(self.sampler.live)
        metrics.history_dropped_series.set(self.sampler.dropped.total())
        metrics.history_memory_bytes.set(self.memory.nbytes)
        metrics.history_sample_seconds.observe(time.perf_counter() - began)

    def _amend(self, time_ms: int, found: Sequence[tuple[Labels, float]]) -> bool:
        ids, values = self.sampler.take(found)
        self.sampler.saw(ids, time_ms, time_ms)
        return self.memory.amend(time_ms, ids, values)

    # Writing

    async def write(self) -> None:
        """Stores what is not stored yet; where that fails it is tried again with the next."""
        blocks, tail = await self._in_clock(self._pending)
        try:
            await self.archive.write(self._series(), [(0, "last", block) for block in blocks], tail)
        except (errors.NoSpace, errors.Unavailable) as failure:
            metrics.history_unwritten_total.inc()
            log.warning("the history is not written for now: %s", failure)
            return
        del self._unwritten[: len(blocks)]
        for block in [*blocks, *([tail] if tail is not None else [])]:
            self._written_until = int(block.times[-1])

    def _pending(self) -> tuple[list[Block], Block | None]:
        """Whole blocks, and what the head got since the last writing."""
        return list(self._unwritten), self.memory.head(self._written_until)

    def _series(self) -> list[tuple[Labels, str]]:
        return list(zip(self.sampler.index.labels, self.sampler.kinds, strict=False))

    async def tidy(self) -> None:
        """Makes the rollups that are due and removes what is too old or too much."""
        made = False
        for window, period in ROLLUPS_MS.items():
            until = self.memory.last // period * period
            if until > self._rolled[window]:
                await self._roll(window, until)
                made = True
        if made:
            before = self.memory.last - round(self._settings.history_days * 24 * HOUR_MS)
            await self.archive.prune(before, self._settings.history_size)

    async def _roll(self, window: int, until: int) -> None:
        start = self.memory.start or until
        since = max(self._rolled[window], start // window * window)
        found = await asyncio.to_thread(self._rollups, window, since, until)
        if found:
            resolution = window // 1000
            await self.archive.write(
                self._series(), [(resolution, name, block) for name, block in found.items()]
            )
        self._rolled[window] = until

    def _rollups(self, window: int, since: int, until: int) -> dict[Aggregate, Block]:
        blocks = [
            b.within(since - window, until) for b in self.memory.blocks(since - window, until)
        ]
        blocks = [block for block in blocks if len(block.times)]
        if not blocks or blocks[-1].times[-1] <= since:
            return {}
        block = join(blocks)
        return roll(block, self.sampler.is_counter(block.ids), window, since)


def _ending(latest: Sequence[Block], now: int, interval_ms: int) -> Block | None:
    """Staleness markers for the series of a former process, one interval after its last samples."""
    if not latest or (at := int(latest[0].times[-1]) + interval_ms) >= now:
        return None
    values = latest[0].values[:, -1:]
    alive = ~(absent(values) | (values.view(np.uint64) == STALE_BITS))[:, 0]
    if not alive.any():
        return None
    ids = latest[0].ids[alive]
    return Block(ids, np.array([at], np.int64), np.full((len(ids), 1), STALE))


async def _logged(work: Awaitable[None]) -> None:
    """A failure of one round is no reason to stop the clock."""
    try:
        await work
    except Exception:
        log.exception("the history of metrics failed at this and goes on")


async def _watch_the_loop() -> None:
    """Measures how late the event loop wakes."""
    while True:
        asked = time.perf_counter() + LAG_SECONDS
        await asyncio.sleep(LAG_SECONDS)
        metrics.event_loop_lag_seconds.observe(max(0.0, time.perf_counter() - asked))
