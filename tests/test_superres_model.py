"""The bundled superres model itself: its digest, its exact tiles, what it does to a sprite."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import builders
import numpy as np
import pytest

from gfedge.inference.engine import Engine
from gfedge.inference.folder import read_folder
from gfedge.inference.types import Cancel, EngineOptions, ModelFolder, Pixels, UpscaleRequest

FOLDER = Path(__file__).parent.parent / "models" / "superres" / "1"


@pytest.fixture(scope="module")
def model() -> ModelFolder:
    return read_folder(FOLDER)


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[int, Engine]]:
    engines = {tile: Engine(EngineOptions(device="cpu", tile=tile)) for tile in (20, 256)}
    for engine in engines.values():
        engine.start()
    yield engines
    for engine in engines.values():
        engine.close()


def upscale(engine: Engine, model: ModelFolder, image: Pixels, **options: object) -> Pixels:
    request = UpscaleRequest(**options)  # type: ignore[arg-type]
    return engine.upscale(model, image, request, lambda *_: None, Cancel()).result(60).images[0]


def test_it_is_the_file_that_tools_superres_makes(model: ModelFolder) -> None:
    assert model.files == {
        "model.onnx": "bbc3e37eee30e0323edede8c09f93a92410efd16fd64c1087eefe0a30f549577"
    }
    assert model.files["model.onnx"] in (FOLDER.parents[2] / "tools/superres/README.md").read_text()
    assert model.licence == "BSD-3-Clause"
    assert model.training["parameters"] == 621424
    assert model.dataset["licence"] == "not published"
    assert model.pipeline == {"scale": 4, "radius": 18}
    assert (FOLDER / "CARD.md").is_file()
    licence = (FOLDER / "LICENSE").read_text()
    for owner in ("Copyright (c) 2021, Xintao Wang", "Copyright (c) 2023, 喵小吉"):
        assert owner in licence
    tomllib.loads((FOLDER / "model.toml").read_text())


@pytest.mark.parametrize("tileable", [False, True])
def test_its_tiles_are_exact(
    engines: dict[int, Engine], model: ModelFolder, tileable: bool
) -> None:
    image = builders.noise(58, 40, alpha=True)
    tiled, whole = (
        upscale(engines[tile], model, image, scale=3, tileable=tileable) for tile in (20, 256)
    )
    assert np.array_equal(tiled, whole)


def test_a_sprite_stays_itself_at_every_scale(
    engines: dict[int, Engine], model: ModelFolder
) -> None:
    disc = builders.sprite(24)
    for scale in (2, 3, 4, 8):
        large = upscale(engines[256], model, disc, scale=scale)
        assert large.shape == (24 * scale, 24 * scale, 4)
        middle = large[12 * scale, 12 * scale].astype(int)
        assert np.abs(middle - disc[12, 12]).max() <= 6
        assert (large[: 2 * scale, : 2 * scale, 3] == 0).all()
        coverage = large[..., 3].mean() / 255
        assert abs(coverage - disc[..., 3].mean() / 255) < 0.02


def test_a_texture_that_tiles_still_tiles(engines: dict[int, Engine], model: ModelFolder) -> None:
    texture = builders.noise(20, 16)
    rolled = upscale(engines[256], model, np.roll(texture, (7, 3), (0, 1)), scale=4, tileable=True)
    straight = upscale(engines[20], model, texture, scale=4, tileable=True)
    assert np.array_equal(rolled, np.roll(straight, (28, 12), (0, 1)))
