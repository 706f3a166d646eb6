"""Registering model versions: from folders, uploads, artifacts; what is refused, and what a crash leaves."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import os
import stat
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import builders
import onnx
import pytest
from conftest import Api, Process, Serving, connected
from onnx import helper

from gfedge.inference import png
from gfedge.registry.registry import Registry
from gfedge.registry.routes import REGISTRY

MODELS = "/api/v1/ml-platform/models"
HISTORY = f"{MODELS}/superres/history"
ROUNDS = int(os.environ.get("GFEDGE_KILL_ROUNDS", "2"))
KILL_AFTER = [0.05 + 0.6 * i / max(ROUNDS - 1, 1) for i in range(ROUNDS)]
"""Seconds after which an upload is cut off by kill -9."""


def superres(seed: int = 1) -> bytes:
    """A superres net with other weights."""
    model = onnx.load_model_from_string(builders.superres_onnx())
    weights = next(t for t in model.graph.initializer if t.name == "w1")
    weights.CopyFrom(builders.floats("w1", builders.random(100 + seed, 8, 3, 3, 3)))
    return bytes(model.SerializeToString())


def folder_of(path: Path, name: str = "superres", version: str = "2", seed: int = 1) -> Path:
    return builders.make_superres_folder(path, name, version, superres(seed))


def tar_of(folder: Path, mode: str = "w:gz", prefix: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, f"{prefix}{path.name}")
    return out.getvalue()


def zip_of(folder: Path) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    return out.getvalue()


async def upload(
    api: Api, data: bytes, status: int = 201, kind: str = "application/gzip", **query: str
) -> Any:
    headers = {"Content-Type": kind}
    return await api.call("POST", MODELS, status, data=data, headers=headers, params=query)


async def refused(api: Api, data: bytes, status: int, code: str, **query: str) -> str:
    options: dict[str, Any] = {"data": data, "params": query}
    options["headers"] = {"Content-Type": "application/octet-stream"}
    return str((await api.refused("POST", MODELS, status, code, **options))["detail"])


def registry_of(api: Api) -> Registry:
    return api.http.server.app[REGISTRY]  # type: ignore[union-attr]


# -- what is taken ------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [tar_of, zip_of, lambda f: tar_of(f, "w", "net/")])
async def test_an_uploaded_archive_becomes_a_version_in_dev(
    client: Api, tmp_path: Path, pack: Callable[[Path], bytes]
) -> None:
    data = pack(folder_of(tmp_path / "made"))
    kind = "application/octet-stream"
    found = await upload(client, data, kind=kind, by="kim", note="wider")
    assert (found["id"], found["stage"], found["author"]) == ("superres@2", "dev", "kim")
    assert found["signature"]["inputs"][0] == {
        "name": "image",
        "dtype": "float",
        "shape": ["n", 3, "h", "w"],
    }
    assert found["signature"]["opset"] == 17
    model = await client.get(f"{MODELS}/superres")
    assert model["serving"] == "superres@1"
    assert [(v["version"], v["stage"]) for v in model["versions"]] == [("2", "dev"), ("1", "prod")]
    change = (await client.get(HISTORY))["changes"][0]
    assert (change["action"], change["by"], change["reason"]) == ("registered", "kim", "wider")
    assert change["details"] == {"digest": found["digest"]}
    job = await client.upscale(builders.png_file(), model="superres@2")
    assert job["model"]["digest"] == found["digest"]


async def test_the_same_files_again_give_the_version_that_there_is(
    client: Api, tmp_path: Path
) -> None:
    data = tar_of(folder_of(tmp_path / "made"))
    first = await upload(client, data)
    assert await upload(client, data, 200) == first
    assert await upload(client, data, 200, version="7") == first
    assert len((await client.get(HISTORY))["changes"]) == 3


async def test_versions_count_on_and_are_never_used_twice(client: Api, tmp_path: Path) -> None:
    for seed, version in ((1, "2"), (2, "3")):
        data = tar_of(folder_of(tmp_path / str(seed), version="2", seed=seed))
        assert (await upload(client, data))["version"] == version
    data = tar_of(folder_of(tmp_path / "more", seed=3))
    assert (await upload(client, data, version="winter"))["version"] == "winter"
    data = tar_of(folder_of(tmp_path / "other", seed=4))
    await refused(client, data, 409, "version_exists", version="winter")
    await client.call("DELETE", f"{MODELS}/superres/versions/winter")
    await refused(client, data, 409, "version_exists", version="winter")
    await refused(client, data, 422, "bad_version", version="prod")


async def test_a_form_brings_a_graph_and_its_manifest(client: Api, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "made", name="sharp", version="1")
    form = aiohttp.FormData()
    toml = (folder / "model.toml").read_text().split("[files]")[0]
    form.add_field("manifest", toml.encode(), filename="model.toml")
    form.add_field("graph", (folder / "model.onnx").read_bytes(), filename="net.onnx")
    form.add_field("note", "by hand")
    found = await client.call("POST", MODELS, 201, data=form)
    assert (found["id"], found["note"], list(found["files"])) == (
        "sharp@1",
        "by hand",
        ["model.onnx"],
    )
    assert (await client.get(f"{MODELS}/sharp"))["serving"] == ""
    problem = await client.refused(
        "POST",
        "/api/v1/ai/superres",
        422,
        "model_not_found",
        params={"model": "sharp"},
        data=builders.png_file(),
        headers={"Content-Type": "image/png"},
    )
    assert "sharp@1" in problem["detail"]


async def test_a_graph_alone_takes_the_manifest_of_the_newest_version(client: Api) -> None:
    path = f"{MODELS}/superres/versions"
    headers = {"Content-Type": "application/octet-stream"}
    found = await client.call("POST", path, 201, data=superres(), headers=headers)
    assert (found["id"], found["limits"], found["training"]) == (
        "superres@2",
        {"max_pixels": 4194304},
        {},
    )
    assert "no model.toml came along" in await refused(client, superres(2), 422, "model_refused")


async def test_a_folder_below_the_models_folder_is_taken_where_it_is(
    client: Api, models: Path
) -> None:
    await client.get(MODELS)  # the start has read the folders
    folder_of(models)
    body = {"folder": "superres/2", "by": "kim"}
    found = await client.call("POST", MODELS, 201, json=body)
    assert (found["id"], found["stage"]) == ("superres@2", "dev")
    assert await client.call("POST", MODELS, 200, json=body) == found
    for folder in ("superres/3", "../superres", "superres", "superres/../sprite"):
        await client.refused("POST", MODELS, 422, "folder_not_found", json={"folder": folder})
    await client.refused("DELETE", f"{MODELS}/superres/versions/2", 409, "version_bundled")


async def test_an_artifact_of_a_run_is_linked_to_what_made_it(client: Api, tmp_path: Path) -> None:
    at = "/api/v1/ml-platform"
    experiment = await client.call("POST", f"{at}/experiments", 201, json={"name": "nets"})
    body = {"source": {"commit": "abc123"}}
    run = await client.call("POST", f"{at}/experiments/{experiment['id']}/runs", 201, json=body)
    points = {"metrics": [{"key": "psnr", "value": v, "step": i} for i, v in enumerate((20, 31))]}
    await client.call("POST", f"{at}/runs/{run['id']}/log", json=points)
    data = {"name": "tiles", "digest": "sha256:1", "source_type": "local", "source": "x"}
    dataset = await client.call("POST", f"{at}/datasets", 201, json=data)
    folder = folder_of(tmp_path / "made")
    for path in folder.iterdir():
        name = "net.onnx" if path.suffix == ".onnx" else path.name
        put = f"{at}/runs/{run['id']}/artifacts/export/{name}"
        await client.call(
            "PUT", put, 201, data=path.read_bytes().replace(b'"model.onnx"', b'"model.onnx"')
        )
    for artifact in ("export", "export/net.onnx"):
        body = {"run_id": run["id"], "artifact": artifact, "dataset": dataset["id"]}
        found = await client.call("POST", MODELS, 201 if artifact == "export" else 200, json=body)
        assert (found["id"], found["source_run"]) == ("superres@2", run["id"])
    assert found["metrics"] == {"psnr": 31}
    lineage = await client.get(f"{at}/lineage/model_version/superres@2", direction="up")
    nodes = {(node["kind"], node["id"]) for node in lineage["nodes"]}
    assert {("run", run["id"]), ("dataset", dataset["id"]), ("commit", "abc123")} <= nodes
    for body, code in (
        ({"run_id": run["id"], "artifact": "nothing"}, "artifact_not_found"),
        ({"run_id": run["id"], "folder": "superres/1"}, "no_source"),
        ({}, "no_source"),
    ):
        await client.refused("POST", MODELS, 422, code, json=body)


async def test_register_is_one_function_for_code_of_ours(client: Api, tmp_path: Path) -> None:
    registry = registry_of(client)
    found = await registry.register(folder_of(tmp_path / "made"), by="trainer", training_job="t1")
    assert (found.id, found.training_job) == ("superres@2", "t1")
    lineage = await client.get("/api/v1/ml-platform/lineage/training_job/t1", direction="down")
    assert ("model_version", "superres@2") in {(n["kind"], n["id"]) for n in lineage["nodes"]}


async def test_the_card_is_what_its_makers_wrote(client: Api, tmp_path: Path) -> None:
    assert await client.get(f"{MODELS}/superres/versions/1/card") == {"text": ""}
    made = folder_of(tmp_path / "made")
    (made / "CARD.md").write_text("# Sharper", encoding="utf-8")
    await upload(client, tar_of(made))
    assert await client.get(f"{MODELS}/superres/versions/2/card") == {"text": "# Sharper"}


async def test_what_versions_are_compared_on_can_be_seen(client: Api) -> None:
    golden = await client.get(f"{MODELS}/superres/versions/1/golden")
    sizes = [png.probe(base64.b64decode(picture))[1:] for picture in golden["pictures"]]
    assert sizes == [(24, 24)] * 3
    drawn = await client.get(f"{MODELS}/sprite/versions/1/golden")
    assert "red potion" in drawn["prompts"]
    assert drawn["pictures"] == []
    await client.refused("GET", f"{MODELS}/sprite/versions/9/golden", 404, "model_not_found")


async def test_what_was_downloaded_can_be_registered_elsewhere(
    client: Api, tmp_path: Path, serving: Serving
) -> None:
    first = await upload(client, tar_of(folder_of(tmp_path / "made")))
    data = await client.bytes(f"{MODELS}/superres/versions/2/download")
    file = await client.bytes(f"{MODELS}/superres/versions/2/files/model.onnx")
    assert hashlib.sha256(file).hexdigest() == first["files"]["model.onnx"]
    other = await serving(data=tmp_path / "elsewhere")
    again = await upload(other, data)
    assert (again["id"], again["digest"]) == (first["id"], first["digest"])


# -- what is refused ----------------------------------------------------------------------------


def entry(name: str, **fields: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def tar_with(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for info, data in members:
            info.size = info.size or len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


HOSTILE = {
    "parent": tar_with((entry("../model.toml"), b"x")),
    "absolute": tar_with((entry("/etc/model.toml"), b"x")),
    "symlink": tar_with((entry("model.onnx", type=tarfile.SYMTYPE, linkname="/etc/passwd"), b"")),
    "hard link": tar_with((entry("model.onnx", type=tarfile.LNKTYPE, linkname="/etc/passwd"), b"")),
    "device": tar_with((entry("model.onnx", type=tarfile.CHRTYPE), b"")),
    "fifo": tar_with((entry("model.onnx", type=tarfile.FIFOTYPE), b"")),
    "nested": tar_with((entry("a/b/model.toml"), b"x")),
    "two folders": tar_with((entry("a/model.toml"), b"x"), (entry("b/model.onnx"), b"x")),
    "twice": tar_with((entry("model.toml"), b"x"), (entry("model.toml"), b"x")),
    "backslash": tar_with((entry("..\\model.toml"), b"x")),
    "many": tar_with(*((entry(f"f{i}.onnx"), b"x") for i in range(65))),
    "cut short": tar_with((entry("model.toml"), os.urandom(5000)))[:2000],
    "no gzip": b"\x1f\x8b" + bytes(100),
}


async def test_hostile_tars_are_refused(client: Api, tmp_path: Path) -> None:
    for data in HOSTILE.values():
        await refused(client, data, 422, "bad_archive")
    assert not list((tmp_path / "data" / "models" / ".incoming").iterdir())


async def test_hostile_zips_are_refused(client: Api) -> None:
    def made(name: str, mode: int = 0, data: bytes = b"x") -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, data)
        return out.getvalue()

    await refused(client, made("../model.toml"), 422, "bad_archive")
    await refused(client, made("model.onnx", stat.S_IFLNK | 0o777), 422, "bad_archive")
    await refused(client, made("model.toml")[:-30], 422, "bad_archive")


async def test_archives_that_grow_too_much_are_refused(client: Api, serving: Serving) -> None:
    bomb = tar_with((entry("model.onnx"), bytes(64 << 20)))
    assert len(bomb) < 100_000
    await refused(client, bomb, 413, "archive_too_large")
    header = entry("model.onnx", type=tarfile.XHDTYPE)
    await refused(client, tar_with((header, bytes(64 << 20))), 413, "archive_too_large")
    small = await serving(max_model=10_000)
    noise = tar_with((entry("model.onnx"), os.urandom(20_000)))
    await refused(small, noise, 413, "too_large")


def nested_functions(depth: int) -> bytes:
    """A graph of a few hundred bytes that grows to 2 ** depth nodes."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("d", 1)]
    functions = []
    for i in range(depth):
        op, domain = (f"f{i + 1}", "d") if i < depth - 1 else ("Identity", "")
        pairs = (("a", "b"), ("b", "c"))
        nodes = [helper.make_node(op, [x], [y], domain=domain) for x, y in pairs]
        functions.append(helper.make_function("d", f"f{i}", ["a"], ["c"], nodes, opsets))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("f0", ["image"], ["y"], domain="d")],
        "bomb",
        [value("image", 1, ["n", 3, "h", "w"])],
        [value("y", 1, ["n", 3, "a", "b"])],
    )
    model = helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=8)
    return bytes(model.SerializeToString())


def changed(change: Callable[[onnx.ModelProto], None]) -> bytes:
    model = onnx.load_model_from_string(superres())
    change(model)
    return bytes(model.SerializeToString())


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def from_the_future(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 999


def unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Convolute"


def foreign_operator(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Steal", ["image"], ["x"], domain="evil"))


def broken_numbers(model: onnx.ModelProto) -> None:
    weights = next(t for t in model.graph.initializer if t.name == "w1")
    weights.CopyFrom(builders.floats("w1", builders.random(1, 8, 3, 3, 3) * float("nan")))


REFUSED = {
    "nested functions": (nested_functions(40), "nodes"),
    "external data": (changed(external), "outside its folder"),
    "newer opset": (changed(from_the_future), "released onnx opset"),
    "unknown operator": (changed(unknown_operator), "Convolute"),
    "foreign operator": (changed(foreign_operator), "Steal"),
    "numbers that are none": (changed(broken_numbers), "not finite"),
    "another kind": (builders.velocity_onnx(), "inputs"),
    "no model": (b"MZ" + bytes(1000), "not an ONNX file"),
    "pickle": (b"\x80\x04\x95" + bytes(100), "not an ONNX file"),
}


async def test_graphs_that_cannot_be_run_are_refused_with_the_reason(client: Api) -> None:
    headers = {"Content-Type": "application/octet-stream"}
    path = f"{MODELS}/superres/versions"
    for data, reason in REFUSED.values():
        options = {"data": data, "headers": headers}
        problem = await client.refused("POST", path, 422, "model_refused", **options)
        assert reason in problem["detail"]
    assert [v["version"] for v in (await client.get(f"{MODELS}/superres"))["versions"]] == ["1"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no resource limits")
async def test_an_examination_without_end_is_ended(
    client: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2 ** 17 nodes pass the scan and keep ONNX Runtime busy for minutes; meanwhile the server answers."""
    monkeypatch.setattr("gfedge.registry.examination.WALL_SECONDS", 3.0)
    path = f"{MODELS}/superres/versions"
    headers = {"Content-Type": "application/octet-stream"}
    options = {"data": nested_functions(17), "headers": headers}
    refusal = asyncio.create_task(client.refused("POST", path, 422, "model_refused", **options))
    assert (await client.get("/health"))["status"] == "ok"
    assert "longer than" in (await refusal)["detail"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no resource limits")
def test_a_stop_does_not_wait_for_an_examination(
    process: Callable[..., Process], tmp_path: Path
) -> None:
    models = tmp_path / "new"
    builders.make_superres_folder(models, onnx_bytes=nested_functions(17))
    server = process(folder=models)
    server.start()
    assert server.stop() == 0
    assert "model refused" not in server.log.read_text()


async def test_the_examination_sees_no_secret(
    client: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gfedge.registry import examination

    monkeypatch.setenv("GFEDGE_ADMIN_TOKEN", "secret")
    assert not [key for key in examination._environment() if key.startswith("GFEDGE")]


# -- labels, and what may go --------------------------------------------------------------------


async def test_labels_change_and_aliases_move(client: Api, tmp_path: Path) -> None:
    await upload(client, tar_of(folder_of(tmp_path / "made")))
    first, second = (f"{MODELS}/superres/versions/{v}" for v in ("1", "2"))
    body = {"aliases": ["winter"], "tags": {"a": "1", "b": "2"}, "description": "sharp"}
    await client.call("PATCH", first, json=body)
    found = await client.call("PATCH", second, json={"aliases": ["winter"], "by": "kim"})
    assert found["aliases"] == ["winter"]
    assert (await client.get(first))["aliases"] == []
    found = await client.call("PATCH", first, json={"tags": {"a": None}})
    assert (found["tags"], found["description"]) == ({"b": "2"}, "sharp")
    job = await client.upscale(builders.png_file(), model="superres@winter")
    assert job["model"]["version"] == "2"
    for label in ("winter", "latest", "dev"):
        assert (await client.get(f"{MODELS}/superres/versions/{label}"))["version"] == "2"
    assert (await client.get(f"{MODELS}/superres"))["aliases"] == {"winter": "2"}
    for alias in ("prod", "latest", "1"):
        await client.refused("PATCH", second, 422, "bad_alias", json={"aliases": [alias]})
    change = (await client.get(HISTORY))["changes"][1]
    assert (change["by"], change["details"]) == ("kim", {"aliases": [[], ["winter"]]})


async def test_models_are_listed_by_kind_and_stage(client: Api, tmp_path: Path) -> None:
    await upload(client, tar_of(folder_of(tmp_path / "made")))
    listed = await client.get(MODELS, kind="superres", stage="dev")
    assert [[v["id"] for v in m["versions"]] for m in listed["models"]] == [["superres@2"]]
    assert (await client.get(MODELS, stage="staging"))["models"] == []
    await client.refused("GET", f"{MODELS}?stage=live", 422, "invalid")


async def test_a_version_that_serves_is_not_deleted(client: Api, tmp_path: Path) -> None:
    await client.refused("DELETE", f"{MODELS}/superres/versions/1", 409, "version_in_use")
    await upload(client, tar_of(folder_of(tmp_path / "made")))
    await client.call("DELETE", f"{MODELS}/superres/versions/2")
    await client.refused("GET", f"{MODELS}/superres/versions/2", 404, "model_not_found")
    assert not (tmp_path / "data" / "models" / "superres").exists()
    assert (await client.get(HISTORY))["changes"][0]["action"] == "deleted"


# -- what stays ---------------------------------------------------------------------------------


async def test_versions_survive_a_restart_and_a_changed_one_does_not_run(
    serving: Serving, tmp_path: Path
) -> None:
    client = await serving()
    first = await upload(client, tar_of(folder_of(tmp_path / "made")))
    client = await serving()
    assert (await client.get(f"{MODELS}/superres/versions/2"))["digest"] == first["digest"]
    await client.upscale(builders.png_file(), model="superres@2")
    file = tmp_path / "data" / "models" / "superres" / "2" / "model.onnx"
    file.chmod(0o644)
    file.write_bytes(superres(9))
    client = await serving()
    found = await client.get(f"{MODELS}/superres/versions/2")
    assert found["state"] == "files missing"
    assert "does not match its digest" in (await client.get(MODELS))["refused"][0]["reason"]
    assert (await client.upscale(builders.png_file()))["model"]["version"] == "1"


async def test_a_new_folder_does_not_serve_before_it_is_promoted(
    serving: Serving, models: Path
) -> None:
    await (await serving()).get(MODELS)
    folder_of(models)
    model = await (await serving()).get(f"{MODELS}/superres")
    assert model["serving"] == "superres@1"
    assert [(v["version"], v["stage"]) for v in model["versions"]] == [("2", "dev"), ("1", "prod")]


async def test_a_kill_while_registering_leaves_a_whole_version_or_none(
    process: Callable[..., Process], tmp_path: Path
) -> None:
    """Kills at several moments of an upload; afterwards each version is whole, and the next upload is taken."""
    data = tar_of(folder_of(tmp_path / "made"))
    server = process()
    for pause in KILL_AFTER:
        server.start()
        async with connected(server.address) as client:
            await client.get(MODELS)
            task = asyncio.create_task(upload(client, data, kind="application/gzip"))
            await asyncio.wait([task], timeout=pause)
            acknowledged = task.done() and task.exception() is None
            server.kill()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()
        server.start()
        async with connected(server.address) as client:
            found = await client.get(MODELS)
            assert found["refused"] == []
            versions = next(m for m in found["models"] if m["name"] == "superres")["versions"]
            assert len(versions) == 2 or not acknowledged
            again = await upload(client, data, 201 if len(versions) == 1 else 200)
            assert again["state"] == "registered"
            if len(versions) == 1:
                await client.call("DELETE", f"{MODELS}/superres/versions/{again['version']}")
        server.kill()
