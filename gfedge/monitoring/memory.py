"""The samples of the last hours in memory: whole blocks of ten minutes, and the head that the clock appends to.

One thread appends. Any thread reads: what it is given does not change, because a column is written before it counts
and an array that has to grow is replaced.
"""

from __future__ import annotations

import threading
from collections import deque

from gfedge.arrays import np
from gfedge.monitoring.blocks import Block, Ids, empty
from gfedge.promql.types import Times, Values

BLOCK_MS = 600_000
"""What a block holds; it begins at a multiple of this."""
SPARE = 256
"""Rows that the head has room for besides those that it holds."""


class Memory:
    """Blocks and head; times are Unix milliseconds."""

    def __init__(self, interval_ms: int, keep_ms: int) -> None:
        self.interval_ms = interval_ms
        self.keep_ms = keep_ms
        self._blocks: deque[Block] = deque()
        self._lock = threading.Lock()
        self._columns = BLOCK_MS // interval_ms + 1
        self._rows = 0
        self._count = 0
        """Samples of the head; without one it has no arrays."""
        self._times: Times
        self._values: Values

    @property
    def last(self) -> int:
        """Time of the latest sample; 0 where there is none."""
        with self._lock:
            if self._count:
                return int(self._times[self._count - 1])
            return int(self._blocks[-1].times[-1]) if self._blocks else 0

    @property
    def start(self) -> int | None:
        """Time of the oldest sample; None where there is none."""
        if self._blocks:
            return int(self._blocks[0].times[0])
        return int(self._times[0]) if self._count else None

    @property
    def nbytes(self) -> int:
        head = self._values.nbytes if self._count else 0
        return sum(block.nbytes for block in list(self._blocks)) + head

    def restore(self, block: Block) -> None:
        """Puts a block behind those that are here; before anything is appended."""
        with self._lock:
            self._blocks.append(block)
        if len(block.ids):
            self._rows = max(self._rows, int(block.ids[-1]) + 1)

    def append(self, time: int, ids: Ids, values: Values) -> Block | None:
        """Adds a column, later than all before; gives the block that it completes, if it does."""
        done = None
        full = self._count == self._columns
        if self._count and (full or time // BLOCK_MS != int(self._times[0]) // BLOCK_MS):
            done = self._freeze()
        self._make_room(int(ids.max()) + 1 if len(ids) else 0)
        self._values[ids, self._count] = values
        self._times[self._count] = time
        with self._lock:
            self._count += 1
        return done

    def amend(self, time: int, ids: Ids, values: Values) -> bool:
        """Adds samples to the column of a time; False where the head has none."""
        if not self._count:
            return False
        column = int(np.searchsorted(self._times[: self._count], time))
        if column == self._count or self._times[column] != time:
            return False
        self._make_room(int(ids.max()) + 1 if len(ids) else 0)
        self._values[ids, column] = values
        return True

    def head(self, since: int) -> Block | None:
        """What the head holds after a time; None where that is nothing."""
        if not self._count or self.last <= since:
            return None
        values, times = self._values[: self._rows], self._times[: self._count]
        ids = np.arange(self._rows, dtype=np.int32)
        return Block(ids, times, values[:, : self._count]).cut(since + 1, self.last)

    def blocks(self, start: int, end: int) -> list[Block]:
        """The blocks with samples of `start <= time <= end`; the last may be the head as it is now."""
        with self._lock:
            found = [b for b in self._blocks if b.times[-1] >= start and b.times[0] <= end]
            if not self._count:
                return found
            count, times, values = self._count, self._times, self._values
            rows = min(self._rows, len(values))
        times = times[:count]
        first = int(np.searchsorted(times, start))
        if first < count and times[first] <= end:
            ids = np.arange(rows, dtype=np.int32)
            found.append(Block(ids, times[first:], values[: len(ids), first:count]))
        return found

    def _make_room(self, rows: int) -> None:
        if not self._count:
            self._times = np.zeros(self._columns, np.int64)
            self._values = empty(max(self._rows, rows) + SPARE, self._columns)
        elif rows > len(self._values):
            grown = empty(rows + SPARE, self._columns)
            grown[: len(self._values)] = self._values
            with self._lock:
                self._values = grown
        self._rows = max(self._rows, rows)

    def _freeze(self) -> Block:
        """Makes a block of the head: the series that have samples in it."""
        block = self.head(0)
        assert block is not None
        with self._lock:
            self._blocks.append(block)
            while self._blocks[0].times[-1] < block.times[-1] - self.keep_ms:
                self._blocks.popleft()
            self._count = 0
        return block
