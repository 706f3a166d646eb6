"""The registry: models as they are listed, and folders that are refused while the others serve."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import builders
import onnx
from conftest import Api, Serving, eventually
from onnx import helper

MODELS = "/api/v1/ml-platform/models"


def with_digest_of_now(folder: Path) -> None:
    """Writes the digest of model.onnx as it is now into model.toml."""
    toml = folder / "model.toml"
    digest = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    lines = [
        f'"model.onnx" = "{digest}"' if line.startswith('"model.onnx"') else line
        for line in toml.read_text().splitlines()
    ]
    toml.write_text("\n".join(lines))


async def refusal(api: Api, name: str) -> str:
    """Why the one refused folder was refused."""
    refused = (await api.get(MODELS))["refused"]
    assert [one["path"] for one in refused] == [f"{name}/1"]
    return str(refused[0]["reason"])


async def test_models_are_listed_with_their_versions(client: Api, models: Path) -> None:
    await ready(client)
    listed = await client.get(MODELS)
    assert [(m["name"], m["kind"], m["serving"]) for m in listed["models"]] == [
        ("sprite", "generate", "sprite@1"),
        ("superres", "superres", "superres@1"),
    ]
    assert listed["refused"] == []
    version = listed["models"][0]["versions"][0]
    files = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (models / "sprite" / "1").iterdir()
        if path.name != "model.toml"
    }
    assert version["files"] == files
    lines = "".join(sorted(f"{digest}  {name}\n" for name, digest in files.items()))
    assert version["digest"] == hashlib.sha256(lines.encode()).hexdigest()
    assert version["licence"] == "CC0-1.0"
    assert version["training"]["name"] == "generate-test-training"
    assert await client.get(f"{MODELS}/sprite") == listed["models"][0]


async def test_an_unknown_model_is_a_problem(client: Api) -> None:
    await client.refused("GET", f"{MODELS}/nothing", 404, "model_not_found")


async def test_health_says_when_models_are_ready(client: Api) -> None:
    health = await ready(client)
    assert health["status"] == "ok"
    assert "CPU" in health["device"]


async def ready(api: Api) -> Any:
    """The health once both models are loaded."""
    states = {"sprite@1": "ready", "superres@1": "ready"}
    return await eventually(lambda: api.get("/health"), lambda h: h["models"] == states)


async def test_the_newest_version_serves(serving: Serving, models: Path) -> None:
    for version in ("9", "10"):
        builders.make_superres_folder(models, version=version)
    client = await serving()
    model = await client.get(f"{MODELS}/superres")
    assert model["serving"] == "superres@10"
    assert [version["version"] for version in model["versions"]] == ["10", "9", "1"]


async def test_a_corrupted_model_is_refused_and_the_others_serve(
    serving: Serving, models: Path
) -> None:
    file = models / "superres" / "1" / "model.onnx"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    client = await serving()
    reason = await refusal(client, "superres")
    assert "model.onnx does not match its digest" in reason
    assert "restore the file" in reason
    assert (await client.generate())["status"] == "succeeded"
    for options in (
        {"path": "/api/v1/ai/generate", "json": {"prompt": "red dragon", "scale": 2}},
        {
            "path": "/api/v1/ai/superres",
            "data": builders.png_file(),
            "headers": {"Content-Type": "image/png"},
        },
    ):
        problem = await client.refused("POST", status=422, code="model_not_found", **options)
        assert "does not match its digest" in problem["detail"]
    assert (await client.upscale(builders.png_file(), mode="pixel"))["status"] == "succeeded"


async def test_a_registered_version_that_changed_is_refused(serving: Serving, models: Path) -> None:
    await (await serving()).generate()
    folder = models / "sprite" / "1"
    (folder / "model.onnx").write_bytes(builders.velocity_onnx())
    with_digest_of_now(folder)
    client = await serving()
    reason = await refusal(client, "sprite")
    assert "its files changed since this version was registered" in reason
    assert "new version" in reason
    body = {"prompt": "red dragon"}
    await client.refused("POST", "/api/v1/ai/generate", 422, "model_not_found", json=body)
    assert (await client.upscale(builders.png_file()))["status"] == "succeeded"


async def test_a_version_that_is_put_back_serves_again(serving: Serving, models: Path) -> None:
    first = await (await serving()).generate(seed=1)
    file = models / "sprite" / "1" / "model.onnx"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    assert "digest" in await refusal(await serving(), "sprite")
    file.write_bytes(whole)
    client = await serving()
    again = await client.generate(seed=1)
    assert again["outputs"][0]["pixels_sha256"] == first["outputs"][0]["pixels_sha256"]


async def test_external_data_outside_the_folder_is_refused(serving: Serving, models: Path) -> None:
    folder = models / "superres" / "1"
    model = onnx.load_model_from_string(builders.superres_onnx())
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../sprite/1/model.onnx")
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with_digest_of_now(folder)
    client = await serving()
    assert "outside its folder" in await refusal(client, "superres")
    assert (await client.generate())["status"] == "succeeded"


async def test_a_custom_operator_is_refused(serving: Serving, models: Path) -> None:
    folder = models / "superres" / "1"
    model = onnx.load_model_from_string(builders.superres_onnx())
    model.graph.node.append(helper.make_node("Steal", ["image"], ["secret"], domain="evil.example"))
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with_digest_of_now(folder)
    client = await serving()
    assert "operator 'Steal' of 'evil.example'" in await refusal(client, "superres")
    assert (await client.generate())["status"] == "succeeded"


async def test_a_folder_that_says_nonsense_is_refused(serving: Serving, models: Path) -> None:
    (models / "superres" / "1" / "model.toml").write_text("name = [")
    client = await serving()
    assert "not valid TOML" in await refusal(client, "superres")
    assert (await client.generate())["status"] == "succeeded"


async def test_a_model_whose_defaults_are_nonsense_does_not_break_the_server(
    serving: Serving, models: Path
) -> None:
    toml = models / "sprite" / "1" / "model.toml"
    toml.write_text(toml.read_text().replace("steps = 4\n", 'steps = "many"\n'))
    client = await serving()
    assert "steps" in await refusal(client, "sprite")
    assert (await client.upscale(builders.png_file()))["status"] == "succeeded"


async def test_a_graph_without_a_model_toml_is_refused_not_overlooked(
    serving: Serving, models: Path
) -> None:
    (models / "lost" / "1").mkdir(parents=True)
    (models / "lost" / "1" / "model.onnx").write_bytes(builders.velocity_onnx())
    (models / "notes").mkdir()
    (models / ".git" / "1").mkdir(parents=True)
    (models / ".git" / "1" / "model.onnx").write_bytes(b"")
    assert "there is no model.toml" in await refusal(await serving(), "lost")


async def test_a_model_that_cannot_be_loaded_is_refused_alone(
    serving: Serving, models: Path
) -> None:
    folder = models / "superres" / "1"
    (folder / "model.onnx").write_bytes(builders.velocity_onnx())
    with_digest_of_now(folder)
    client = await serving()
    assert "the graph's inputs are" in await refusal(client, "superres")
    picture = {"data": builders.png_file(), "headers": {"Content-Type": "image/png"}}
    path = "/api/v1/ai/superres"
    problem = await client.refused("POST", path, 422, "model_not_found", **picture)
    assert "the graph's inputs are" in problem["detail"]
    assert (await client.generate())["status"] == "succeeded"


async def test_a_server_without_models_serves_what_needs_none(
    serving: Serving, tmp_path: Path
) -> None:
    client = await serving(models=tmp_path / "nowhere")
    assert await client.get(MODELS) == {"models": [], "refused": []}
    assert (await client.upscale(builders.png_file(), mode="pixel"))["status"] == "succeeded"
    body = {"prompt": "red dragon"}
    problem = await client.refused("POST", "/api/v1/ai/generate", 422, "model_not_found", json=body)
    assert "none" in problem["detail"]
