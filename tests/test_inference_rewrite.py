"""PRelu in faster operators: the same numbers to the last bit, and every other graph untouched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
    slope: NDArray[np.float32], *, opset: int = 17, domain: str = "", kernel: bool = True
) -> bytes:
    """A convolution that changes nothing, PRelu, and one more convolution."""
    channels = 16
    sides: dict[str, Any] = {"kernel_shape": [1, 1]} if kernel else {}
    one = np.eye(channels, dtype=np.float32)[..., None, None]
    nodes = [
        helper.make_node("Conv", ["x", "one"], ["before"], name="first", **sides),
        helper.make_node("PRelu", ["before", "slope"], ["after"], name="second", domain=domain),
        helper.make_node("Conv", ["after", "one"], ["y"], **sides),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", channels, "h", "w"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", channels, "h", "w"])
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
        prelu_onnx(SLOPE, kernel=False),
        prelu_onnx(SLOPE[:1]),
        prelu_onnx(SLOPE.reshape(16)),
        prelu_onnx(SLOPE.astype(np.float16)),
        prelu_onnx(SLOPE[:8]),
    ],
    ids=[
        *("no PRelu", "a generator", "an old opset", "another's operator", "sides not said"),
        *("one slope", "a slope for each column", "half precision", "not whole blocks"),
    ],
)
def test_any_other_graph_stays_as_it_is(model: bytes) -> None:
    assert for_cpu(model) == model


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
