"""Blocks: all series over a stretch of time as one matrix, and the bytes in which they are stored.

Most metrics are whole numbers or decimals with few digits that change little: such rows are stored as differences of
integers, their bytes sorted by weight, the others as they are; all of it through zlib (measured: 0.6 bytes a sample
of a server's own metrics, 1.4 of noisy gauges with two decimals, where plain matrices take 0.75 and 2.6).
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from gfedge.arrays import np
from gfedge.promql.types import Times, Values

if TYPE_CHECKING:
    from numpy.typing import NDArray

Ids: TypeAlias = "NDArray[np.int32]"

ABSENT_BITS = 0x7FF80000000000AB
"""The NaN that stands where a series has no sample. Legal NaNs and the staleness marker have other bits."""
ABSENT: float = struct.unpack("<d", ABSENT_BITS.to_bytes(8, "little"))[0]
SCALES = (1.0, 10.0, 100.0, 1000.0, 10_000.0)
EXACT = 2.0**52
"""Below this, a float64 is a whole number exactly."""
RAW = 255
LEVEL = 1


class Block(msgspec.Struct, frozen=True):
    """Samples of series at shared times; `ids` are ascending, `values` is [ids, times]."""

    ids: Ids
    times: Times
    values: Values

    @property
    def samples(self) -> int:
        """How many there are."""
        return int(self.values.size - absent(self.values).sum())

    def within(self, start: int, end: int) -> Block:
        """The columns of `start <= time <= end`, of all its series; a view."""
        first, last = np.searchsorted(self.times, [start, end + 1])
        return Block(self.ids, self.times[first:last], self.values[:, first:last])

    def cut(self, start: int, end: int) -> Block:
        """The same, without the series that have no sample in them; a copy."""
        within = self.within(start, end)
        having = np.flatnonzero(~absent(within.values).all(axis=1))
        return Block(self.ids[having], within.times.copy(), within.values[having])

    @property
    def nbytes(self) -> int:
        return int(self.ids.nbytes + self.times.nbytes + self.values.nbytes)


def absent(values: Values) -> NDArray[np.bool_]:
    """Where there is no sample."""
    found: NDArray[np.bool_] = values.view(np.uint64) == ABSENT_BITS
    return found


def empty(rows: int, columns: int) -> Values:
    """A matrix without samples."""
    return np.full((rows, columns), ABSENT)


def fill(block: Block, ids: Ids, start: int, end: int, into: Values) -> bool:
    """Copies the columns `start:end` of some series to `into`, absent where the block has none of them.

    Returns whether every one of the series is in the block.
    """
    count = len(block.ids)
    if count == 0:
        into[:] = ABSENT
        return False
    if block.ids[-1] == count - 1:  # every series up to the last is there: row and id are the same
        places = np.minimum(ids, count - 1)
    else:
        places = np.minimum(np.searchsorted(block.ids, ids), count - 1)
    known = block.ids[places] == ids
    into[:] = block.values[_span(places), start:end]
    if known.all():
        return True
    into[~known] = ABSENT
    return False


def _span(places: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """Neighbours as a slice, which is read faster."""
    count = len(places)
    if (
        count
        and places[-1] - places[0] == count - 1
        and (count == 1 or (np.diff(places) == 1).all())
    ):
        return slice(int(places[0]), int(places[-1]) + 1)
    return places


def join(blocks: list[Block]) -> Block:
    """One block of several that follow each other in time."""
    ids = np.unique(np.concatenate([block.ids for block in blocks])).astype(np.int32)
    times = np.concatenate([block.times for block in blocks])
    values = np.empty((len(ids), len(times)))
    column = 0
    for block in blocks:
        end = column + len(block.times)
        fill(block, ids, 0, len(block.times), values[:, column:end])
        column = end
    return Block(ids, times, values)


def pack(block: Block) -> bytes:
    """A block as bytes: counts, differences of times and ids, the scale of each row, integer rows, other rows."""
    values = np.ascontiguousarray(block.values)
    scales, integers = _integers(values)
    parts = (
        np.array([len(block.ids), len(block.times)], np.int64).tobytes(),
        _differences(block.times.reshape(1, -1)),
        _differences(block.ids.astype(np.int64).reshape(1, -1)),
        scales.tobytes(),
        _differences(integers),
        values[scales == RAW].tobytes(),
    )
    return zlib.compress(b"".join(parts), LEVEL)


def unpack(data: bytes) -> Block:
    """The block that `pack` wrote; raises ValueError where the bytes are none."""
    try:
        return _unpack(zlib.decompress(data))
    except (zlib.error, ValueError) as error:
        raise ValueError(f"this is no block of metrics: {error}") from None


def _unpack(data: bytes) -> Block:
    rows, columns = np.frombuffer(data, np.int64, 2).tolist()
    at = 16
    times = _summed(data, at, 1, columns)[0]
    at += 8 * columns
    ids = _summed(data, at, 1, rows)[0].astype(np.int32)
    at += 8 * rows
    scales = np.frombuffer(data, np.uint8, rows, at)
    at += rows
    whole = scales != RAW
    count = int(whole.sum())
    values = np.empty((rows, columns))
    divisors = np.array(SCALES)[scales[whole]].reshape(-1, 1)
    values[whole] = _summed(data, at, count, columns) / divisors
    at += 8 * count * columns
    raw = np.frombuffer(data, np.float64, (rows - count) * columns, at)
    values[~whole] = raw.reshape(rows - count, columns)
    return Block(ids, times, values)


def _integers(values: Values) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The scale of each row by which it is whole numbers (RAW where there is none), and those numbers."""
    scales = np.full(len(values), RAW, np.uint8)
    whole = np.zeros(values.shape, np.int64)
    # A negative zero is not the integer 0.
    left = np.flatnonzero((np.isfinite(values) & ~((values == 0) & np.signbit(values))).all(axis=1))
    for number, scale in enumerate(SCALES):
        scaled = np.rint(values[left] * scale)
        fits = ((np.abs(scaled) < EXACT) & (scaled / scale == values[left])).all(axis=1)
        scales[left[fits]] = number
        whole[left[fits]] = scaled[fits].astype(np.int64)
        left = left[~fits]
    return scales, whole[scales != RAW]


def _differences(numbers: NDArray[np.int64]) -> bytes:
    """Rows as zigzag differences, the bytes of equal weight together."""
    steps = numbers.copy()
    steps[:, 1:] -= numbers[:, :-1]
    zigzag = (steps << 1) ^ (steps >> 63)
    return np.ascontiguousarray(zigzag.view(np.uint8).reshape(-1, 8).T).tobytes()


def _summed(data: bytes, at: int, rows: int, columns: int) -> NDArray[np.int64]:
    planes = np.frombuffer(data, np.uint8, 8 * rows * columns, at).reshape(8, rows * columns)
    zigzag = np.ascontiguousarray(planes.T).view(np.uint64).reshape(rows, columns)
    steps = (zigzag >> np.uint64(1)).view(np.int64) ^ -(zigzag & np.uint64(1)).view(np.int64)
    found: NDArray[np.int64] = np.cumsum(steps, axis=1)
    return found
