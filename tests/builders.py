"""Small real things for tests: ONNX graphs of a few kB, complete model folders, pictures and their files."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from gfedge.inference.types import Pixels

RADIUS = 2
"""Receptive radius of the small superres net: two 3x3 convolutions."""
SIZE = 32
WORDS = ("<pad>", "red", "blue", "green", "dragon", "sword", "potion", "book", "curse")
CURSE = "curse"
"""A word of the vocabulary for which the small velocity net has no row: a prompt with it fails in the graph."""
BUCKETS = 64
VOCABULARY = {
    "format": 1,
    "words": list(WORDS),
    "aliases": {"elixir": "potion"},
    "buckets": BUCKETS,
    "length": 8,
    "grams": 12,
    "counts": {},
}
HUGE_SIDE = 40
"""Windows with more rows than this make the hungry superres net ask for more memory than there can be."""


def floats(name: str, values: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, np.float32), name)


def ints(name: str, values: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, np.int64), name)


def random(seed: int, *shape: int) -> NDArray[np.float32]:
    """Weights about as large as a trained net's."""
    values = np.random.default_rng(seed).standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    return values.astype(np.float32)


def rows(seed: int, count: int) -> NDArray[np.float32]:
    """An embedding table [count, 6] whose first row, the padding, is nothing."""
    table = random(seed, count, 6)
    table[0] = 0
    return table


def model_bytes(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    output: str,
    constants: list[onnx.TensorProto],
) -> bytes:
    sizes = ["n", "c", "rows", "columns"]
    result = helper.make_tensor_value_info(output, TensorProto.FLOAT, sizes)
    graph = helper.make_graph(nodes, "test", inputs, [result], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def superres_onnx(*, white_fails: bool = False, hungry: bool = False) -> bytes:
    """A net x4 of radius RADIUS: two convolutions, a pixel shuffle, plus the enlarged input, clipped.

    With `white_fails` a picture with a pure white pixel fails inside the graph; with `hungry` a window of more than
    HUGE_SIDE rows runs out of memory.
    """
    nodes = [
        helper.make_node("Conv", ["image", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["a1"]),
        helper.make_node("Conv", ["a1", "w2", "b2"], ["c2"], pads=[1, 1, 1, 1]),
        helper.make_node("DepthToSpace", ["c2"], ["detail"], blocksize=4, mode="CRD"),
        helper.make_node(
            "Resize",
            ["image", "", "scales"],
            ["large"],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
        helper.make_node("Add", ["detail", "large"], ["sum"]),
        helper.make_node("Clip", ["sum", "zero", "one"], ["upscaled"]),
    ]
    constants = [
        floats("w1", random(1, 8, 3, 3, 3)),
        floats("b1", random(2, 8)),
        floats("w2", random(3, 48, 8, 3, 3) / 2),
        floats("b2", np.zeros(48)),
        floats("scales", [1, 1, 4, 4]),
        floats("zero", 0),
        floats("one", 1),
    ]
    output = "upscaled"
    if white_fails:
        output = _gather_by_brightness(nodes, constants)
    if hungry:
        output = _hunger_by_height(nodes, constants)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])
    return model_bytes(nodes, [image], output, constants)


def _gather_by_brightness(nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto]) -> str:
    """Add table[floor(brightest)] with a table of one row: 1.0 is out of its bounds."""
    nodes += [
        helper.make_node("ReduceMax", ["image"], ["brightest"], keepdims=0),
        helper.make_node("Cast", ["brightest"], ["row"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "row"], ["nothing"]),
        helper.make_node("Add", ["upscaled", "nothing"], ["checked"]),
    ]
    constants.append(floats("table", [0]))
    return "checked"


def _hunger_by_height(nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto]) -> str:
    """Add the sum of 2 ** (48 * min(1, h // HUGE_SIDE)) zeros: beyond the address space, so it always fails."""
    nodes += [
        helper.make_node("Shape", ["image"], ["rows"], start=2, end=3),
        helper.make_node("Div", ["rows", "side"], ["times"]),
        helper.make_node("Min", ["times", "once"], ["huge"]),
        helper.make_node("Mul", ["huge", "bits"], ["exponent"]),
        helper.make_node("Pow", ["two", "exponent"], ["count"]),
        helper.make_node("ConstantOfShape", ["count"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["nothing"], keepdims=0),
        helper.make_node("Add", ["upscaled", "nothing"], ["fed"]),
    ]
    constants += [
        ints("side", [HUGE_SIDE]),
        ints("once", [1]),
        ints("bits", [48]),
        ints("two", [2]),
    ]
    return "fed"


def velocity_onnx() -> bytes:
    """A velocity net with the inputs of the sprite model: a convolution of x, moved by time and words."""
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["here"], pads=[1, 1, 1, 1]),
        helper.make_node("Gather", ["word_table", "words"], ["word_rows"]),
        helper.make_node("ReduceSum", ["word_rows", "axis_1"], ["word_sum"], keepdims=0),
        helper.make_node("Gather", ["gram_table", "subwords"], ["gram_rows"]),
        helper.make_node("ReduceSum", ["gram_rows", "axes_1_2"], ["gram_sum"], keepdims=0),
        helper.make_node("Add", ["word_sum", "gram_sum"], ["text"]),
        helper.make_node("Unsqueeze", ["t", "axis_1"], ["time"]),
        helper.make_node("Concat", ["text", "time"], ["both"], axis=1),
        helper.make_node("MatMul", ["both", "widen"], ["wide"]),
        helper.make_node("Gemm", ["wide", "mix", "mix_b"], ["mixed"]),
        helper.make_node("Reshape", ["mixed", "as_channels"], ["where_to"]),
        helper.make_node("Add", ["here", "where_to"], ["sum"]),
        helper.make_node("Tanh", ["sum"], ["v"]),
    ]
    constants = [
        floats("w", random(11, 4, 4, 3, 3)),
        floats("b", np.zeros(4)),
        floats("word_table", rows(12, len(WORDS) - 1)),
        floats("gram_table", rows(13, BUCKETS + 1) / 12),
        floats("widen", random(14, 7, 64)),
        floats("mix", random(15, 64, 4)),
        floats("mix_b", [0, 0, 0, -1]),
        ints("axis_1", [1]),
        ints("axes_1_2", [1, 2]),
        ints("as_channels", [-1, 4, 1, 1]),
    ]
    info = helper.make_tensor_value_info
    inputs = [
        info("x", TensorProto.FLOAT, ["n", 4, SIZE, SIZE]),
        info("t", TensorProto.FLOAT, ["n"]),
        info("words", TensorProto.INT64, ["n", 8]),
        info("subwords", TensorProto.INT64, ["n", 8, 12]),
    ]
    return model_bytes(nodes, inputs, "v", constants)


def make_folder(models: Path, name: str, version: str, toml: str, files: dict[str, bytes]) -> Path:
    """`models/<name>/<version>/` with these files, their digests, and the rest of model.toml."""
    folder = models / name / version
    folder.mkdir(parents=True)
    for file, data in files.items():
        (folder / file).write_bytes(data)
    digests = "".join(
        f'"{file}" = "{hashlib.sha256(data).hexdigest()}"\n' for file, data in files.items()
    )
    head = f'name = "{name}"\nversion = "{version}"\n'
    (folder / "model.toml").write_text(f"{head}{toml}\n[files]\n{digests}", encoding="utf-8")
    return folder


PROVENANCE = """\
title = "A small {kind} model"
description = "Made by the tests."
licence = "CC0-1.0"
source = "tests/builders.py"
created_at = "2026-11-23T00:00:00Z"

[training]
name = "{kind}-test-training"
script = "tests/builders.py"
parameters = 1234

[dataset]
name = "{kind}-test-data"
licence = "CC0-1.0"
source = "nowhere"
"""

SUPERRES = f"""\
kind = "superres"
{PROVENANCE.format(kind="superres")}
[inputs]
image = "image"

[defaults]
scale = 4
mode = "smooth"

[limits]
max_pixels = 4194304

[pipeline]
scale = 4
radius = {RADIUS}
"""

SPRITE = f"""\
kind = "generate"
{PROVENANCE.format(kind="generate")}
[inputs]
x = "x"
t = "t"
words = "words"
subwords = "subwords"

[defaults]
steps = 4
guidance_scale = 2.0
palette = 16

[limits]
max_steps = 100
max_batch = 16

[pipeline]
size = {SIZE}
channels = 4

[styles]
handheld = {{palette = ["#0f380f", "#306230", "#8bac0f", "#9bbc0f"]}}
royal = {{words = "blue", outline = "#ff00ff"}}

[vocabulary]
documented = ["dragon", "potion"]
"""


def make_superres_folder(
    models: Path,
    name: str = "superres",
    version: str = "1",
    onnx_bytes: bytes | None = None,
) -> Path:
    """A complete superres folder under `models`; gives back the version folder."""
    data = superres_onnx() if onnx_bytes is None else onnx_bytes
    return make_folder(models, name, version, SUPERRES, {"model.onnx": data})


def make_sprite_folder(
    models: Path,
    name: str = "sprite",
    version: str = "1",
    onnx_bytes: bytes | None = None,
) -> Path:
    """A complete sprite folder under `models`, with its vocabulary; gives back the version folder."""
    data = velocity_onnx() if onnx_bytes is None else onnx_bytes
    files = {"model.onnx": data, "vocab.json": json.dumps(VOCABULARY).encode()}
    return make_folder(models, name, version, SPRITE, files)


def noise(height: int, width: int, *, seed: int = 0, alpha: bool = False) -> Pixels:
    """A picture of noise below pure white; with `alpha`, a third of it transparent and the rest of any opacity."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 255, (height, width, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    if alpha:
        opacity = rng.integers(1, 256, (height, width), dtype=np.uint8)
        pixels[..., 3] = np.where(rng.random((height, width)) < 1 / 3, 0, opacity)
        pixels[height // 4 : height // 2, width // 4 : width // 2, 3] = 0
    return pixels


def dots(height: int, width: int) -> Pixels:
    """Few visible pixels far apart, and colours under nothing that must not show."""
    pixels = noise(height, width, seed=3)
    pixels[..., 3] = np.where(np.random.default_rng(4).random((height, width)) < 0.002, 255, 0)
    pixels[-1, -1, 3] = 255
    return pixels


def sprite(side: int = 32) -> Pixels:
    """A red disc with a dark rim on nothing: a picture with flat areas and hard alpha."""
    y, x = np.mgrid[:side, :side]
    distance = np.hypot(y - side / 2 + 0.5, x - side / 2 + 0.5) / side
    pixels = np.zeros((side, side, 4), np.uint8)
    pixels[distance < 0.45] = (60, 10, 20, 255)
    pixels[distance < 0.35] = (200, 40, 30, 255)
    return pixels


def picture_file(pixels: Pixels, format: str = "PNG", **options: Any) -> bytes:  # noqa: A002
    """The bytes of a picture file as Pillow writes it; JPEG without alpha."""
    image = Image.fromarray(pixels)
    out = io.BytesIO()
    (image.convert("RGB") if format == "JPEG" else image).save(out, format, **options)
    return out.getvalue()


def png_file(height: int = 8, width: int = 8, *, seed: int = 0, alpha: bool = False) -> bytes:
    """A PNG of noise."""
    return picture_file(noise(height, width, seed=seed, alpha=alpha))


SLOW = "book"
"""A word of the vocabulary for which the slow velocity net works long in every step."""


def slow_velocity_onnx(turns: int = 20) -> bytes:
    """The small velocity net, which for a prompt with SLOW also multiplies matrices, about `turns` ms in each step."""
    model = onnx.load_model_from_string(velocity_onnx())
    value = helper.make_tensor_value_info
    state, flag = ("state", TensorProto.FLOAT, [256, 256]), TensorProto.BOOL
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "turned"], ["next_state"]),
            helper.make_node("Identity", ["go"], ["still_go"]),
        ],
        "turn",
        [value("turn", TensorProto.INT64, []), value("go", flag, []), value(*state)],
        [value("still_go", flag, []), value("next_state", *state[1:])],
    )
    model.graph.node.extend(
        [
            helper.make_node("Equal", ["words", "slow_word"], ["is_slow"]),
            helper.make_node("Cast", ["is_slow"], ["slow_ones"], to=TensorProto.INT64),
            helper.make_node("ReduceMax", ["slow_ones"], ["any_slow"], keepdims=0),
            helper.make_node("Mul", ["any_slow", "turns"], ["trips"]),
            helper.make_node("Loop", ["trips", "", "turned"], ["end"], body=body),
            helper.make_node("ReduceMax", ["end"], ["most"], keepdims=0),
            helper.make_node("Mul", ["most", "nought"], ["nothing"]),
            helper.make_node("Add", ["v", "nothing"], ["slow_v"]),
        ]
    )
    model.graph.initializer.extend(
        [
            floats("turned", np.roll(np.eye(256), 1, axis=0)),
            floats("nought", 0),
            ints("slow_word", WORDS.index(SLOW)),
            ints("turns", turns),
        ]
    )
    model.graph.output[0].name = "slow_v"
    return bytes(model.SerializeToString())
