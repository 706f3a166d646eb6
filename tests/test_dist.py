"""What is shipped: wheel and sdist, the same bytes every time; the wheel in a fresh environment; the bill of materials."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import Process, connected

import gfedge
from gfedge import migrate
from gfedge.inference import png
from gfedge.settings import default_models

ROOT = Path(gfedge.__file__).parent.parent
pytestmark = pytest.mark.skipif(
    not (ROOT / ".git").exists() or shutil.which("git") is None, reason="needs the repository"
)


def _tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    found: list[Path] = _tool("dist").build(tmp_path_factory.mktemp("dist"))
    return found


def test_two_builds_are_the_same_bytes(built: list[Path], tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        again = _tool("dist").build(tmp_path)
    finally:
        os.umask(before)
    assert [path.name for path in built] == [path.name for path in again]
    assert [path.read_bytes() for path in built] == [path.read_bytes() for path in again]


def test_the_wheel_holds_the_package_the_models_and_the_migrations(built: list[Path]) -> None:
    wheel, sdist = built
    with zipfile.ZipFile(wheel) as found:
        names = set(found.namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "gfedge", "models"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    expected = {re.sub(r"^models/", "gfedge/models/", name) for name in tracked}
    here = {name for name in expected if (ROOT / name).exists() or "models/" in name}
    assert {name for name in names if ".dist-info/" not in name} == here
    assert {
        f"gfedge/{path.parent.parent.name}/migrations/{path.name}" for _, path in migrate.scripts()
    } < names
    with tarfile.open(sdist) as archive:
        assert f"gfedge-{gfedge.__version__}/models/sprite/1/model.onnx" in archive.getnames()


def test_an_image_can_be_built_of_the_sdist(built: list[Path]) -> None:
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    assert {name for sources in copied for name in sources.split()} <= names
    assert {"Dockerfile", ".dockerignore"} <= names


def test_the_version_stands_in_one_place(built: list[Path]) -> None:
    assert all(path.name.startswith(f"gfedge-{gfedge.__version__}") for path in built)
    said = re.compile(rf"version\s*[=:]\s*[\"']?{re.escape(gfedge.__version__)}\b", re.IGNORECASE)
    places = [
        *ROOT.glob("*.toml"),
        *ROOT.glob("*ocker*"),
        *ROOT.glob("setup.py"),
        *ROOT.glob("Makefile"),
    ]
    assert not [path.name for path in places if said.search(path.read_text(encoding="utf-8"))]


@pytest.fixture
def fresh(built: list[Path], tmp_path: Path) -> Path:
    """An environment with the wheel alone, which sees the locked packages of this one."""
    folder = tmp_path / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    python = str(folder / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--no-index", str(built[0])], check=True)
    code = "import gfedge, sysconfig; print(gfedge.__file__); print(sysconfig.get_path('purelib'))"
    asked = [python, "-P", "-c", code]
    said = subprocess.run(asked, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    package, site = said.splitlines()
    assert Path(package).is_relative_to(folder)
    Path(site, "locked.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return folder


async def test_the_wheel_in_a_fresh_environment_is_the_same_server(
    fresh: Path, process: Callable[..., Process]
) -> None:
    server = process(folder=None)
    server.command = [str(fresh / "bin" / "gfedge")]
    server.environment["PYTHONPATH"] = ""
    server.start()
    async with connected(server.address) as api:
        body = {"prompt": "red potion", "seed": 1, "steps": 2}
        headers = {"Prefer": "wait=60", "Accept": "image/png"}
        async with api.http.post("/api/v1/ai/generate", json=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            assert png.probe(await answer.read()) == ("image/png", 32, 32)
        models = (await api.get("/api/v1/ml-platform/models"))["models"]
    assert {model["name"] for model in models} == {p.name for p in default_models().iterdir()}
    assert server.stop() == 0


LOCKS = ("requirements.lock", "requirements-cpu.lock")


@pytest.mark.parametrize("lock", LOCKS)
def test_the_bill_of_materials_names_every_package_and_model(lock: str) -> None:
    found = _tool("sbom").bill(lock)
    text = (ROOT / lock).read_text(encoding="utf-8")
    locked = re.findall(r"(?m)^([A-Za-z0-9._-]+)==(\S+)", text)
    libraries = [one for one in found["components"] if one["type"] == "library"]
    python = [one for one in libraries if one["purl"].startswith("pkg:pypi/")]
    assert [(one["name"], one["version"]) for one in python] == locked
    assert ("onnxruntime-gpu" in {one["name"] for one in python}) == (lock == LOCKS[0])
    hashes = [one["content"] for part in python for one in part["externalReferences"][0]["hashes"]]
    assert hashes == re.findall(r"--hash=sha256:(\w+)", text)
    carried = {part["name"] for one in libraries for part in one.get("components", ())}
    folder = ROOT / "gfedge" / "dashboard" / "web" / "vendor"
    assert carried == {one.name for one in folder.iterdir()} - {"DIGESTS", *(one.name for one in folder.glob("*.LICENSE"))}  # fmt: skip
    unlicensed = {one["name"] for one in found["components"] if "licenses" not in one}
    assert unlicensed <= {"uvloop"}, "it is for other systems"
    models = {one["name"] for one in found["components"] if one["type"] == "machine-learning-model"}
    assert models == {path.name for path in default_models().iterdir()}
    refs = [one["bom-ref"] for one in found["components"]]
    assert len(set(refs)) == len(refs)
    assert json.dumps(found) == json.dumps(_tool("sbom").bill(lock))


@pytest.mark.parametrize("lock", LOCKS)
def test_the_bill_of_materials_is_what_cyclonedx_asks_for(lock: str) -> None:
    """The required fields, forms and enumerations of the schema of CycloneDX 1.6, of what stands in it."""
    found = _tool("sbom").bill(lock)
    assert (found["bomFormat"], found["specVersion"], found["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", found["serialNumber"])  # fmt: skip
    assert datetime.fromisoformat(found["metadata"]["timestamp"]).tzinfo is not None
    known = {"$schema", "bomFormat", "specVersion", "serialNumber", "version", "metadata", "components", "dependencies"}  # fmt: skip
    assert found.keys() == known
    parts = [found["metadata"]["component"], *found["components"]]
    parts += [inner for one in parts for inner in one.get("components", ())]
    refs = [one["bom-ref"] for one in parts]
    assert len(set(refs)) == len(refs)
    for one in parts:
        _hold_component(one)
    for edge in found["dependencies"]:
        assert {edge["ref"], *edge["dependsOn"]} <= set(refs)
        assert len(set(edge["dependsOn"])) == len(edge["dependsOn"])


def _hold_component(one: dict[str, Any]) -> None:
    known = {"type", "bom-ref", "name", "version", "description", "purl", "licenses", "hashes", "pedigree", "components", "externalReferences", "properties"}  # fmt: skip
    assert {"type", "name"} <= one.keys() <= known
    assert one["type"] in {"application", "library", "file", "machine-learning-model"}
    assert re.fullmatch(r"pkg:(pypi|npm)/(%40[a-z]+/)?[a-z0-9.-]+@[\w.+-]+", one.get("purl", "pkg:npm/a@1"))  # fmt: skip
    licences = one.get("licenses", [])
    assert all(("expression" in it) or it["license"].keys() in ({"id"}, {"name"}) for it in licences)  # fmt: skip
    assert len(licences) == 1 or not any("expression" in it for it in licences)
    ids = [it["license"]["id"] for it in licences if "id" in it.get("license", {})]
    assert all(re.fullmatch(r"[A-Za-z0-9.+-]+", one) for one in ids), "the schema lists single ones"
    hashes = [*one.get("hashes", ()), *(h for ref in one.get("externalReferences", ()) for h in ref["hashes"])]  # fmt: skip
    for it in hashes:
        assert re.fullmatch(r"[0-9a-f]+", it["content"])
        assert len(it["content"]) == {"SHA-256": 64, "SHA-512": 128}[it["alg"]]
    assert hashes or one["type"] == "application"
    assert all(ref["type"] == "distribution" and ref["url"] for ref in one.get("externalReferences", ()))  # fmt: skip
    assert all({"name", "value"} == it.keys() for it in one.get("properties", ()))


def test_every_bundled_model_stands_in_the_notice() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    folders = [path.parent for path in (ROOT / "models").glob("*/*/model.toml")]
    assert folders
    for folder in folders:
        assert f"models/{folder.parent.name}/{folder.name}:" in notice
