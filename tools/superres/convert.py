"""Convert the ncnn super-resolution net realesr-animevideov3-x4 to ONNX, weights unchanged.

    python convert.py realesr-animevideov3-x4.param realesr-animevideov3-x4.bin model.onnx

README.md beside this file says where the two input files come from. Needs numpy and onnx. The same inputs and
the same onnx version give the same bytes.

The graph: input `image` [n, 3, h, w] float32, RGB in 0..1; output `upscaled` [n, 3, 4h, 4w] float32, clipped to
0..1; opset 17. The net is SRVGGNetCompact (Real-ESRGAN, Wang et al. 2021): 3x3 convolutions with PReLU, a pixel
shuffle, plus the input enlarged by nearest neighbour. ncnn's file holds the convolution weights as fp16; they stay
fp16 in the ONNX file, each behind a Cast that ONNX Runtime folds when it loads, so the arithmetic is fp32 and the
results are bit for bit those of fp32 storage, in half the file.
"""

from __future__ import annotations

import argparse
import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8
PARAM_MAGIC = "7767517"
FP16_TAG = 0x01306B47
"""ncnn writes this word before a weight array stored as fp16 (ncnn, modelbin.cpp)."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One line of a .param file: `kind name n_in n_out inputs... outputs... key=value...`."""

    kind: str
    name: str
    inputs: list[str]
    outputs: list[str]
    values: dict[int, float]


def parse_layer(line: str) -> Layer:
    kind, name, n_in, n_out, *rest = line.split()
    ins, outs = int(n_in), int(n_out)
    pairs = (item.split("=") for item in rest[ins + outs :])
    return Layer(
        kind=kind,
        name=name,
        inputs=rest[:ins],
        outputs=rest[ins : ins + outs],
        values={int(key): float(value) for key, value in pairs},
    )


def parse_param(text: str) -> list[Layer]:
    """The layers of a .param text, in running order."""
    magic, _counts, *lines = [line for line in text.splitlines() if line.strip()]
    if magic.strip() != PARAM_MAGIC:
        raise ValueError("not an ncnn .param file in text form")
    return [parse_layer(line) for line in lines]


class Weights:
    """Reads a .bin file from its start to its end, in the order of the layers."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.offset = 0

    def floats(self, count: int) -> NDArray[np.float32]:
        """`count` plain float32 numbers: biases and slopes."""
        values = np.frombuffer(self.data, "<f4", count, self.offset)
        self.offset += 4 * count
        return values.astype(np.float32)

    def halves(self, count: int) -> NDArray[np.float16]:
        """`count` float16 numbers behind their tag, padded to 4 bytes: convolution weights."""
        (tag,) = struct.unpack_from("<I", self.data, self.offset)
        if tag != FP16_TAG:
            raise ValueError(
                f"weight tag {tag:#x} at byte {self.offset}: only fp16 weights are read"
            )
        values = np.frombuffer(self.data, "<f2", count, self.offset + 4)
        self.offset += 4 + (2 * count + 3) // 4 * 4
        return values.astype(np.float16)


@dataclass
class Graph:
    """The ONNX graph as it grows, one ncnn layer after the other."""

    weights: Weights
    casts: list[onnx.NodeProto] = field(default_factory=list)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initialisers: list[onnx.TensorProto] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    channels: dict[str, int] = field(default_factory=dict)
    parameters: int = 0
    radius: int = 0
    """How far, in input pixels, an output pixel looks: a 3x3 convolution adds one."""

    def constant(self, name: str, values: NDArray[np.generic]) -> str:
        self.initialisers.append(numpy_helper.from_array(values, name))
        return name

    def half_constant(self, name: str, values: NDArray[np.float16]) -> str:
        """An initialiser kept as fp16 and cast to fp32 before use."""
        self.constant(f"{name}.half", values)
        self.casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
        return name

    def node(self, op: str, layer: Layer, *constants: str, **attributes: Any) -> None:
        inputs = [self.names.get(name, name) for name in layer.inputs]
        self.nodes.append(
            helper.make_node(op, [*inputs, *constants], layer.outputs, layer.name, **attributes)
        )
        self.channels[layer.outputs[0]] = self.channels[layer.inputs[0]]


def add_input(graph: Graph, layer: Layer) -> None:
    graph.names[layer.outputs[0]] = "image"
    graph.channels[layer.outputs[0]] = 3


def add_split(graph: Graph, layer: Layer) -> None:
    source = layer.inputs[0]
    for output in layer.outputs:
        graph.names[output] = graph.names.get(source, source)
        graph.channels[output] = graph.channels[source]


def add_convolution(graph: Graph, layer: Layer) -> None:
    """ncnn keys: 0 outputs, 1 kernel, 4 pad, 5 has bias, 6 weight count."""
    if layer.values.keys() - {0, 1, 4, 5, 6} or layer.values.get(5) != 1:
        raise ValueError(f"{layer.name}: only plain convolutions with a bias are converted")
    out, kernel, pad, count = (int(layer.values[key]) for key in (0, 1, 4, 6))
    inputs = graph.channels[layer.inputs[0]]
    weight = graph.weights.halves(count).reshape(out, inputs, kernel, kernel)
    bias = graph.weights.floats(out)
    graph.node(
        "Conv",
        layer,
        graph.half_constant(f"{layer.name}.weight", weight),
        graph.constant(f"{layer.name}.bias", bias),
        kernel_shape=[kernel, kernel],
        pads=[pad] * 4,
    )
    graph.channels[layer.outputs[0]] = out
    graph.parameters += weight.size + bias.size
    graph.radius += kernel // 2


def add_prelu(graph: Graph, layer: Layer) -> None:
    slope = graph.weights.floats(int(layer.values[0])).reshape(-1, 1, 1)
    graph.node("PRelu", layer, graph.constant(f"{layer.name}.slope", slope))
    graph.parameters += slope.size


def add_pixel_shuffle(graph: Graph, layer: Layer) -> None:
    side = int(layer.values[0])
    graph.node("DepthToSpace", layer, blocksize=side, mode="CRD")
    graph.channels[layer.outputs[0]] //= side * side


def add_resize(graph: Graph, layer: Layer) -> None:
    """ncnn Interp, kind 1 (nearest) only; ncnn takes the source pixel floor(x / scale)."""
    if layer.values[0] != 1:
        raise ValueError(f"{layer.name}: only nearest-neighbour resizing is converted")
    scales = np.array([1, 1, layer.values[1], layer.values[2]], np.float32)
    graph.node(
        "Resize",
        layer,
        "",
        graph.constant(f"{layer.name}.scales", scales),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def add_sum(graph: Graph, layer: Layer) -> None:
    if layer.values.get(0, 0) != 0:
        raise ValueError(f"{layer.name}: only additions are converted")
    graph.node("Add", layer)


LAYERS: dict[str, Callable[[Graph, Layer], None]] = {
    "Input": add_input,
    "Split": add_split,
    "Convolution": add_convolution,
    "PReLU": add_prelu,
    "PixelShuffle": add_pixel_shuffle,
    "Interp": add_resize,
    "BinaryOp": add_sum,
}


def build(layers: list[Layer], weights: Weights) -> Graph:
    """Every layer in order, then the clip; fails if a layer is unknown or weights are left over."""
    graph = Graph(weights=weights)
    for layer in layers:
        if layer.kind not in LAYERS:
            raise ValueError(f"{layer.name}: layer kind {layer.kind} is not converted")
        LAYERS[layer.kind](graph, layer)
    if weights.offset != len(weights.data):
        raise ValueError(f"{len(weights.data) - weights.offset} bytes of weights were not used")
    zero = graph.constant("zero", np.array(0, np.float32))
    one = graph.constant("one", np.array(1, np.float32))
    graph.nodes.append(helper.make_node("Clip", [layers[-1].outputs[0], zero, one], ["upscaled"]))
    return graph


def to_model(graph: Graph) -> onnx.ModelProto:
    onnx_graph = helper.make_graph(
        graph.casts + graph.nodes,
        "superres",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("upscaled", TensorProto.FLOAT, ["n", 3, "4h", "4w"])],
        graph.initialisers,
    )
    model = helper.make_model(
        onnx_graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="gfedge tools/superres",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description="ncnn realesr-animevideov3-x4 to ONNX")
    parser.add_argument("param", type=Path)
    parser.add_argument("bin", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    binary = args.bin.read_bytes()
    graph = build(parse_param(args.param.read_text()), Weights(binary))
    data = to_model(graph).SerializeToString(deterministic=True)
    args.out.write_bytes(data)
    print(f"{args.bin.name}: sha256 {hashlib.sha256(binary).hexdigest()}")
    print(f"{graph.parameters:,} parameters, radius {graph.radius}")
    print(f"{args.out.name}: {len(data):,} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
