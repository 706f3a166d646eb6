"""The same graph in operators that ONNX Runtime is faster at on an x86-64 CPU, read and written by wire format.

After a convolution, `PRelu(x, slope) = Relu(x) + (-slope) * Relu(-1 * x)`, the products as depthwise 1x1 convolutions.
PRelu itself takes a quarter of an upscaler's time: its kernel is slow, and for it the picture leaves the blocked layout
of convolutions (NCHWc) and comes back. The numbers are the same to the last bit: one of the two terms is zero, and to
change a sign is exact. The file stays as it is; its digest was checked before. See docs/decisions/0052-prelu.md.
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Iterable, Iterator

import msgspec

from gfedge.inference.scan import step_over, varint

MODEL_GRAPH, MODEL_OPSET = 7, 8
GRAPH_NODE, GRAPH_CONSTANT = 1, 5
NODE_INPUT, NODE_OUTPUT, NODE_OP, NODE_ATTRIBUTE, NODE_DOMAIN = 1, 2, 4, 5, 7
ATTRIBUTE_NAME, ATTRIBUTE_NUMBER, ATTRIBUTE_NUMBERS, ATTRIBUTE_TYPE = 1, 3, 8, 20
INT, INTS = 2, 7
OPSET_DOMAIN, OPSET_VERSION = 1, 2
TENSOR_SIZES, TENSOR_TYPE, TENSOR_NAME, TENSOR_DATA = 1, 2, 8, 9
FLOAT, INT64 = 1, 7

SINCE = 7
"""The version of the standard operators from which on these mean what they mean today."""
BLOCK = 16
"""Channels of a block of the layout with AVX-512, and a multiple of those with AVX2."""
COLUMN = b"gfedge/column"
"""The shape [-1, 1, 1, 1], of a depthwise convolution's weights."""

Field = tuple[int, bytes | int, bytes]
"""Number, value (the bytes of a string or message, or a number), and the whole field as it is written."""
Message = dict[int, list[bytes | int]]


class _Graph(msgspec.Struct, frozen=True):
    """What a graph says of its tensors."""

    convolved: set[bytes]
    """What two-dimensional convolutions put out."""
    channels: dict[bytes, int]
    """How many channels a constant has a number for, where it has one for each and they fill whole blocks."""


def for_cpu(model: bytes) -> bytes:
    """An ONNX file without PRelu after convolutions, for bytes that `scan` has read; any other comes back as it is."""
    here = platform.machine().lower() in ("x86_64", "amd64")
    if not here or b"PRelu" not in model or _opset(model) < SINCE:
        return model
    return b"".join(
        _bytes(number, _graph(value)) if number == MODEL_GRAPH and isinstance(value, bytes) else raw
        for number, value, raw in _fields(model)
    )


def _opset(model: bytes) -> int:
    """The version of the standard operators that the file asks for."""
    for asked in map(_message, _texts(_message(model), MODEL_OPSET)):
        if _texts(asked, OPSET_DOMAIN) in ([], [b""], [b"ai.onnx"]):
            return max(_numbers(asked.get(OPSET_VERSION, [])), default=0)
    return 0


def _graph(graph: bytes) -> bytes:
    known = _known(graph)
    written, sizes = [], set()
    for number, value, raw in _fields(graph):
        prelu = _prelu(value, known) if number == GRAPH_NODE and isinstance(value, bytes) else None
        written.append(raw if prelu is None else _in_its_place(*prelu))
        if prelu is not None:
            sizes.add(prelu[1])
    return b"".join((*written, *_constants(sizes)))


def _known(graph: bytes) -> _Graph:
    known = _Graph(set(), {})
    for number, value, _ in _fields(graph):
        if number == GRAPH_NODE and isinstance(value, bytes):
            node = _message(value)
            if _is(node, b"Conv") and _kernel_sides(node) == 2:
                known.convolved.update(_texts(node, NODE_OUTPUT))
        elif number == GRAPH_CONSTANT and isinstance(value, bytes):
            constant = _message(value)
            sizes = _numbers(constant.get(TENSOR_SIZES, []))
            channels = sizes[-3] if len(sizes) in (3, 4) else 0
            alone = channels and sizes in ([channels, 1, 1], [1, channels, 1, 1])
            if alone and channels % BLOCK == 0 and constant.get(TENSOR_TYPE) == [FLOAT]:
                known.channels.update(dict.fromkeys(_texts(constant, TENSOR_NAME), channels))
    return known


def _prelu(node: bytes, known: _Graph) -> tuple[Message, int] | None:
    """A node that can be said otherwise, and its channels."""
    if b"PRelu" not in node:
        return None
    found = _message(node)
    inputs = _texts(found, NODE_INPUT)
    if not _is(found, b"PRelu") or len(inputs) != 2 or inputs[0] not in known.convolved:
        return None
    channels = known.channels.get(inputs[1])
    return None if channels is None else (found, channels)


def _in_its_place(node: Message, channels: int) -> bytes:
    (x, slope), (y,) = _texts(node, NODE_INPUT), _texts(node, NODE_OUTPUT)
    turned, negative, above, below = (y + end for end in (b"/turned", b"/-x", b"/above", b"/below"))
    column, scaled = y + b"/column", y + b"/scaled"
    attributes = _of_depth(channels)
    return b"".join(
        (
            _made(b"Neg", [slope], turned),
            _made(b"Reshape", [turned, COLUMN], column),
            _made(b"Relu", [x], above),
            _made(b"Conv", [x, _minus_ones(channels)], negative, attributes),
            _made(b"Relu", [negative], below),
            _made(b"Conv", [below, column], scaled, attributes),
            _made(b"Add", [scaled, above], y),
        )
    )


def _constants(channels: Iterable[int]) -> Iterator[bytes]:
    """What the new nodes of a graph share."""
    for count in sorted(channels):
        data = struct.pack("<f", -1) * count
        yield _constant(_minus_ones(count), FLOAT, [count, 1, 1, 1], data)
    if channels:
        yield _constant(COLUMN, INT64, [4], struct.pack("<4q", -1, 1, 1, 1))


def _minus_ones(channels: int) -> bytes:
    return b"gfedge/-1 x %d" % channels


def _is(node: Message, op: bytes) -> bool:
    """Whether a node is one of the standard operators."""
    return _texts(node, NODE_OP) == [op] and _texts(node, NODE_DOMAIN) in ([], [b""], [b"ai.onnx"])


def _kernel_sides(node: Message) -> int:
    for attribute in map(_message, _texts(node, NODE_ATTRIBUTE)):
        if _texts(attribute, ATTRIBUTE_NAME) == [b"kernel_shape"]:
            return len(_numbers(attribute.get(ATTRIBUTE_NUMBERS, [])))
    return 0


def _made(op: bytes, inputs: list[bytes], output: bytes, attributes: bytes = b"") -> bytes:
    named = b"".join(_bytes(NODE_INPUT, name) for name in inputs)
    made = _bytes(NODE_OUTPUT, output) + _bytes(NODE_OP, op) + attributes
    return _bytes(GRAPH_NODE, named + made)


def _of_depth(channels: int) -> bytes:
    """The attributes of a depthwise 1x1 convolution."""
    name = _bytes(ATTRIBUTE_NAME, b"group") + _number(ATTRIBUTE_TYPE, INT)
    group = name + _number(ATTRIBUTE_NUMBER, channels)
    name = _bytes(ATTRIBUTE_NAME, b"kernel_shape") + _number(ATTRIBUTE_TYPE, INTS)
    kernel = name + 2 * _number(ATTRIBUTE_NUMBERS, 1)
    return _bytes(NODE_ATTRIBUTE, group) + _bytes(NODE_ATTRIBUTE, kernel)


def _constant(name: bytes, kind: int, sizes: list[int], data: bytes) -> bytes:
    shape = b"".join(_number(TENSOR_SIZES, size) for size in sizes)
    named = _bytes(TENSOR_NAME, name) + _bytes(TENSOR_DATA, data)
    return _bytes(GRAPH_CONSTANT, shape + _number(TENSOR_TYPE, kind) + named)


def _message(data: bytes) -> Message:
    found: Message = {}
    for number, value, _ in _fields(data):
        found.setdefault(number, []).append(value)
    return found


def _texts(message: Message, number: int) -> list[bytes]:
    return [value for value in message.get(number, []) if isinstance(value, bytes)]


def _numbers(values: list[bytes | int]) -> list[int]:
    """A repeated number, written one by one or packed."""
    found: list[int] = []
    for value in values:
        if isinstance(value, int):
            found.append(value)
            continue
        at = 0
        while at < len(value):
            one, at = varint(memoryview(value), at)
            found.append(one)
    return found


def _fields(data: bytes) -> Iterator[Field]:
    view, at = memoryview(data), 0
    while at < len(data):
        start = at
        tag, at = varint(view, at)
        value: bytes | int = b""
        if tag & 7 == 2:
            length, at = varint(view, at)
            value = data[at : at + length]
            at += length
        elif tag & 7 == 0:
            value, at = varint(view, at)
        else:
            at = step_over(view, at, tag & 7)
        yield tag >> 3, value, data[start:at]


def _bytes(number: int, value: bytes) -> bytes:
    """A length-delimited field."""
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    """A base-128 number."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])
