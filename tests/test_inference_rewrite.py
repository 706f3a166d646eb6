"""PRelu in faster operators: the same numbers to the last bit, and every other graph untouched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import builders
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from gfedge.inference import sessions
from gfedge.inference.device import on_cpu
from gfedge.inference.folder import read_folder
from gfedge.inference.rewrite import for_cpu
from gfedge.inference.sessions import ON_CPU, session_options
from gfedge.inference.types import EngineOptions

BUNDLED = Path(__file__).parent.parent / "models" / "superres" / "1"
SLOPE = np.full((16, 1, 1), 0.5, np.float32)
SPECIAL = [0.0, -0.0, 1e-40, -1e-40, 1e37, -1e37, 1.0, -1.0]


def prelu_onnx(
    slope: NDArray[np.float32], *, opset: int = 17, domain: str = "", window: int = 2
) -> bytes:
    """A convolution that changes nothing, PRelu, and one more convolution."""
    channels = 16
    one = np.eye(channels, dtype=np.float32).reshape(channels, channels, *[1] * window)
    nodes = [
        helper.make_node("Conv", ["x", "one"], ["before"], name="first"),
        helper.make_node("PRelu", ["before", "slope"], ["after"], name="second", domain=domain),
        helper.make_node("Conv", ["after", "one"], ["y"]),
    ]
    shape = ("n", channels, "h", "w")[: 2 + window]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    constants = [numpy_helper.from_array(slope, "slope"), builders.floats("one", one)]
    graph = helper.make_graph(nodes, "one", [x], [y], constants)
    opsets = [helper.make_opsetid("", opset)]
    if domain not in ("", "ai.onnx"):
        opsets.append(helper.make_opsetid(domain, 1))
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def ops(model: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(model).graph.node]


def run(model: bytes, x: NDArray[np.float32]) -> NDArray[np.float32]:
    net = onnxruntime.InferenceSession(model, providers=ON_CPU)
    (name,) = (one.name for one in net.get_inputs())
    result: NDArray[np.float32] = net.run(None, {name: x})[0]
    return result


@pytest.mark.parametrize("shape", [(16, 1, 1), (1, 16, 1, 1)])
@pytest.mark.parametrize("opset", [7, 9, 16, 17])
def test_the_numbers_are_the_same_for_any_slope(shape: tuple[int, ...], opset: int) -> None:
    rng = np.random.default_rng(3)
    slope = rng.normal(0, 1.5, shape).astype(np.float32)  # below zero, between, above one
    x = rng.normal(0, 2, (2, 16, 5, 8)).astype(np.float32)
    x[0, :, 0, :] = SPECIAL
    slower = prelu_onnx(slope, opset=opset)
    faster = for_cpu(slower)
    onnx.checker.check_model(onnx.load_from_string(faster))
    assert "PRelu" in ops(slower)
    assert "PRelu" not in ops(faster)
    assert np.array_equal(run(faster, x), run(slower, x))


def test_it_stays_in_the_layout_of_convolutions(tmp_path: Path) -> None:
    """The one way in and the one way out: no picture is laid out anew between them."""
    options = session_options()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    slope = np.linspace(-1, 2, 16, dtype=np.float32).reshape(16, 1, 1)
    onnxruntime.InferenceSession(for_cpu(prelu_onnx(slope)), options, providers=ON_CPU)
    found = ops((tmp_path / "optimised.onnx").read_bytes())
    assert found.count("ReorderInput") + found.count("ReorderOutput") <= 2
    assert found.count("Conv") == 4


def test_the_bundled_net_gives_the_same_picture() -> None:
    model = (BUNDLED / "model.onnx").read_bytes()
    x = np.random.default_rng(4).random((1, 3, 40, 24), np.float32)
    assert "PRelu" in ops(model)
    assert "PRelu" not in ops(for_cpu(model))
    assert np.array_equal(run(for_cpu(model), x), run(model, x))


def test_a_model_on_the_cpu_is_loaded_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = tmp_path / "loaded.onnx"
    options = session_options()
    options.optimized_model_filepath = str(written)
    monkeypatch.setattr(sessions, "session_options", lambda: options)
    sessions.open_model(read_folder(BUNDLED), EngineOptions(device="cpu"), on_cpu("test"))
    assert "Relu" in ops(written.read_bytes())
    assert "PRelu" not in ops(written.read_bytes())


@pytest.mark.parametrize(
    "model",
    [
        builders.superres_onnx(),
        builders.velocity_onnx(),
        prelu_onnx(SLOPE, opset=6),
        prelu_onnx(SLOPE, domain="com.studio"),
        prelu_onnx(SLOPE.reshape(16, 1), window=1),
        prelu_onnx(SLOPE[:1]),
        prelu_onnx(SLOPE.reshape(16)),
        prelu_onnx(SLOPE.astype(np.float16)),
        prelu_onnx(SLOPE[:8]),
    ],
    ids=[
        *("no PRelu", "a generator", "an old opset", "another's operator", "one dimension"),
        *("one slope", "a slope for each column", "half precision", "not whole blocks"),
    ],
)
def test_any_other_graph_stays_as_it_is(model: bytes) -> None:
    assert for_cpu(model) == model


def changed(change: Callable[[onnx.ModelProto], object]) -> bytes:
    model = onnx.load_from_string(prelu_onnx(SLOPE))
    change(model)
    return bytes(model.SerializeToString())


def other_slope(values: NDArray[np.float32]) -> Callable[[onnx.ModelProto], object]:
    return lambda m: m.graph.initializer.append(numpy_helper.from_array(values, "slope"))


def local_relu(model: onnx.ModelProto) -> None:
    """A function that gives another meaning to an operator that would be put in."""
    node = helper.make_node("Abs", ["x"], ["y"])
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("", "Relu", ["x"], ["y"], [node], opsets))


def wide(model: onnx.ModelProto) -> None:
    """A slope that says it has 2^30 channels, and so do the weights."""
    for constant, shape in zip(model.graph.initializer, [(1, 1), (16, 1, 1)], strict=True):
        del constant.dims[:]
        constant.dims.extend((1 << 30, *shape))


def packed(model: onnx.ModelProto) -> None:
    """A shape of ten thousand ones."""
    model.graph.initializer[0].dims.extend([1] * 10_000)


HOSTILE: dict[str, Callable[[onnx.ModelProto], object]] = {
    "a slope given twice": other_slope(SLOPE),
    "a slope given twice, with another shape": other_slope(SLOPE[:1]),
    "a slope that callers may replace": lambda m: m.graph.input.add(name="slope"),
    "a slope that a node makes too": lambda m: m.graph.node.append(
        helper.make_node("Neg", ["one"], ["slope"])
    ),
    "a slope without an end": lambda m: m.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(SLOPE * np.inf, "slope")
    ),
    "a slope cut short": lambda m: setattr(m.graph.initializer[0], "raw_data", b"\0" * 60),
    "a name of ours": lambda m: setattr(m.graph.node[0], "name", "gfedge/column"),
    "a function of the same name": local_relu,
    "no output": lambda m: m.graph.node[1].ClearField("output"),
    "two outputs": lambda m: m.graph.node[1].output.append("z"),
    "a shape of 2^30 channels": wide,
    "a shape of ten thousand sizes": packed,
    "weights of other channels": lambda m: m.graph.initializer[1].dims.__setitem__(0, 32),
    "two versions of the operators": lambda m: m.opset_import.add(domain="ai.onnx", version=6),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_graph_stays_as_it_is(what: str) -> None:
    """It is then refused or run as ONNX Runtime sees fit; what would be put in may not make it worse."""
    model = changed(HOSTILE[what])
    assert for_cpu(model) == model


def test_two_graphs_are_one_to_protobuf() -> None:
    """So what is said in one counts in the other: the constants would be given twice."""
    twice = prelu_onnx(SLOPE) * 2
    assert for_cpu(twice) == twice


def test_many_operators_are_not_made_seven_times_as_many() -> None:
    """Nor are their names repeated: what is added to a file has a bound."""
    few, many = (onnx.load_from_string(prelu_onnx(SLOPE)) for _ in range(2))
    for model, count in ((few, 900), (many, 1_100)):
        for number in range(count):
            inputs, outputs = ["before", "slope"], [f"{'long' * 100}{number}"]
            model.graph.node.append(helper.make_node("PRelu", inputs, outputs))
    written = many.SerializeToString()
    assert for_cpu(written) == written
    written = few.SerializeToString()
    assert len(written) < len(for_cpu(written)) < 2 * len(written)


def test_names_like_those_that_were_once_made_do_not_collide() -> None:
    """Another tensor may be called as the output with an ending."""
    model = onnx.load_from_string(prelu_onnx(SLOPE))
    for end in ("turned", "-x", "above", "below", "column", "scaled", "0", "1"):
        model.graph.node.append(helper.make_node("Neg", ["x"], [f"after/{end}"]))
    x = np.random.default_rng(5).normal(0, 2, (1, 16, 5, 8)).astype(np.float32)
    slower = bytes(model.SerializeToString())
    assert for_cpu(slower) != slower
    assert np.array_equal(run(for_cpu(slower), x), run(slower, x))


def test_what_else_stands_in_the_file_stays() -> None:
    """Initialisers, inputs, metadata and fields that the format does not know yet come out byte for byte."""
    model = onnx.load_from_string(prelu_onnx(SLOPE))
    model.metadata_props.add(key="author", value="a studio")
    written = model.SerializeToString() + b"\xf8\x3f\x07" + b"\xfd\x3f\x01\x02\x03\x04"
    found = onnx.load_from_string(for_cpu(written))
    del model.graph.node[:], found.graph.node[:]
    assert for_cpu(written).endswith(b"\xf8\x3f\x07\xfd\x3f\x01\x02\x03\x04")
    del found.graph.initializer[len(model.graph.initializer) :]
    assert found.graph == model.graph
    assert found.metadata_props == model.metadata_props
