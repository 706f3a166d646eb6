"""Results as Prometheus writes them in JSON: values are strings, times numbers with at most three decimals.

A row of values is written in one go and its digits are put between the times of the grid, which are written once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from itertools import compress
from typing import Any

import msgspec

from gfedge.promql.numbers import format_value
from gfedge.promql.types import Labels, LabelSets, Mask, Result, Times, Values, Vector

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


class Grid:
    """What stands between the values of a row that has one at every step."""

    def __init__(self, times: Times) -> None:
        self._starts = [f'[{time_text(at)},"'.encode() for at in times.tolist()]
        between = [b'"],' + start for start in self._starts]
        self._pieces = [piece for start in between for piece in (start, b"")]
        if self._starts:
            self._pieces[0] = self._starts[0]

    def row(self, values: Values, present: Mask | None) -> bytes:
        """`[[t,"v"],...]`"""
        if present is not None and not present.all():
            return self._sparse(values[present], present)
        pieces = self._pieces.copy()
        pieces[1::2] = digits(values)
        return b"[" + b"".join(pieces) + b'"]]'

    def _sparse(self, values: Values, present: Mask) -> bytes:
        starts = compress(self._starts, present.tolist())
        pairs = [start + value for start, value in zip(starts, digits(values), strict=True)]
        return b"[" + b'"],'.join(pairs) + b'"]]'


def _matrix(vector: Vector, times: Times) -> Iterable[bytes]:
    grid = Grid(times)
    for row, head in enumerate(_heads(vector.labels)):
        present = None if vector.present is None else vector.present[row]
        yield head + b'"values":' + grid.row(vector.values[row], present) + b"}"


def _samples(result: Result) -> Iterable[bytes]:
    """The raw samples of a range selector."""
    for block in result.ranges:
        for row, head in enumerate(_heads(block.labels)):
            run = slice(block.offsets[row], block.offsets[row + 1])
            written = Grid(block.times[run]).row(block.values[run], None)
            yield head + b'"values":' + written + b"}"


def _vector(vector: Vector, time: int) -> bytes:
    start = f'"value":[{time_text(time)},"'.encode()
    heads, values = _heads(vector.labels), digits(vector.values[:, 0])
    pairs = zip(heads, values, strict=True)
    return b",".join([head + start + value + b'"]}' for head, value in pairs])


def data(result: Result) -> bytes:
    """`{"resultType":...,"result":...}`"""
    return b"".join((b'{"resultType":"', result.type.encode(), b'","result":', _body(result), b"}"))


def _body(result: Result) -> bytes:
    start = f"[{time_text(int(result.times[0]))},".encode() if len(result.times) else b"[0,"
    match result.type:
        case "string":
            return start + _encode(_clean(result.string)) + b"]"
        case "scalar":
            assert result.scalar is not None
            return start + b'"' + digits(result.scalar)[0] + b'"]'
        case "vector":
            assert result.vector is not None
            return b"[" + _vector(result.vector, int(result.times[0])) + b"]"
        case _ if result.vector is None:
            return b"[" + b",".join(_samples(result)) + b"]"
        case _:
            return b"[" + b",".join(_matrix(result.vector, result.times)) + b"]"


def success(body: bytes, warnings: Sequence[str] = (), infos: Sequence[str] = ()) -> bytes:
    """The whole answer around `data`."""
    out = [b'{"status":"success","data":', body]
    for name, texts in ((b"warnings", warnings), (b"infos", infos)):
        if texts:
            out += [b',"', name, b'":', _encode(list(texts))]
    return b"".join([*out, b"}"])


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
    return dataclasses.replace(result, vector=fewer), True
