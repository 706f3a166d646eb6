"""The archive: blocks of samples and rollups in DuckDB, written from memory and read back for older times."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from gfedge.db import Database
from gfedge.monitoring import store
from gfedge.monitoring.blocks import Block, pack, unpack
from gfedge.monitoring.rollups import Aggregate
from gfedge.monitoring.store import BlockRow, Entry, SeriesRow, TailRow
from gfedge.promql.types import Labels, make_labels
from gfedge.rows import Row

log = logging.getLogger(__name__)

KEPT_BYTES = 64 << 20
"""Of blocks that were read and unpacked."""
RESOLUTIONS = (0, 300, 3600)
"""In seconds; 0 is as sampled."""

Key = tuple[int, str, float]


class Archive:
    """What is stored of the history. Times of its methods are Unix milliseconds."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._loop: asyncio.AbstractEventLoop
        self._entries: dict[tuple[int, str], list[Entry]] = {}
        self._unpacked: OrderedDict[Key, Block] = OrderedDict()
        self._lock = threading.Lock()
        self._series = 0

    async def open(self) -> list[tuple[Labels, str]]:
        """All series that are known, in the order of their ids, with the types of their metrics."""
        self._loop = asyncio.get_running_loop()
        found = await self._db.read(store.all_series)
        self._series = len(found)
        await self.look()
        return [(make_labels(msgspec.json.decode(labels)), kind) for _, labels, kind in found]

    @property
    def entries(self) -> list[Entry]:
        return [entry for entries in self._entries.values() for entry in entries]

    @property
    def size_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self.entries)

    def first(self, resolution: int) -> int | None:
        """Time of the oldest sample of a resolution."""
        entries = self._entries.get((resolution, "last"))
        return round(entries[0].started_at * 1000) if entries else None

    def last(self, resolution: int) -> int:
        """Time of the latest sample of a resolution; 0 where there is none."""
        entries = self._entries.get((resolution, "last"))
        return round(entries[-1].ended_at * 1000) if entries else 0

    async def write(
        self,
        series: Sequence[tuple[Labels, str]],
        blocks: Sequence[tuple[int, Aggregate, Block]],
        tail: Block | None = None,
    ) -> None:
        """Stores new series, blocks of a resolution and aggregate each, and the tail; raises what a write raises.

        `series` are all that are known: those past the stored ones are new.
        """
        rows: list[Row] = [
            SeriesRow(id=number, labels=dict(labels), kind=kind)
            for number, (labels, kind) in enumerate(series[self._series :], self._series)
        ]
        rows += await asyncio.to_thread(_block_rows, blocks)
        if tail is not None:
            rows.append(await asyncio.to_thread(_tail_row, tail))
        whole = [block.times[-1] / 1000 for resolution, _, block in blocks if resolution == 0]
        if rows:
            await self._db.write(store.add, rows, max(whole, default=None))
            self._series = len(series)
        if blocks:
            await self.look()

    async def recent(self, since: int) -> tuple[list[Block], list[Block]]:
        """The blocks with samples from a time on, and the pieces of the tail."""
        starts = [
            e.started_at for e in self._entries.get((0, "last"), ()) if e.ended_at * 1000 >= since
        ]
        found = await self._db.read(store.blocks, 0, "last", starts)
        tail = await self._db.read(store.tail)
        return await asyncio.to_thread(
            lambda: ([*_unpacked(data for _, data in found)], [*_unpacked(tail)])
        )

    async def prune(self, before: int, keep_bytes: int) -> None:
        """Removes what ended before a time, then what does not fit in; samples before rollups, the oldest first."""
        if gone := await self._db.write(store.prune, before / 1000, keep_bytes):
            log.info("%d blocks of metrics were removed: too old, or too much", gone)
            await self.look()

    def read(self, resolution: int, aggregate: Aggregate, start: int, end: int) -> list[Block]:
        """The blocks with samples of `start <= time <= end`, oldest first. Blocks: not on the event loop."""
        keys = [
            (resolution, aggregate, entry.started_at)
            for entry in self._entries.get((resolution, aggregate), ())
            if entry.ended_at * 1000 >= start and entry.started_at * 1000 <= end
        ]
        with self._lock:
            found = {key: self._unpacked[key] for key in keys if key in self._unpacked}
        missing = [
            started_at
            for *_, started_at in keys
            if (resolution, aggregate, started_at) not in found
        ]
        if missing:
            reading = self._db.read(store.blocks, resolution, aggregate, missing)
            read = asyncio.run_coroutine_threadsafe(reading, self._loop).result()
            found |= {(resolution, aggregate, at): unpack(data) for at, data in read}
        self._keep({key: found[key] for key in keys if key in found})
        return [found[key].within(start, end) for key in keys if key in found]

    # Inside

    async def look(self) -> None:
        entries: dict[tuple[int, str], list[Entry]] = {}
        for entry in await self._db.read(store.catalogue):
            entries.setdefault((entry.resolution_seconds, entry.aggregate), []).append(entry)
        self._entries = entries

    def _keep(self, found: dict[Key, Block]) -> None:
        """Remembers what was read last, as far as there is room."""
        with self._lock:
            for key, block in found.items():
                self._unpacked[key] = block
                self._unpacked.move_to_end(key)
            size = sum(block.nbytes for block in self._unpacked.values())
            while size > KEPT_BYTES:
                _, block = self._unpacked.popitem(last=False)
                size -= block.nbytes


def _block_rows(blocks: Iterable[tuple[int, Aggregate, Block]]) -> list[Row]:
    return [_block_row(*one) for one in blocks]


def _block_row(resolution: int, aggregate: Aggregate, block: Block) -> BlockRow:
    data = pack(block)
    return BlockRow(
        resolution_seconds=resolution,
        aggregate=aggregate,
        started_at=block.times[0] / 1000,
        ended_at=block.times[-1] / 1000,
        samples=block.samples,
        size_bytes=len(data),
        data=data,
    )


def _tail_row(block: Block) -> TailRow:
    started, ended = block.times[0] / 1000, block.times[-1] / 1000
    return TailRow(started_at=started, ended_at=ended, data=pack(block))


def _unpacked(found: Iterable[bytes]) -> Iterator[Block]:
    """The blocks that can be read; one that cannot is left out and named in the log."""
    for data in found:
        try:
            yield unpack(data)
        except ValueError:
            log.exception("a block of the history cannot be read and is left out")
