"""A look into an ONNX file without loading it: what it asks for outside itself.

Reads the protobuf wire format (protobuf.dev, "Encoding") of the messages in onnx.proto by field number, with an
explicit stack and limits on depth and count, so that a hostile file costs a bounded time and no recursion. It finds
external-data locations, the operators and their domains, and how far local functions would expand. It judges
nothing; `folder.py` does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

MAX_DEPTH = 64
MAX_FIELDS = 2_000_000
MAX_EXPANSION = 1 << 40
"""Where counting expanded nodes stops; any real limit is far below."""

Op = tuple[str, str]
"""Domain and operator name."""

# Message kind -> field number -> kind of the message nested there. Numbers from onnx.proto (ONNX 1.23).
NESTED: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {},
}
# Message kind -> the numbers of the string fields that are read.
STRINGS: dict[str, tuple[int, ...]] = {
    "node": (4, 7),  # op_type, domain
    "function": (1, 10),  # name, domain
    "entry": (1, 2),  # key, value
}


class ScanError(ValueError):
    """Not an ONNX file, or one beyond the limits; the text says which."""


class Scan(msgspec.Struct, kw_only=True):
    """What an ONNX file holds."""

    ops: set[Op] = msgspec.field(default_factory=set)
    """Operators that nodes call and that are not functions of the file itself."""
    locations: set[str] = msgspec.field(default_factory=set)
    """Where tensors keep their data outside the file."""
    functions: int = 0
    expanded_nodes: int = 0
    """Nodes there would be with every local function put in place of its calls, at most MAX_EXPANSION."""


Calls = Counter[Op]


class _Reading(msgspec.Struct):
    """What has been read so far: calls of the main graph (None) and of each function."""

    calls: dict[int | None, Calls] = msgspec.field(default_factory=lambda: {None: Counter()})
    names: dict[Op, int] = msgspec.field(default_factory=dict)
    locations: set[str] = msgspec.field(default_factory=set)
    fields: int = 0
    graphs: int = 0


class _Message(msgspec.Struct, frozen=True):
    kind: str
    data: memoryview
    depth: int
    owner: int | None
    """The function that the message belongs to."""


def scan(data: bytes) -> Scan:
    """Look through the bytes of an ONNX file. Raises ScanError."""
    if data[4:8] == b"ORTM":
        raise ScanError("it is in ONNX Runtime's own format, not ONNX")
    reading = _Reading()
    stack = [_Message("model", memoryview(data), 0, None)]
    while stack:
        stack.extend(_read(stack.pop(), reading))
    if not reading.graphs:
        raise ScanError("it is not an ONNX file: it holds no graph")
    return _result(reading)


def _read(message: _Message, reading: _Reading) -> list[_Message]:
    """Read the fields of one message; gives back the messages nested in it."""
    if message.depth > MAX_DEPTH:
        raise ScanError(f"its messages are nested more than {MAX_DEPTH} deep")
    nested, wanted = NESTED[message.kind], STRINGS.get(message.kind, ())
    children: list[tuple[str, memoryview]] = []
    strings: list[tuple[int, str]] = []
    for number, value in _fields(message.data, reading):
        if number in nested:
            children.append((nested[number], value))
        elif number in wanted:
            strings.append((number, bytes(value).decode("utf-8", "replace")))
    owner = _note(message, strings, reading)
    return [_Message(kind, value, message.depth + 1, owner) for kind, value in children]


def _note(message: _Message, strings: list[tuple[int, str]], reading: _Reading) -> int | None:
    """Record what a message says; gives back the owner of what is nested in it."""
    last = dict(strings)
    if message.kind == "node":
        op = (_domain(last.get(7, "")), last.get(4, ""))
        reading.calls[message.owner][op] += 1
    elif message.kind == "entry" and (1, "location") in strings:
        # Protobuf takes the last of a repeated string; a location named at all is listed.
        reading.locations.update(text for number, text in strings if number == 2)
    elif message.kind == "function":
        number = len(reading.calls)
        reading.calls[number] = Counter()
        reading.names[_domain(last.get(10, "")), last.get(1, "")] = number
        return number
    elif message.kind == "graph":
        reading.graphs += 1
    return message.owner


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _fields(data: memoryview, reading: _Reading) -> Iterator[tuple[int, memoryview]]:
    """Number and bytes of each length-delimited field; steps over the others."""
    at, end = 0, len(data)
    while at < end:
        reading.fields += 1
        if reading.fields > MAX_FIELDS:
            raise ScanError(f"it has more than {MAX_FIELDS:,} fields")
        tag, at = varint(data, at)
        wire = tag & 7
        if tag >> 32 or not tag >> 3:
            raise ScanError("it is not an ONNX file: a field has no valid number")
        if wire == 2:
            length, at = varint(data, at)
            if length > end - at:
                raise ScanError("it is cut short or not an ONNX file")
            yield tag >> 3, data[at : at + length]
            at += length
        else:
            at = step_over(data, at, wire)
    if at != end:
        raise ScanError("it is cut short or not an ONNX file")


def step_over(data: memoryview, at: int, wire: int) -> int:
    if wire == 0:
        return varint(data, at)[1]
    if wire == 1:
        return at + 8
    if wire == 5:
        return at + 4
    raise ScanError("it is not an ONNX file: a field has no valid type")


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """A base-128 number of at most ten bytes, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ScanError("it is cut short or not an ONNX file")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ScanError("it is not an ONNX file: a number is too long")


def _result(reading: _Reading) -> Scan:
    called: set[Op] = set().union(*reading.calls.values())
    return Scan(
        ops=called - reading.names.keys(),
        locations=reading.locations,
        functions=len(reading.names),
        expanded_nodes=_expanded(reading),
    )


def _expanded(reading: _Reading) -> int:
    """Nodes after inlining, by a depth-first walk over the calls. Raises ScanError for a function that calls itself."""
    sizes: dict[int | None, int] = {}
    entered: set[int | None] = set()
    stack: list[int | None] = [None]
    while stack:
        owner = stack[-1]
        inner = {reading.names[op] for op in reading.calls[owner] if op in reading.names}
        waiting = [number for number in inner if number not in sizes]
        if owner in entered and waiting:
            raise ScanError("its functions call each other in a circle")
        entered.add(owner)
        if waiting:
            stack.extend(waiting)
        else:
            sizes.setdefault(stack.pop(), _size(reading, owner, sizes))
    return sizes[None]


def _size(reading: _Reading, owner: int | None, sizes: dict[int | None, int]) -> int:
    total = 0
    for op, times in reading.calls[owner].items():
        inner = reading.names.get(op)
        total += times if inner is None else times * sizes[inner]
    return min(total, MAX_EXPANSION)
