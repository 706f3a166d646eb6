"""As a user does it: `gfedge serve` with the bundled models, then the other commands, then the way back."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import builders
import numpy as np
import pytest
from conftest import JOBS, PATIENCE, Api, Process, connected, eventually
from PIL import Image

from gfedge.settings import default_models

SCRIPT = Path(sys.executable).with_name("gfedge")
COMMAND = [str(SCRIPT)] if SCRIPT.exists() else [sys.executable, "-m", "gfedge"]


def gfedge(*arguments: str | Path) -> str:
    """Runs a command as a user does; gives what it printed."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def asked(address: str, path: str, data: bytes | None = None) -> Any:
    headers = {"Content-Type": "image/png"} if data is not None else {}
    request = urllib.request.Request(address + path, data, headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        return json.load(response)


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def digest_of(folder: Path) -> str:
    """A model folder's digest, from the bytes of its files: sha256 over what sha256sum would print."""
    names = tomllib.loads((folder / "model.toml").read_text(encoding="utf-8"))["files"]
    lines = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on the bundled models."""
    server = Process(tmp_path_factory.mktemp("user") / "data", None, device="auto", workers=0)
    server.command = COMMAND
    yield server.start()
    assert server.stop() == 0


@pytest.fixture(scope="module")
def dragon(address: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The picture that a new user asks for first."""
    path = tmp_path_factory.mktemp("pictures") / "dragon.png"
    said = gfedge(
        "generate", "red dragon", "--scale", "4", "--seed", "7", "-o", path, "--server", address
    )
    assert "128x128" in said
    assert "gfedge trace" in said
    return path


async def test_the_bundled_models_become_ready(address: str) -> None:
    async with connected(address) as api:
        names = ("sprite@1", "sprite-fast@1", "sprite-wide@1", "superres@1")
        states = dict.fromkeys(names, "ready")
        await eventually(lambda: api.get("/health"), lambda health: health["models"] == states)
        listed = await api.get("/api/v1/ml-platform/models")
    assert listed["refused"] == []


def test_a_prompt_becomes_a_sprite_with_a_shape(dragon: Path) -> None:
    with Image.open(dragon) as image:
        assert (image.format, image.size, image.mode) == ("PNG", (128, 128), "RGBA")
    pixels = pixels_of(dragon)
    alpha = pixels[..., 3]
    assert (alpha == 0).mean() > 0.05
    assert (alpha == 255).mean() > 0.05
    assert len(np.unique(pixels[alpha == 255][:, :3], axis=0)) > 3


def test_the_picture_leads_back_to_the_model_and_its_data(address: str, dragon: Path) -> None:
    trace = asked(address, "/api/v1/trace", dragon.read_bytes())
    nodes = {(node["kind"], node["id"]): node for node in trace["nodes"]}
    assert trace["matched"] == "bytes"
    asset = f"asset:{hashlib.sha256(dragon.read_bytes()).hexdigest()}"
    assert trace["subject"] == asset
    back = {(edge["relation"], edge["target"]): edge["source"] for edge in trace["edges"]}
    job = back["output", asset]
    assert nodes["job", job.removeprefix("job:")]["params"]["prompt"] == "red dragon"
    ran = {e["source"] for e in trace["edges"] if e["target"] == job and e["relation"] == "ran"}
    assert ran == {"model_version:sprite@1", "model_version:superres@1"}
    for name in ("sprite", "superres"):
        digest = digest_of(default_models() / name / "1")
        assert nodes["model_version", f"{name}@1"]["digest"] == digest
        assert any(digest in line for line in trace["chain"])
    training = back["produced", "model_version:sprite@1"]
    assert ("dataset", back["trained", training].removeprefix("dataset:")) in nodes


def test_the_same_prompt_and_seed_give_the_same_picture(
    address: str, dragon: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again.png"
    gfedge(
        "generate", "red dragon", "--scale", "4", "--seed", "7", "-o", again, "--server", address
    )
    assert np.array_equal(pixels_of(again), pixels_of(dragon))


def test_an_upscaled_picture_is_traced_through_both_jobs(
    address: str, dragon: Path, tmp_path: Path
) -> None:
    large = tmp_path / "large.png"
    gfedge("superres", dragon, "-o", large, "--scale", "2", "--server", address)
    assert pixels_of(large).shape == (256, 256, 4)
    trace = json.loads(gfedge("trace", large, "--json", "--server", address))
    kinds = [node["kind"] for node in trace["nodes"]]
    assert kinds.count("job") == 2
    assert {node["id"] for node in trace["nodes"] if node["kind"] == "model_version"} == {
        "sprite@1",
        "superres@1",
    }


def test_the_trace_is_readable(address: str, dragon: Path) -> None:
    said = gfedge("trace", dragon, "--server", address)
    assert said.startswith("asset ")
    for words in ("red dragon", "sprite@1", "training run", "dataset"):
        assert words in said


def test_doctor_finds_the_bundled_models(address: str, tmp_path: Path) -> None:
    said = gfedge("doctor", "--server", address, "--data", tmp_path / "data")
    assert "sprite" in said
    assert digest_of(default_models() / "sprite" / "1")[:12] in said


async def test_a_client_outlives_a_crash_of_its_server(
    process: Callable[..., Process], tmp_path: Path
) -> None:
    server = process()
    server.start()
    path = tmp_path / "book.png"
    arguments = ["generate", f"red {builders.SLOW}", "--steps", "60", "-o", str(path)]
    client = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, "--server", server.address, stdout=subprocess.PIPE
    )
    async with connected(server.address) as api:
        await running_job(api)
    server.kill()
    server.start()
    said, _ = await asyncio.wait_for(client.communicate(), PATIENCE)
    assert client.returncode == 0
    assert b"book.png" in said
    assert pixels_of(path).shape == (32, 32, 4)


async def running_job(api: Api) -> Any:
    """The one job, once it runs."""

    def runs(page: Any) -> bool:
        return any(job["status"] == "running" for job in page["jobs"])

    return await eventually(lambda: api.get(JOBS), runs)
