"""Model folders: what is read, and all that is refused, each with a text that says what to do."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import builders
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from gfedge.inference import words
from gfedge.inference.engine import Engine
from gfedge.inference.folder import folder_digest, graph_bytes, read_folder
from gfedge.inference.scan import MAX_DEPTH, ScanError, scan
from gfedge.inference.sessions import open_model
from gfedge.inference.types import Cancel, Device, EngineOptions, ModelRefused, UpscaleRequest


def refusal(folder: Path) -> str:
    with pytest.raises(ModelRefused) as refused:
        read_folder(folder)
    return str(refused.value)


def edited(folder: Path, old: str, new: str) -> Path:
    toml = folder / "model.toml"
    text = toml.read_text()
    assert old in text
    toml.write_text(text.replace(old, new))
    return folder


def test_a_folder_says_all_about_its_model(tmp_path: Path) -> None:
    found = read_folder(builders.make_sprite_folder(tmp_path, version="2"))
    assert (found.name, found.version, found.kind) == ("sprite", "2", "generate")
    assert found.licence == "CC0-1.0"
    assert found.pipeline == {"size": 32, "channels": 4}
    assert found.training["name"] == "generate-test-training"
    assert found.dataset["licence"] == "CC0-1.0"
    sizes = [(tmp_path / "sprite" / "2" / name).stat().st_size for name in found.files]
    assert found.bytes == sum(sizes)
    lines = "".join(sorted(f"{digest}  {name}\n" for name, digest in found.files.items()))
    assert found.digest == hashlib.sha256(lines.encode()).hexdigest()
    assert graph_bytes(found, "model.onnx") == builders.velocity_onnx()


def test_the_digest_is_that_of_the_files_alone() -> None:
    assert folder_digest({"b": "0" * 64, "a": "1" * 64}) == folder_digest(
        {"a": "1" * 64, "b": "0" * 64}
    )
    assert folder_digest({"a": "0" * 64}) != folder_digest({"b": "0" * 64})


def test_a_file_that_does_not_match_its_digest(tmp_path: Path) -> None:
    folder = builders.make_superres_folder(tmp_path)
    data = builders.superres_onnx(white_fails=True)
    (folder / "model.onnx").write_bytes(data)
    expected = hashlib.sha256(builders.superres_onnx()).hexdigest()[:8]
    found = hashlib.sha256(data).hexdigest()[:8]
    assert refusal(folder) == (
        f"{tmp_path.name}/superres/1: model.onnx does not match its digest"
        f" (expected {expected}…, found {found}…): restore the file or make a new version folder"
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "superres"', 'name = "other"', "rename the folder"),
        ('version = "1"', 'version = "2"', "rename the folder"),
        ('name = "superres"', 'name = "../superres"', "small letters"),
        (
            'kind = "superres"',
            'kind = "music"',
            "kind 'music' is not known: one of generate, superres",
        ),
        ('kind = "superres"', 'kind = "generate"', "vocab.json"),
        ('"model.onnx" =', '"../model.onnx" =', "only plain names"),
        ('"model.onnx" =', '"/model.onnx" =', "only plain names"),
        ('"model.onnx" =', "'a\\model.onnx' =", "only plain names"),
        ('"model.onnx" =', '"other.onnx" =', "needs model.onnx"),
        ('"model.onnx" = "', '"model.onnx" = "X', "64 small hex digits"),
        ("radius = 2", "radius = 1000", "radius must be a whole number from 0 to 256"),
        ("radius = 2", "", "radius must be"),
        ("scale = 4\nradius", "scale = 2\nradius", "scale must be"),
        ("[pipeline]", '[pipeline]\ncustom_op_library = "evil.so"', "custom-op library"),
        ("[pipeline]", '[pipeline.deep]\nCustomOps = ["x"]\n[pipeline]', "custom-op library"),
        ("[files]", '[files]\n"evil.so" = "' + "0" * 64 + '"', "program library"),
        ("[files]", '[files]\n"more.bin" = "' + "0" * 64 + '"', "more.bin is missing"),
        ("[files]", "[files", "not valid TOML"),
        ('title = "', 'title = 3 #"', "title in model.toml must be a text"),
    ],
)
def test_a_folder_that_is_not_right(tmp_path: Path, old: str, new: str, said: str) -> None:
    folder = edited(builders.make_superres_folder(tmp_path), old, new)
    text = refusal(folder)
    assert said in text
    assert text.startswith(f"{tmp_path.name}/superres/1: ")
    assert str(tmp_path) not in text


def test_missing_unreadable_and_linked_files(tmp_path: Path) -> None:
    folder = builders.make_superres_folder(tmp_path)
    (tmp_path / "elsewhere.onnx").write_bytes((folder / "model.onnx").read_bytes())
    (folder / "model.onnx").unlink()
    assert "model.onnx is missing: restore the file" in refusal(folder)
    (folder / "model.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    assert "a link that leaves the folder" in refusal(folder)
    (folder / "model.toml").unlink()
    assert "there is no model.toml" in refusal(folder)


@pytest.mark.parametrize(
    "data",
    [b"", b"not an ONNX file at all", b"\x00" * 64, b"\xff" * 64, b"\x08\x08", b"....ORTM...."],
)
def test_foreign_files_are_not_onnx(tmp_path: Path, data: bytes) -> None:
    text = refusal(builders.make_superres_folder(tmp_path, onnx_bytes=data))
    assert "model.onnx cannot be loaded: it is" in text


def test_a_cut_short_graph_is_noticed() -> None:
    data = builders.superres_onnx()
    for length in range(0, len(data) - 16, 7):  # the graph ends before the last few bytes
        with pytest.raises(ScanError):
            scan(data[:length])


def with_external_data(location: str, inside: str = "graph") -> bytes:
    """The superres net with its first weights kept at `location`."""
    model = onnx.load_from_string(builders.superres_onnx())
    tensor = model.graph.initializer[0]
    raw = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(len(raw)))):
        tensor.external_data.add(key=key, value=value)
    if inside == "branch":
        moved = helper.make_graph([], "then", [], [], [tensor])
        model.graph.node.append(helper.make_node("If", ["c"], ["o"], then_branch=moved))
        del model.graph.initializer[0]
    if inside == "function":
        node = helper.make_node("Constant", [], ["o"], value=tensor)
        model.functions.append(
            helper.make_function("local", "f", [], ["o"], [node], [helper.make_opsetid("", 17)])
        )
        del model.graph.initializer[0]
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("inside", ["graph", "branch", "function"])
@pytest.mark.parametrize(
    "location", ["../secret", "/etc/passwd", "a/b", "..", "", "*/_ORT_MEM_ADDR_/*", "C:\\x"]
)
def test_data_outside_the_folder(tmp_path: Path, location: str, inside: str) -> None:
    data = with_external_data(location, inside)
    text = refusal(builders.make_superres_folder(tmp_path, onnx_bytes=data))
    assert f"model.onnx keeps data at {location!r}, outside its folder" in text


def test_data_beside_the_graph_must_be_named_and_is_then_used(tmp_path: Path) -> None:
    graph = with_external_data("weights.bin")
    raw = onnx.load_from_string(builders.superres_onnx()).graph.initializer[0].raw_data
    bare = builders.make_superres_folder(tmp_path, "bare", onnx_bytes=graph)
    (bare / "weights.bin").write_bytes(raw)
    assert "name that file in [files]" in refusal(bare)
    files = {"model.onnx": graph, "weights.bin": raw}
    named = read_folder(builders.make_folder(tmp_path, "named", "1", builders.SUPERRES, files))
    plain = read_folder(builders.make_superres_folder(tmp_path))
    engine = Engine(EngineOptions(device="cpu"))
    engine.start()
    made = [
        engine.upscale(model, builders.noise(9, 9), UpscaleRequest(), lambda *_: None, Cancel())
        for model in (named, plain)
    ]
    assert np.array_equal(made[0].result(30).images[0], made[1].result(30).images[0])
    engine.close()


def changed(change: Callable[[onnx.ModelProto], None]) -> bytes:
    model = onnx.load_from_string(builders.superres_onnx())
    change(model)
    return bytes(model.SerializeToString())


def test_operators_from_elsewhere(tmp_path: Path) -> None:
    def evil(model: onnx.ModelProto) -> None:
        model.graph.node[1].domain = "evil.ops"

    def context(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node("EPContext", [], ["o"], domain="com.microsoft"))

    def standard(model: onnx.ModelProto) -> None:
        model.graph.node[0].domain = "ai.onnx"
        model.graph.node[1].domain = "com.microsoft"
        model.opset_import.add(domain="never.used", version=1)

    for name, change in (("a", evil), ("b", context)):
        text = refusal(builders.make_superres_folder(tmp_path, name, onnx_bytes=changed(change)))
        assert "export it with standard operators" in text
    read_folder(builders.make_superres_folder(tmp_path, "c", onnx_bytes=changed(standard)))


def functions(model: onnx.ModelProto, calls: list[tuple[str, list[str]]]) -> None:
    for name, called in calls:
        nodes = [helper.make_node(op, ["x"], ["y"], domain="local") for op in called]
        nodes = nodes or [helper.make_node("Relu", ["x"], ["y"])]
        opset = [helper.make_opsetid("", 17)]
        model.functions.append(helper.make_function("local", name, ["x"], ["y"], nodes, opset))
    model.graph.node.append(helper.make_node(calls[0][0], ["upscaled"], ["o"], domain="local"))


def test_functions_of_the_file_itself_within_reason(tmp_path: Path) -> None:
    def fold(model: onnx.ModelProto) -> None:
        functions(model, [("outer", ["inner"] * 3), ("inner", [])])

    def bomb(model: onnx.ModelProto) -> None:
        functions(model, [(f"f{i}", [f"f{i + 1}"] * 10) for i in range(40)] + [("f40", [])])

    def circle(model: onnx.ModelProto) -> None:
        functions(model, [("f", ["g"]), ("g", ["f"])])

    assert scan(changed(fold)).expanded_nodes == 7 + 3
    read_folder(builders.make_superres_folder(tmp_path, "fold", onnx_bytes=changed(fold)))
    text = refusal(builders.make_superres_folder(tmp_path, "bomb", onnx_bytes=changed(bomb)))
    assert "nodes when its functions are put in place" in text
    text = refusal(builders.make_superres_folder(tmp_path, "circle", onnx_bytes=changed(circle)))
    assert "call each other in a circle" in text


def test_a_nesting_bomb_costs_little() -> None:
    graph = b""
    for _ in range(MAX_DEPTH):
        for number in (6, 5, 1):  # attribute.g, node.attribute, graph.node
            graph = bytes([number << 3 | 2]) + varint(len(graph)) + graph
    with pytest.raises(ScanError, match="nested more than"):
        scan(b"\x3a" + varint(len(graph)) + graph)


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


LONG = "more than 64 parts"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = " + "9" * 5000, "too many digits"),
        (".".join("a" * 20_000) + " = 1", LONG),
        ("[" + ' . "a\\"" . '.join("a" * 5000) + "]", LONG),
        ("a = {" + ".'b'.".join("a" * 5000) + " = 1}", LONG),
        ("a = " + "[" * 30_000 + "]" * 30_000, "not valid TOML"),
        ("a = " + "{a = " * 10_000 + "1" + "}" * 10_000, "not valid TOML"),
        ("a = " + "[" * 100 + "]" * 100, "nested more than 16 deep"),
        (".".join("a" * 60) + " = 1", "nested more than 16 deep"),
        ("a = 0x" + "f" * 17, "a finite number of 64 bits"),
        ("[training]\nlosses = [1.0, [nan]]", "'losses' in model.toml must be a finite"),
        ("[dataset]\nsize = -inf", "'size' in model.toml must be a finite"),
        ("[training]\nname = ['a']", "[training] name in model.toml must be a text"),
        (
            "[dataset]\nname = 2026-01-01T00:00:00Z\n[training]\nname = 7",
            "[training] name in model",
        ),
        ("training = [1]", "[training] in model.toml must be a table"),
        ("x = [[{CustomOps = 1}]]", "custom-op library (CustomOps)"),
        ("[defaults]\nscale = 5", "[defaults] scale must be one of 2, 3, 4, 8"),
    ],
    ids=lambda text: text[:24],
)
def test_whatever_a_toml_holds_it_is_refused_and_soon(tmp_path: Path, text: str, said: str) -> None:
    folder = builders.make_superres_folder(tmp_path)
    toml = folder / "model.toml"
    known = re.sub(r"(?m)^\[(training|dataset|defaults)\][^\[]*", "", toml.read_text())
    toml.write_text(f"{text}\n{known}" if not text.startswith("[") else f"{known}\n{text}")
    assert said in refusal(folder)


def test_origins_are_plain_values(tmp_path: Path) -> None:
    origins = (
        "[training]\nbegan = 2026-01-02\nended = 2026-01-03T04:05:06Z\nat = 07:08:09\n"
        "losses = [1.5, [2, {a = true}]]\n"
    )
    folder = edited(builders.make_superres_folder(tmp_path), "[training]\n", origins)
    found = read_folder(folder).training
    assert found["began"] == "2026-01-02"
    assert found["ended"] == "2026-01-03T04:05:06+00:00"
    assert found["at"] == "07:08:09"
    assert found["losses"] == [1.5, [2, {"a": True}]]


def test_every_broken_toml_is_a_refusal_or_a_folder(tmp_path: Path) -> None:
    folder = builders.make_sprite_folder(tmp_path)
    data = (folder / "model.toml").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        broken = bytearray(data)
        broken[rng.integers(len(data))] = rng.integers(256)
        (folder / "model.toml").write_bytes(bytes(broken))
        with contextlib.suppress(ModelRefused):
            read_folder(folder)


def test_the_vocabulary_is_loaded_from_the_bytes_that_were_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = read_folder(builders.make_sprite_folder(tmp_path))
    data = (folder.path / "vocab.json").read_bytes()
    expected = words.Vocabulary.loads(data, folder.vocabulary["documented"], ["blue"])

    def again(path: Path) -> words.Vocabulary:
        raise AssertionError("vocab.json was read a second time")

    monkeypatch.setattr(words.Vocabulary, "load", again)
    on_cpu = Device(provider="CPUExecutionProvider", note="")
    assert open_model(folder, EngineOptions(), on_cpu).vocabulary == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[styles]\nOld = {words = "x"}', "small letters"),
        ('[styles]\nold = "sepia"', "a table of words, palette and outline"),
        ('[styles]\nold = {colour = "red"}', "a table of words, palette and outline"),
        ("[styles]\nold = {words = 3}", "words must be a text"),
        ("[styles]\nold = {palette = 1}", "palette is 2 to 256"),
        ('[styles]\nold = {palette = ["red"]}', "palette is 2 to 256"),
        ("[styles]\nold = {palette = []}", "palette is 2 to 256"),
        ("[styles]\nold = {outline = true}", "outline is a colour"),
        ("[vocabulary]\ndocumented = [1]", "a list of words"),
        ('[defaults]\nsampler = "ddim"', "one of euler, heun, dpmpp_2m"),
        ("[defaults]\nsampler = [1]", "one of euler, heun, dpmpp_2m"),
    ],
)
def test_what_a_generate_model_declares_is_checked(tmp_path: Path, text: str, said: str) -> None:
    folder = builders.make_sprite_folder(tmp_path)
    toml = folder / "model.toml"
    known = re.sub(r"(?ms)^\[(styles|vocabulary|defaults)\]\n.*?(?=^\[)", "", toml.read_text())
    toml.write_text(f"{known}\n{text}\n")
    assert said in refusal(folder)
