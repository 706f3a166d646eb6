"""The same graph in operators that ONNX Runtime is faster at on an x86-64 CPU, read and written by wire format.

After a convolution, `PRelu(x, slope) = Relu(x) + (-slope) * Relu(-1 * x)`, the products as depthwise 1x1 convolutions.
PRelu takes a quarter of an upscaler's time: for it the picture leaves the blocked layout of convolutions (NCHWc). The
numbers stay the same to the last bit: one of the two terms is zero. See docs/decisions/0052-prelu.md. The file may be
hostile: what is not plainly the case that is known stays as it is, and time, memory and what is added are bounded.
"""

from __future__ import annotations

import math
import platform
import struct
from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec
import numpy as np

from gfedge.inference.scan import step_over, varint

MODEL_GRAPH, MODEL_OPSET, MODEL_FUNCTION = 7, 8, 25
GRAPH_NODE, GRAPH_CONSTANT, GRAPH_INPUT, GRAPH_SPARSE = 1, 5, 11, 15
NODE_INPUT, NODE_OUTPUT, NODE_OP, NODE_ATTRIBUTE, NODE_DOMAIN = 1, 2, 4, 5, 7
ATTRIBUTE_NAME, ATTRIBUTE_NUMBER, ATTRIBUTE_NUMBERS, ATTRIBUTE_TYPE = 1, 3, 8, 20
INT, INTS = 2, 7
OPSET_DOMAIN, OPSET_VERSION = 1, 2
INPUT_NAME = 1
TENSOR_SIZES, TENSOR_TYPE, TENSOR_NAME, TENSOR_DATA = 1, 2, 8, 9
FLOAT, INT64 = 1, 7

SINCE = 7
"""The version of the standard operators from which on these mean what they mean today."""
BLOCK = 16
"""Channels of a block of the layout with AVX-512, and a multiple of those with AVX2."""
MOST_BYTES, MOST_NODES, MOST_CHANNELS = 256 << 20, 1000, 4096
"""Of a file, of PRelu nodes (each becomes seven) and of a picture within; beyond these a file stays as it is."""
LONGEST_SHAPE = 40
"""Bytes of four sizes."""
OURS = b"gfedge/"
"""What all names begin with that are added; a file that has it anywhere stays as it is."""
COLUMN = OURS + b"column"
"""The shape [-1, 1, 1, 1], of a depthwise convolution's weights."""

Field = tuple[int, memoryview | int, memoryview]
"""Number, value (the bytes of a string or message, or a number), and the whole field as it is written."""
Message = dict[int, list[memoryview | int]]


class _Graph(msgspec.Struct, frozen=True):
    """What a graph says of its tensors, by name."""

    given: Counter[bytes]
    """How often something gives a tensor its value: an input, a constant, a node."""
    sizes: dict[bytes, list[int]]
    """Of constants."""
    finite: set[bytes]
    """Constants whose numbers stand there raw in single precision, each of them finite."""
    casts: dict[bytes, bytes]
    """What is converted, by what it becomes: weights may be kept in half precision."""
    convolved: dict[bytes, bytes]
    """What a convolution puts out, and its weights."""
    prelus: dict[int, tuple[bytes, bytes, bytes]]
    """Input, slope and output of each PRelu, by its place among the fields."""


def for_cpu(model: bytes) -> bytes:
    """An ONNX file without PRelu after convolutions, for bytes that `scan` has read; any other comes back as it is."""
    here = platform.machine().lower() in ("x86_64", "amd64")
    if not here or len(model) > MOST_BYTES or b"PRelu" not in model or OURS in model:
        return model
    fields = list(_fields(memoryview(model)))
    numbers = Counter(number for number, _, _ in fields)
    # Functions of the file itself may give the operators another meaning; two graphs are one to a reader of protobuf.
    if numbers[MODEL_FUNCTION] or numbers[MODEL_GRAPH] != 1 or _opset(fields) < SINCE:
        return model
    return b"".join(
        _bytes(number, _graph(value))
        if number == MODEL_GRAPH and isinstance(value, memoryview)
        else raw
        for number, value, raw in fields
    )


def _opset(fields: Iterable[Field]) -> int:
    """The version of the standard operators that the file asks for; 0 where it does not say one."""
    asked = [_message(value) for number, value, _ in fields if number == MODEL_OPSET]
    versions = [one.get(OPSET_VERSION, []) for one in asked if _is_standard(one, OPSET_DOMAIN)]
    match versions:
        case [[int(version)]]:
            return version
    return 0


def _graph(graph: memoryview) -> bytes:
    fields = list(_fields(graph))
    known = _known(fields)
    found = {at: channels for at in known.prelus if (channels := _channels(at, known))}
    if len(found) > MOST_NODES:
        return bytes(graph)
    written = [
        _in_its_place(at, known.prelus[at], found[at]) if at in found else raw
        for at, (_, _, raw) in enumerate(fields)
    ]
    return b"".join((*written, *_constants(set(found.values()))))


def _known(fields: Iterable[Field]) -> _Graph:
    known = _Graph(Counter(), {}, set(), {}, {}, {})
    for at, (number, value, _) in enumerate(fields):
        if number == GRAPH_NODE:
            _note_node(known, at, _message(value))
        elif number == GRAPH_CONSTANT:
            _note_constant(known, _message(value))
        elif number == GRAPH_INPUT:
            known.given.update(_texts(_message(value), INPUT_NAME))
        elif number == GRAPH_SPARSE:
            known.given.update(_texts(_message(_first(_message(value), 1)), TENSOR_NAME))
    return known


def _note_node(known: _Graph, at: int, node: Message) -> None:
    inputs, outputs = _texts(node, NODE_INPUT), _texts(node, NODE_OUTPUT)
    known.given.update(outputs)
    if len(outputs) != 1 or not _is_standard(node, NODE_DOMAIN):
        return
    match _texts(node, NODE_OP), inputs:
        case [b"Conv"], [_, weights, *_]:
            known.convolved[outputs[0]] = weights
        case [b"Cast"], [kept]:
            known.casts[outputs[0]] = kept
        case [b"PRelu"], [x, slope]:
            known.prelus[at] = x, slope, outputs[0]


def _note_constant(known: _Graph, constant: Message) -> None:
    names = _texts(constant, TENSOR_NAME)
    known.given.update(names)
    if len(names) != 1:
        return
    sizes = known.sizes[names[0]] = _sizes(constant)
    match constant.get(TENSOR_TYPE), constant.get(TENSOR_DATA):
        case [int(kind)], [memoryview() as data] if kind == FLOAT:
            whole = len(data) == 4 * math.prod(sizes) <= 4 * MOST_CHANNELS
            if whole and np.isfinite(np.frombuffer(data, "<f4")).all():
                known.finite.add(names[0])


def _channels(at: int, known: _Graph) -> int:
    """Of a PRelu that can be said otherwise; 0 for any other."""
    x, slope, y = known.prelus[at]
    weights = known.convolved.get(x, b"")
    kept = known.casts.get(weights, weights)
    once = all(known.given[name] == 1 for name in (x, slope, y, weights, kept))
    if not once or slope not in known.finite:
        return 0
    window, sizes = known.sizes.get(kept, []), known.sizes[slope]
    channels = window[0] if len(window) == 4 else 0
    alone = sizes in ([channels, 1, 1], [1, channels, 1, 1])
    return channels if alone and channels % BLOCK == 0 else 0


def _in_its_place(at: int, prelu: tuple[bytes, bytes, bytes], channels: int) -> bytes:
    x, slope, y = prelu
    turned, column, above, negative, below, scaled = (
        OURS + b"%d/%d" % (at, number) for number in range(6)
    )
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
    return OURS + b"-1 x %d" % channels


def _is_standard(message: Message, domain: int) -> bool:
    """Whether an operator, or a version of operators, is of ONNX itself."""
    return _texts(message, domain) in ([], [b""], [b"ai.onnx"])


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


def _message(data: memoryview | int) -> Message:
    found: Message = {}
    for number, value, _ in _fields(data) if isinstance(data, memoryview) else ():
        found.setdefault(number, []).append(value)
    return found


def _first(message: Message, number: int) -> memoryview | int:
    return message.get(number, [0])[0]


def _texts(message: Message, number: int) -> list[bytes]:
    return [bytes(value) for value in message.get(number, []) if isinstance(value, memoryview)]


def _sizes(tensor: Message) -> list[int]:
    """A shape, written one by one or packed; empty where it is longer than any that matters."""
    found: list[int] = []
    for value in tensor.get(TENSOR_SIZES, [])[:5]:
        if isinstance(value, int):
            found.append(value)
            continue
        at = 0
        while at < len(value) <= LONGEST_SHAPE:
            one, at = varint(value, at)
            found.append(one)
    return found if len(found) <= 4 and max(found, default=0) <= MOST_CHANNELS else []


def _fields(data: memoryview) -> Iterator[Field]:
    at = 0
    while at < len(data):
        start = at
        tag, at = varint(data, at)
        value: memoryview | int = data[:0]
        if tag & 7 == 2:
            length, at = varint(data, at)
            value = data[at : at + length]
            at += length
        elif tag & 7 == 0:
            value, at = varint(data, at)
        else:
            at = step_over(data, at, tag & 7)
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
