"""What may come with a prompt: samplers, styles, palettes, outlines, pictures to start from, masks, textures, batches."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import builders
import numpy as np
import pytest
import yaml
from conftest import JOBS, Api, Process, Serving, connected

from gfedge.inference import drawing, palette, png, seams
from gfedge.inference.engine import Engine
from gfedge.inference.folder import read_folder
from gfedge.inference.latents import to_latent, to_pixels
from gfedge.inference.samplers import SAMPLERS, evaluations, seamless, times_of
from gfedge.inference.types import (
    Cancel,
    EngineOptions,
    GenerateRequest,
    ModelFolder,
    Pixels,
    Sampler,
)

GENERATE = "/api/v1/ai/generate"
WAIT = {"Prefer": "wait=60"}
MAGENTA = (255, 0, 255, 255)


def as_base64(pixels: Pixels) -> str:
    return base64.b64encode(builders.picture_file(pixels)).decode()


async def shown(api: Api, job: Any, index: int = 0) -> Pixels:
    return png.decode(await api.bytes(job["outputs"][index]["url"]), 1 << 24)


# samplers


def solved(sampler: Sampler, steps: int, strength: float = 1.0, tileable: bool = False) -> float:
    """dx/dt = v for a target that is known: x0 = 2, so v = (x - x0) / t; gives how far from 2 the way ends."""
    x = np.full((4, 8, 8), 5.0, np.float32)
    times = times_of(steps, strength)
    way = SAMPLERS[sampler](x, times, lambda x, t: x)
    if tileable:
        way = seamless(way, times[-2], np.random.default_rng(0))
    asked, query = 1, next(way)
    try:
        while True:
            query = way.send((query.x - 2) / query.time)
            asked += 1
    except StopIteration as end:
        assert asked == evaluations(sampler, len(times) - 1, tileable=tileable)
        return float(np.abs(end.value - 2).max())


@pytest.mark.parametrize("tileable", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("sampler", get_args(Sampler))
def test_a_straight_flow_is_followed_to_its_end(
    sampler: Sampler, steps: int, tileable: bool
) -> None:
    assert solved(sampler, steps, tileable=tileable) < 1e-5
    assert solved(sampler, steps, strength=0.3, tileable=tileable) < 1e-5


@pytest.mark.parametrize("sampler", ["heun", "dpmpp_2m"])
def test_a_curved_flow_is_followed_closer_by_the_samplers_of_second_order(sampler: Sampler) -> None:
    """Data along one axis as a normal distribution of width 0.5: the flow's end is known, 0.5 times its start."""

    def end(name: Sampler, steps: int) -> float:
        way = SAMPLERS[name](
            np.full((1, 1, 1), 1.5, np.float32), times_of(steps, 1), lambda x, t: x
        )
        query = next(way)
        try:
            while True:
                t = float(query.time)
                mean = query.x * (1 - t) * 0.25 / ((1 - t) ** 2 * 0.25 + t**2)
                query = way.send(((query.x - mean) / max(t, 1e-6)).astype(np.float32))
        except StopIteration as done:
            return abs(float(done.value.item()) - 0.75)

    assert end(sampler, 12) < end("euler", 12) / 3


def test_strength_takes_the_end_of_the_grid() -> None:
    assert times_of(20, 1).tolist() == np.linspace(1, 0, 21, dtype=np.float32).tolist()
    assert len(times_of(20, 0.5)) == 11
    assert times_of(20, 0.01).tolist() == pytest.approx([0.01, 0])


def test_a_picture_with_hard_alpha_is_itself_as_a_latent() -> None:
    picture = builders.sprite()
    assert np.array_equal(to_pixels(to_latent(picture)), picture)


# the engine


@pytest.fixture
def sprite(tmp_path: Path) -> ModelFolder:
    return read_folder(builders.make_sprite_folder(tmp_path))


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine(EngineOptions(device="cpu", workers=2))
    engine.start()
    yield engine
    engine.close()


KINDS: list[dict[str, Any]] = [
    {"sampler": "heun"},
    {"sampler": "dpmpp_2m", "steps": 9},
    {"tileable": True},
    {"tileable": True, "sampler": "heun"},
    {"init_image": builders.sprite().tobytes(), "strength": 0.5},
    {
        "init_image": builders.sprite().tobytes(),
        "mask": np.eye(32, dtype=np.uint8).tobytes(),
        "sampler": "dpmpp_2m",
    },
]


def test_requests_of_every_kind_mix_and_each_is_as_it_is_alone(
    engine: Engine, sprite: ModelFolder
) -> None:
    def ask(options: dict[str, Any]) -> Any:
        request = GenerateRequest(prompt="red dragon", **{"seed": 3, "n": 3, "steps": 5, **options})
        progress.append([])
        return engine.generate(
            sprite,
            request,
            lambda done, units, seen=progress[-1]: seen.append((done, units)),
            Cancel(),
        )

    progress: list[list[tuple[int, int]]] = []
    together = [future.result(60) for future in [ask(options) for options in KINDS]]
    assert all(seen[-1][0] == seen[-1][1] for seen in progress)
    assert max(result.batch_size for result in together) > 3
    for options, result in zip(KINDS, together, strict=True):
        alone = ask({**options, "n": 1}).result(60)
        assert np.array_equal(alone.images[0], result.images[0])


def test_what_the_mask_keeps_stays_to_the_last_value(engine: Engine, sprite: ModelFolder) -> None:
    given = builders.noise(32, 32, alpha=True)
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 255
    request = GenerateRequest(prompt="dragon", init_image=given.tobytes(), mask=mask.tobytes())
    drawn = (
        engine.generate(sprite, request, lambda done, units: None, Cancel()).result(60).images[0]
    )
    assert np.array_equal(drawn[mask == 0], given[mask == 0])
    assert not np.array_equal(drawn[mask > 0], given[mask > 0])


@pytest.mark.parametrize(
    "options",
    [
        {"init_image": b"x"},
        {"mask": bytes(32 * 32)},
        {"strength": 0.5},
        {"strength": 0.0, "init_image": bytes(32 * 32 * 4)},
        {"mask": b"x", "init_image": bytes(32 * 32 * 4)},
    ],
)
def test_pictures_that_do_not_fit_the_model_are_refused(
    engine: Engine, sprite: ModelFolder, options: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"init_image|strength"):
        engine.generate(sprite, GenerateRequest(prompt="x", **options), lambda a, b: None, Cancel())


# drawing


def test_an_outline_goes_around_and_leaves_the_sprite() -> None:
    sprite = builders.sprite()
    out = drawing.outlined(sprite, MAGENTA[:3], 2)
    visible = sprite[..., 3] > 0
    line = (out == MAGENTA).all(-1)
    assert np.array_equal(out[visible], sprite[visible])
    assert line.any()
    assert not (line & visible).any()
    y, x = np.nonzero(line)
    inside = np.argwhere(visible)
    assert max(np.abs(inside - (a, b)).sum(1).min() for a, b in zip(y, x, strict=True)) == 2
    assert not drawing.outlined(np.zeros((4, 4, 4), np.uint8), (1, 2, 3), 3).any()


def test_pictures_are_fitted_whole() -> None:
    assert np.array_equal(drawing.fitted(builders.sprite(32), 32), builders.sprite(32))
    large = builders.sprite(32).repeat(4, 0).repeat(4, 1)
    assert np.array_equal(drawing.fitted(large, 32), builders.sprite(32))
    assert np.array_equal(
        drawing.fitted(builders.sprite(16), 32), builders.sprite(16).repeat(2, 0).repeat(2, 1)
    )
    wide = drawing.fitted(np.full((10, 40, 4), 255, np.uint8), 32)
    assert (wide[..., 3] > 0).sum() == 8 * 32


def test_seams_are_told_from_textures_that_repeat() -> None:
    y, x = np.mgrid[:32, :32]
    wave = np.zeros((32, 32, 4), np.uint8)
    wave[..., 0] = 128 + 100 * np.sin(x * np.pi / 8) * np.cos(y * np.pi / 8)
    wave[..., 3] = 255
    assert seams.seam_score(wave) < 1.2
    cut = wave.copy()
    cut[..., 0] = np.clip(x * 8, 0, 255)
    assert seams.seam_score(cut) > 5
    assert seams.seam_score(np.zeros((1, 1, 4), np.uint8)) == 1


def test_a_palette_is_learned_from_what_is_visible() -> None:
    colours = palette.learned(builders.sprite(), 8)
    assert sorted(colours) == [(60, 10, 20), (200, 40, 30)]
    with pytest.raises(ValueError, match="shows nothing"):
        palette.learned(np.zeros((4, 4, 4), np.uint8), 8)


# over HTTP


async def test_every_sampler_draws_another_picture_and_each_always_its_own(client: Api) -> None:
    jobs = [await client.generate(seed=1, sampler=name) for name in get_args(Sampler)]
    assert len({job["outputs"][0]["pixels_sha256"] for job in jobs}) == 3
    again = await client.generate(seed=1, sampler="heun")
    assert again["outputs"][0]["pixels_sha256"] == jobs[1]["outputs"][0]["pixels_sha256"]
    assert again["params"]["sampler"] == "heun"
    default = await client.generate(seed=1)
    assert default["outputs"][0]["pixels_sha256"] == jobs[0]["outputs"][0]["pixels_sha256"]
    assert jobs[1]["progress"]["steps"] == jobs[0]["progress"]["steps"] == 4


async def test_a_style_brings_its_words_palette_and_outline(client: Api) -> None:
    handheld = await client.generate("dragon", seed=2, style="handheld")
    colours = {tuple(c) for c in (await shown(client, handheld)).reshape(-1, 4)[:, :3].tolist()}
    assert colours <= {(15, 56, 15), (48, 98, 48), (139, 172, 15), (155, 188, 15), (0, 0, 0)}
    assert handheld["params"]["palette"][0] == "#0f380f"
    royal = await client.generate("dragon", seed=2, style="royal")
    plain = await client.generate("dragon blue", seed=2, outline={"colour": "#ff00ff"})
    assert royal["outputs"][0]["pixels_sha256"] == plain["outputs"][0]["pixels_sha256"]
    assert royal["params"]["prompt"] == "dragon"
    problem = await client.refused(
        "POST", GENERATE, 422, "unknown_style", json={"prompt": "x", "style": "oil"}
    )
    assert "handheld, royal" in problem["detail"]


async def test_an_outline_survives_a_named_palette_and_upscaling(client: Api) -> None:
    job = await client.generate(
        seed=3,
        palette=["#000000", "#00ff00"],
        outline={"colour": "#ff00ff", "width": 2},
        scale=2,
    )
    seen = {tuple(c) for c in (await shown(client, job)).reshape(-1, 4)[:, :3].tolist()}
    assert seen <= {(0, 0, 0), (0, 255, 0), MAGENTA[:3]}


async def test_a_palette_is_taken_from_a_picture_and_traced_to_it(client: Api) -> None:
    job = await client.generate(seed=4, palette_image=as_base64(builders.sprite()), scale=2)
    seen = {tuple(c) for c in (await shown(client, job)).reshape(-1, 4)[:, :3].tolist()}
    assert seen <= {(60, 10, 20), (200, 40, 30), (0, 0, 0)}
    assert job["inputs"] == [job["params"]["palette_image"]]
    trace = await client.get(f"{JOBS}/{job['id']}/trace")
    edges = {(edge["source"], edge["relation"], edge["target"]) for edge in trace["edges"]}
    assert (f"asset:{job['inputs'][0]}", "input", f"job:{job['id']}") in edges


async def test_a_picture_to_start_from_is_followed_by_strength(client: Api) -> None:
    given = builders.sprite()
    first = await client.generate(
        seed=5, init_image=as_base64(given), strength=0.05, steps=20, palette=256
    )
    asset = first["params"]["init_image"]
    much = await client.generate(seed=5, init_image=asset, strength=1, steps=20, palette=256)
    plain = await client.generate(seed=5, steps=20, palette=256)
    assert much["outputs"][0]["pixels_sha256"] == plain["outputs"][0]["pixels_sha256"]

    async def distance(job: Any) -> float:
        return float(np.abs((await shown(client, job)).astype(int) - given).mean())

    assert await distance(first) < await distance(much) / 2
    assert (await client.generate(init_image=asset))["params"]["strength"] == 0.6
    assert first["progress"]["steps"] == 20


async def test_inpainting_keeps_what_is_black_in_the_mask_and_replays(client: Api) -> None:
    given = builders.noise(64, 64, seed=9)
    mask = np.zeros((64, 64, 4), np.uint8)
    mask[..., 3] = 255
    mask[32:, :, :3] = 255
    job = await client.generate(seed=6, init_image=as_base64(given), mask=as_base64(mask))
    drawn = await shown(client, job)
    assert np.array_equal(drawn[:16], drawing.fitted(given, 32)[:16])
    assert not np.array_equal(drawn[16:], drawing.fitted(given, 32)[16:])
    assert len(job["inputs"]) == 2
    path = f"{JOBS}/{job['id']}/replay"
    assert (await client.call("POST", path, headers=WAIT))["verdict"] == "identical"
    chain = (await client.get(f"{JOBS}/{job['id']}/trace"))["chain"]
    assert any("into the masked part of a picture" in line for line in chain)


async def test_a_texture_is_scored_and_replays(client: Api) -> None:
    job = await client.generate("blue dragon", seed=7, tileable=True, scale=2, n=2)
    scores = [output["seam_score"] for output in job["outputs"]]
    assert scores == [seams.seam_score(await shown(client, job, i)) for i in (0, 1)]
    assert scores[0] != scores[1]
    assert job["measures"]["seam_score"] == pytest.approx(sum(scores) / 2)
    assert (await client.job(job["id"]))["outputs"] == job["outputs"]
    run = await client.get(f"/api/v1/ml-platform/runs/{job['run_id']}")
    assert run["metrics"]["seam_score"] == job["measures"]["seam_score"]
    path = f"{JOBS}/{job['id']}/replay"
    assert (await client.call("POST", path, headers=WAIT))["verdict"] == "identical"


BASE64 = as_base64(builders.sprite())


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"mask": BASE64}, "invalid", "mask"),
        ({"strength": 0.5}, "invalid", "strength"),
        ({"init_image": "0" * 64}, "asset_not_found", "init_image"),
        ({"init_image": "not base64!"}, "invalid", "init_image"),
        ({"init_image": "bm90IGEgcGljdHVyZQ=="}, "bad_image", "init_image"),
        ({"palette_image": BASE64, "palette": ["#000000"]}, "invalid", "palette_image"),
        (
            {"init_image": BASE64, "mask": as_base64(builders.sprite(16))},
            "mask_of_other_size",
            "mask",
        ),
        ({"sampler": "ddim"}, "invalid", "sampler"),
        ({"outline": {"width": 9}}, "invalid", "outline.width"),
        ({"negative_prompt": "red", "guidance_scale": 1}, "invalid", "negative_prompt"),
        ({"init_image": BASE64, "strength": 0}, "invalid", "strength"),
    ],
)
async def test_what_does_not_go_together_is_refused_with_its_field(
    client: Api, body: dict[str, Any], code: str, field: str
) -> None:
    problem = await client.refused("POST", GENERATE, 422, code, json={"prompt": "x", **body})
    assert problem["field"] == field, problem


async def test_a_net_that_was_taught_its_guidance_takes_none_on_top(
    serving: Serving, models: Path
) -> None:
    toml = builders.SPRITE.replace("guidance_scale = 2.0", "guidance_scale = 1.0")
    toml = toml.replace("max_steps = 100", "max_steps = 8\nmax_guidance = 1")
    files = {
        name: (models / "sprite" / "1" / name).read_bytes() for name in ("model.onnx", "vocab.json")
    }
    builders.make_folder(models, "fast", "1", toml, files)
    api = await serving()
    job = await api.generate("dragon", model="fast")
    assert (job["status"], job["params"]["guidance_scale"]) == ("succeeded", 1.0)
    for body in ({"guidance_scale": 2.5}, {"steps": 9}, {"negative_prompt": "red"}):
        asked = {"prompt": "dragon", "model": "fast", **body}
        problem = await api.refused("POST", GENERATE, 422, "invalid", json=asked)
        assert problem["field"] in body, problem


async def test_an_empty_mask_and_an_empty_palette_fail_the_job_with_the_reason(client: Api) -> None:
    nothing = as_base64(np.zeros((32, 32, 4), np.uint8))
    for body, code in (
        ({"init_image": BASE64, "mask": nothing}, "empty_mask"),
        ({"palette_image": nothing}, "empty_palette_image"),
    ):
        job = await client.submit("x", **body)
        assert (await client.until(job["id"]))["error"]["code"] == code


# unknown words, and the vocabulary


async def test_unknown_words_come_with_the_nearest_known_ones(client: Api) -> None:
    job = await client.generate("dragoon qqqq machete", negative_prompt="potion machete zorp")
    assert job["unknown_words"] == ["dragoon", "qqqq", "machete", "zorp"]
    near = {"dragoon": ["dragon"], "qqqq": [], "machete": ["sword"], "zorp": []}
    assert job["suggestions"] == near
    assert job["undocumented_words"] == []
    assert (await client.job(job["id"]))["suggestions"] == near


async def test_words_of_the_training_that_are_not_drawn_are_named(client: Api) -> None:
    """The style `royal` adds `blue`: that is no word to warn of, and neither are aliases of documented ones."""
    prompt = "Swords of the red dragons, elixir"
    job = await client.generate(prompt, negative_prompt="book zorp", style="royal")
    assert job["undocumented_words"] == ["swords", "red", "book"]
    assert job["unknown_words"] == ["zorp"]
    assert job["suggestions"] == {"zorp": [], "swords": [], "red": [], "book": []}
    again = await client.job(job["id"])
    assert again["undocumented_words"] == job["undocumented_words"]
    plain = await client.generate("blue")
    assert plain["undocumented_words"] == []


async def test_the_vocabulary_tells_words_styles_and_what_is_near(client: Api) -> None:
    found = await client.get("/api/v1/ai/vocabulary", words="Swords of the dragoon, elixir, beer")
    assert found["model"] == "sprite@1"
    assert found["documented"] == ["dragon", "potion"]
    assert {word["word"] for word in found["words"]} == set(builders.WORDS[1:])
    assert [word["word"] for word in found["words"] if word["documented"]] == ["dragon", "potion"]
    assert found["aliases"] == {"elixir": "potion"}
    assert set(found["styles"]) == {"handheld", "royal"}
    assert found["samplers"] == list(get_args(Sampler))
    assert found["looked_up"] == [
        {"word": "swords", "means": "sword", "undocumented": True, "nearest": []},
        {"word": "dragoon", "means": None, "undocumented": False, "nearest": ["dragon"]},
        {"word": "elixir", "means": "potion", "undocumented": False, "nearest": []},
        {"word": "beer", "means": None, "undocumented": False, "nearest": ["potion"]},
    ]
    await client.refused("GET", "/api/v1/ai/vocabulary?model=superres", 422, "model_of_other_kind")


# batches and variations


async def batch(api: Api, status: int, key: str = "", wait: bool = False, **body: Any) -> Any:
    headers = ({"Idempotency-Key": key} if key else {}) | (WAIT if wait else {})
    return await api.call("POST", f"{GENERATE}/batch", status, json=body, headers=headers)


async def test_a_batch_is_a_job_for_each_prompt_in_order(client: Api) -> None:
    found = await batch(client, 200, wait=True, prompts=["red dragon", "blue book"], seed=4, n=2)
    assert [job["params"]["prompt"] for job in found["jobs"]] == ["red dragon", "blue book"]
    assert [job["status"] for job in found["jobs"]] == ["succeeded"] * 2
    alone = await client.generate("blue book", seed=4, n=2)
    assert [o["pixels_sha256"] for o in found["jobs"][1]["outputs"]] == [
        o["pixels_sha256"] for o in alone["outputs"]
    ]


async def test_a_batch_sent_again_with_its_key_gets_the_same_jobs(client: Api) -> None:
    body = {"prompts": ["dragon", "book"], "init_image": BASE64}
    first = await batch(client, 202, "k1", **body)
    again = await batch(client, 202, "k1", **body)
    assert [job["id"] for job in again["jobs"]] == [job["id"] for job in first["jobs"]]
    headers = {"Idempotency-Key": "k1"}
    for other in (["dragon"], ["dragon", "sword"], ["dragon", "book", "sword"]):
        await client.refused(
            "POST",
            f"{GENERATE}/batch",
            409,
            "idempotency_key_reused",
            json={**body, "prompts": other},
            headers=headers,
        )
    listed = await client.get(JOBS)
    assert len(listed["jobs"]) == 2


async def test_a_batch_is_taken_whole_or_not_at_all(serving: Serving) -> None:
    client = await serving(max_queue=4)
    bad = {"prompts": ["dragon", " ", "book"]}
    problem = await client.refused("POST", f"{GENERATE}/batch", 422, "invalid", json=bad)
    assert problem["field"] == "prompts[1]"
    many = {"prompts": ["dragon"] * 5}
    await client.refused("POST", f"{GENERATE}/batch", 422, "batch_too_large", json=many)
    assert (await client.get(JOBS))["jobs"] == []


async def test_variations_take_what_they_are_not_told_from_the_job(client: Api) -> None:
    made = await client.generate("red dragon", seed=8, steps=3, sampler="heun", scale=2, palette=8)
    asset = made["outputs"][0]["sha256"]
    job = await client.call(
        "POST", "/api/v1/ai/variations", json={"init_image": asset, "n": 3}, headers=WAIT
    )
    assert job["status"] == "succeeded", job["error"]
    params = job["params"]
    wanted = {"prompt": "red dragon", "steps": 3, "sampler": "heun", "scale": 2, "palette": 8}
    assert params.items() >= {**wanted, "strength": 0.7, "init_image": asset, "n": 3}.items()
    assert len({output["pixels_sha256"] for output in job["outputs"]}) == 3
    larger = await client.upscale(await client.bytes(made["outputs"][0]["url"]), scale=2)
    body = {"init_image": larger["outputs"][0]["sha256"], "prompt": "blue dragon", "scale": 1}
    job = await client.call("POST", "/api/v1/ai/variations", json=body, headers=WAIT)
    assert (job["params"]["prompt"], job["params"]["steps"]) == ("blue dragon", 3)
    body = {"init_image": as_base64(builders.noise(8, 8)), "prompt": "book", "n": 1}
    job = await client.call("POST", "/api/v1/ai/variations", json=body, headers=WAIT)
    assert job["params"]["strength"] == 0.7
    body = {"init_image": as_base64(builders.noise(8, 9))}
    await client.refused("POST", "/api/v1/ai/variations", 422, "prompt_needed", json=body)


WHITE = as_base64(np.full((32, 32, 4), 255, np.uint8))


async def test_one_call_of_the_isolated_engine_takes_pictures_too(serving: Serving) -> None:
    body = {"seed": 1, "init_image": BASE64, "mask": WHITE, "tileable": True, "sampler": "heun"}
    plain = await (await serving()).generate("red dragoon", **body)
    apart = await (await serving(isolate_inference=True)).generate("red dragoon", **body)
    assert apart["undocumented_words"] == plain["undocumented_words"] == ["red"]
    assert apart["outputs"][0]["pixels_sha256"] == plain["outputs"][0]["pixels_sha256"]
    assert apart["suggestions"] == plain["suggestions"] == {"dragoon": ["dragon"], "red": []}


# sheets


SHEETS = "/api/v1/ai/sheets"


async def stored(api: Api, *sides: int) -> list[str]:
    """Assets of squares with these sides, each of another noise."""
    pictures = [builders.picture_file(builders.noise(s, s, seed=i)) for i, s in enumerate(sides)]
    return [(await api.upscale(data, scale=2, mode="pixel"))["inputs"][0] for data in pictures]


async def sheet(api: Api, status: int = 200, **body: Any) -> Any:
    job = await api.call("POST", SHEETS, status, json=body, headers=WAIT)
    assert job["status"] == "succeeded", job["error"]
    return job


@pytest.mark.parametrize(
    ("sides", "options", "size"),
    [
        ([8, 8, 8], {}, (16, 16)),
        ([8, 8, 8], {"columns": 3, "padding": 1}, (28, 10)),
        ([8, 8, 8], {"columns": 3, "padding": 1, "power_of_two": True}, (32, 16)),
        ([4, 16, 8, 5], {"padding": 2}, None),
    ],
)
async def test_every_picture_stands_on_the_sheet_where_the_atlas_says(
    client: Api, sides: list[int], options: dict[str, Any], size: tuple[int, int] | None
) -> None:
    assets = await stored(client, *sides)
    names = [f"n{i}" for i in range(len(sides))]
    job = await sheet(client, pictures=assets, names=names, name="items", **options)
    pixels = await shown(client, job)
    atlas = await client.get(f"{JOBS}/{job['id']}/atlas")
    assert atlas["meta"]["image"] == "items.png"
    assert atlas["meta"]["size"] == {"w": pixels.shape[1], "h": pixels.shape[0]}
    assert size in (None, (pixels.shape[1], pixels.shape[0]))
    seen = np.zeros(pixels.shape[:2], int)
    for i, (name, side) in enumerate(zip(names, sides, strict=True)):
        one = atlas["frames"][f"{name}.png"]
        assert one["sourceSize"] == {"w": side, "h": side}
        assert (one["rotated"], one["trimmed"]) == (False, False)
        x, y = one["frame"]["x"], one["frame"]["y"]
        where = np.s_[y : y + side, x : x + side]
        assert np.array_equal(pixels[where], builders.noise(side, side, seed=i))
        seen[where] += 1
    assert seen.max() == 1
    assert not pixels[seen == 0].any()
    assert job["inputs"] == assets
    again = await client.call("POST", f"{JOBS}/{job['id']}/replay", headers=WAIT)
    assert again["verdict"] == "identical"


async def test_an_atlas_for_godot_and_for_unity(client: Api) -> None:
    assets = await stored(client, 8, 8)
    job = await sheet(client, pictures=assets, names=["a", "b c"], name="items", columns=1)
    path = f"{JOBS}/{job['id']}/atlas"
    godot = (await client.bytes(f"{path}?format=godot")).decode()
    assert godot.startswith('[gd_resource type="SpriteFrames" load_steps=4 format=3]')
    assert "region = Rect2(0, 8, 8, 8)" in godot
    meta = yaml.safe_load(await client.bytes(f"{path}?format=unity"))
    importer = meta["TextureImporter"]
    assert (importer["textureSettings"]["filterMode"], importer["spriteMode"]) == (0, 2)
    rects = {s["name"]: s["rect"]["y"] for s in importer["spriteSheet"]["sprites"]}
    assert rects == {"a": 8, "b c": 0}  # from below
    other = await client.generate()
    await client.refused("GET", f"{JOBS}/{other['id']}/atlas", 422, "not_a_sheet")


async def test_sheets_refuse_what_is_missing_doubled_or_too_large(serving: Serving) -> None:
    client = await serving(max_output_pixels=5000)
    [asset] = await stored(client, 32)
    for body, code, status in (
        ({"pictures": ["0" * 64]}, "asset_not_found", 422),
        ({"pictures": [asset], "names": ["a", "b"]}, "invalid", 422),
        ({"pictures": [asset] * 2, "names": ["a", "a"]}, "invalid", 422),
        ({"pictures": [asset], "names": ["../a"]}, "invalid", 422),
        ({"pictures": []}, "invalid", 422),
        ({"pictures": ["bm90IGEgcGljdHVyZQ=="]}, "bad_image", 422),
        ({"pictures": [asset] * 9}, "too_many_pixels", 413),
    ):
        await client.refused("POST", SHEETS, status, code, json=body)
    assert (await sheet(client, pictures=[asset] * 4))["inputs"] == [asset]
    assert (await sheet(client, pictures=[BASE64]))["outputs"][0]["width"] == 32


async def test_a_batch_lives_through_a_kill(process: Callable[..., Process]) -> None:
    server = process()
    server.start()
    async with connected(server.address) as api:
        body = {"prompts": [f"red {builders.SLOW}", "dragon", "sword"], "seed": 1, "steps": 9}
        first = await batch(api, 202, "night", **body)
    server.kill()
    server.start()
    async with connected(server.address) as api:
        again = await batch(api, 200, "night", wait=True, **body)
        assert [job["id"] for job in again["jobs"]] == [job["id"] for job in first["jobs"]]
        assert {job["status"] for job in again["jobs"]} == {"succeeded"}
        assert len((await api.get(JOBS))["jobs"]) == 3
