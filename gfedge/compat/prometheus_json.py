"""Results as Prometheus writes them in JSON: values are strings, times numbers with at most three decimals.

A row of values is written in one go and its digits are put between the times of the grid, which are written once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress
from typing import Any

import msgspec

from gfedge.arrays import np
from gfedge.promql.numbers import format_value
from gfedge.promql.types import Labels, LabelSets, Mask, Result, Times, Values, Vector

SAMPLE = 512
"""Values that are looked at to see whether they repeat themselves."""

_encode = msgspec.json.Encoder().encode


def time_text(milliseconds: int) -> str:
    """Seconds; a fraction has three digits."""
    sign, size = ("-", -milliseconds) if milliseconds < 0 else ("", milliseconds)
    whole, part = divmod(size, 1000)
    return f"{sign}{whole}.{part:03d}" if part else f"{sign}{whole}"


def digits(values: Values) -> list[bytes]:
    """Each value in its shortest form."""
    written: bytes = _encode(values.tolist())[1:-1]
    if not written:
        return []
    if b"e" in written or b"n" in written:  # exponents have another form, NaN and infinity are null
        return [_patched(one, values, at) for at, one in enumerate(written.split(b","))]
    return (written + b",").replace(b".0,", b",")[:-1].split(b",")


def _patched(written: bytes, values: Values, at: int) -> bytes:
    if b"e" in written or b"n" in written:
        return format_value(float(values[at])).encode()
    return written.removesuffix(b".0")


def _heads(labels: LabelSets) -> list[bytes]:
    """`{"metric":{...},` of each row."""

    def make() -> list[bytes]:
        return [b'{"metric":' + _object(row) + b"," for row in labels.rows]

    made: list[bytes] = labels.derived("json", make)
    return made


def _object(row: Labels) -> bytes:
    try:
        return _encode(dict(row))
    except UnicodeEncodeError:
        clean = {_clean(name): _clean(value) for name, value in row}
        return _encode(clean)


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


class Known(dict[float, bytes]):
    """Values that were written already. Counters and gauges repeat themselves, and to look up is faster than to write."""

    def __missing__(self, value: float) -> bytes:
        written = self[value] = format_value(value).encode()
        return written


def _repetitive(values: Values) -> bool:
    """Whether few values come again and again; neither NaN nor -0.0, which a dict cannot tell from others."""
    some = values.ravel()[:: max(1, values.size // SAMPLE)]
    few = len(np.unique(some)) * 4 < len(some)
    return few and not np.isnan(values).any() and not ((values == 0) & np.signbit(values)).any()


class Grid:
    """What stands around the values of a row that has one at every step."""

    def __init__(self, times: Times, known: Known | None = None) -> None:
        self._starts = [f'[{time_text(at)},"'.encode() for at in times.tolist()]
        self._row = b"[" + b",".join([start + b'%b"]' for start in self._starts]) + b"]"
        self._known = known

    def row(self, values: Values, present: Mask | None) -> bytes:
        """`[[t,"v"],...]`"""
        if present is not None and not present.all():
            starts = compress(self._starts, present.tolist())
            pairs = zip(starts, self._digits(values[present]), strict=True)
            return b"[" + b'"],'.join([start + value for start, value in pairs]) + b'"]]'
        return self._row % tuple(self._digits(values))

    def _digits(self, values: Values) -> Iterable[bytes]:
        if self._known is None:
            return digits(values)
        return map(self._known.__getitem__, values.tolist())


def _matrix(vector: Vector, times: Times) -> Iterable[bytes]:
    grid = Grid(times, Known() if _repetitive(vector.values) else None)
    for row, head in enumerate(_heads(vector.labels)):
        present = None if vector.present is None else vector.present[row]
        yield from (b"," if row else b"", head, b'"values":')
        yield grid.row(vector.values[row], present)
        yield b"}"


def _samples(result: Result) -> Iterable[bytes]:
    """The raw samples of a range selector."""
    before = b""
    for block in result.ranges:
        for row, head in enumerate(_heads(block.labels)):
            run = slice(block.offsets[row], block.offsets[row + 1])
            yield from (before, head, b'"values":')
            yield Grid(block.times[run]).row(block.values[run], None)
            yield b"}"
            before = b","


def _vector(vector: Vector, time: int) -> bytes:
    start = f'"value":[{time_text(time)},"'.encode()
    heads, values = _heads(vector.labels), digits(vector.values[:, 0])
    pairs = zip(heads, values, strict=True)
    return b",".join([head + start + value + b'"]}' for head, value in pairs])


def data(result: Result) -> Iterable[bytes]:
    """`{"resultType":...,"result":...}` in pieces, which are put together once: large bytes are slow to copy."""
    yield b'{"resultType":"%b","result":' % result.type.encode()
    yield from _body(result)
    yield b"}"


def _body(result: Result) -> Iterable[bytes]:
    at = time_text(int(result.times[0]) if len(result.times) else 0).encode()
    if result.type == "string":
        yield b"[%b,%b]" % (at, _encode(_clean(result.string)))
    elif result.type == "scalar":
        assert result.scalar is not None
        yield b'[%b,"%b"]' % (at, digits(result.scalar)[0])
    else:
        yield b"["
        yield from _series(result)
        yield b"]"


def _series(result: Result) -> Iterable[bytes]:
    if result.vector is None:
        yield from _samples(result)
    elif result.type == "vector":
        yield _vector(result.vector, int(result.times[0]))
    else:
        yield from _matrix(result.vector, result.times)


def success(
    body: Iterable[bytes], warnings: Sequence[str] = (), infos: Sequence[str] = ()
) -> bytes:
    """The whole answer around `data`."""
    out = [b'{"status":"success","data":', *body]
    for name, texts in ((b"warnings", warnings), (b"infos", infos)):
        if texts:
            out += [b',"', name, b'":', _encode(list(texts))]
    return b"".join([*out, b"}"])


def answer(value: Any, warnings: Sequence[str] = ()) -> bytes:
    """The whole answer around plain values."""
    return success([_encode(value)], warnings)


def plain(value: Any) -> bytes:
    return _encode(value)


def failure(kind: str, text: str) -> bytes:
    return _encode({"status": "error", "errorType": kind, "error": _clean(text)})


def limited(result: Result, limit: int) -> tuple[Result, bool]:
    """The first series of a result, and whether there were more."""
    vector = result.vector
    if limit <= 0 or vector is None or len(vector.labels) <= limit:
        return result, False
    fewer = Vector(
        LabelSets(vector.labels.rows[:limit]),
        vector.values[:limit],
        None if vector.present is None else vector.present[:limit],
    )
    return msgspec.structs.replace(result, vector=fewer), True
