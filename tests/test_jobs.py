"""Jobs: how they are asked for, answered, repeated, queued, cancelled, and how they fail alone."""

from __future__ import annotations

import asyncio
import base64
import io
import tempfile
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import builders
import numpy as np
import pytest
from conftest import JOBS, Api, Serving, eventually
from PIL import Image

GENERATE, SUPERRES = "/api/v1/ai/generate", "/api/v1/ai/superres"
WAIT = {"Prefer": "wait=60"}
LONG = {"prompt": f"red {builders.SLOW}", "steps": 100}
"""A job of some seconds."""
CURSED = f"red {builders.CURSE}"
"""A prompt for which the graph fails."""


async def picture(api: Api, job: Any, index: int = 0) -> np.ndarray:
    data = await api.bytes(job["outputs"][index]["url"])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


def shown(job: Any) -> list[str]:
    return [output["pixels_sha256"] for output in job["outputs"]]


# -- asking and answering -----------------------------------------------------------------------


async def test_a_job_is_acknowledged_with_its_location(client: Api) -> None:
    body = {"prompt": "red dragon"}
    async with client.http.request("POST", GENERATE, json=body) as response:
        assert response.status == 202
        job = await response.json()
        assert response.headers["Location"] == f"{JOBS}/{job['id']}"
        assert "Preference-Applied" not in response.headers
    assert (await client.until(job["id"]))["status"] == "succeeded"


async def test_prefer_wait_answers_with_the_finished_job(client: Api) -> None:
    body = {"prompt": "red dragon"}
    headers = {"Prefer": "wait=30"}
    async with client.http.request("POST", GENERATE, json=body, headers=headers) as response:
        assert response.status == 200
        assert response.headers["Preference-Applied"] == "wait=30"
        assert (await response.json())["status"] == "succeeded"


async def test_a_wait_that_is_too_short_answers_202(client: Api) -> None:
    headers = {"Prefer": "respond-async, wait=0"}
    job = await client.call("POST", GENERATE, 202, json=LONG, headers=headers)
    assert job["status"] in ("queued", "running")
    await client.cancel(job)


@pytest.mark.parametrize("asked", ["wait=30, respond-async", 'Wait="30"', "wait=99999999999"])
async def test_a_wait_is_read_in_all_its_spellings(client: Api, asked: str) -> None:
    await client.call(
        "POST", GENERATE, 200, json={"prompt": "red dragon"}, headers={"Prefer": asked}
    )


async def test_a_wait_is_cut_to_what_the_server_grants(serving: Serving) -> None:
    client = await serving(max_wait=0)
    headers = {"Prefer": "wait=600"}
    async with client.http.request("POST", GENERATE, json=LONG, headers=headers) as response:
        assert response.status == 202
        assert response.headers["Preference-Applied"] == "wait=0"
        await client.cancel(await response.json())


async def test_who_accepts_png_and_waits_gets_the_picture(client: Api) -> None:
    headers = {**WAIT, "Accept": "image/png"}
    body = {"prompt": "red dragon", "n": 2}
    async with client.http.request("POST", GENERATE, json=body, headers=headers) as response:
        assert response.status == 200
        assert response.content_type == "image/png"
        data = await response.read()
        job_id = response.headers["Location"].rpartition("/")[2]
        outputs = (await client.job(job_id))["outputs"]
        assert [link in response.headers["Link"] for link in (o["url"] for o in outputs)] == [
            True,
            True,
        ]
    assert Image.open(io.BytesIO(data)).size == (32, 32)
    assert data == await client.bytes(outputs[0]["url"])


async def test_a_picture_that_was_wanted_and_failed_is_a_problem(client: Api) -> None:
    headers = {**WAIT, "Accept": "image/png"}
    problem = await client.refused(
        "POST", GENERATE, 500, "engine_error", json={"prompt": CURSED}, headers=headers
    )
    assert "job" in problem["detail"]


async def test_a_job_has_every_field_of_the_contract(client: Api) -> None:
    ended = await client.generate("red dragon", scale=2)
    model = {"name": str, "version": str, "digest": str}
    output = dict.fromkeys(("sha256", "pixels_sha256", "url", "media_type"), str)
    output |= dict.fromkeys(("width", "height", "bytes"), int) | {"seam_score": type(None)}
    contract: dict[str, Any] = dict.fromkeys(
        ("id", "kind", "status", "experiment_id", "run_id"), str
    )
    contract |= dict.fromkeys(("created_at", "started_at", "finished_at"), float)
    contract |= {"queue_position": type(None), "error": type(None), "seed": int, "params": dict}
    contract |= {"progress": dict, "timings": dict, "outputs": list, "model": dict}
    for name, kind in contract.items():
        assert isinstance(ended[name], kind), name
    assert {k: type(v) for k, v in ended["model"].items()} == model
    assert {k: type(v) for k, v in ended["outputs"][0].items()} == output
    assert ended["progress"].items() >= {"ratio": 1.0}.items()
    assert {"step", "steps", "ratio"} <= ended["progress"].keys()
    assert ended["created_at"] <= ended["started_at"] <= ended["finished_at"]
    assert ended["timings"]["inference_seconds"] > 0
    assert await client.job(ended["id"]) == ended


async def test_a_job_that_waits_has_the_same_fields(client: Api) -> None:
    queued = await client.submit(**LONG)
    ended = await client.generate()
    assert queued.keys() == ended.keys()
    assert queued["outputs"] == []
    assert queued["finished_at"] is None
    await client.cancel(queued)


async def test_a_job_goes_on_when_the_client_that_waits_for_it_goes_away(client: Api) -> None:
    body = {"prompt": f"red {builders.SLOW}", "steps": 10}
    waiting = asyncio.create_task(client.call("POST", GENERATE, json=body, headers=WAIT))
    listed = await eventually(lambda: client.get(JOBS), lambda page: bool(page["jobs"]))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await client.until(listed["jobs"][0]["id"]))["status"] == "succeeded"


# -- generate -----------------------------------------------------------------------------------


async def test_the_same_prompt_and_seed_give_the_same_pixels(client: Api) -> None:
    first = await client.generate(seed=7)
    assert shown(await client.generate(seed=7)) == shown(first)
    assert shown(await client.generate(seed=8)) != shown(first)
    assert shown(await client.generate("blue sword", seed=7)) != shown(first)


async def test_a_picture_is_the_same_alone_and_in_company(client: Api) -> None:
    alone = [await client.generate(seed=seed, steps=9) for seed in range(8)]
    together = await asyncio.gather(*(client.generate(seed=seed, steps=9) for seed in range(8)))
    assert [shown(job) for job in together] == [shown(job) for job in alone]
    assert len({shown(job)[0] for job in alone}) == 8


async def test_a_drawn_seed_is_recorded_and_gives_the_picture_again(client: Api) -> None:
    drawn = await client.generate()
    assert shown(await client.generate(seed=drawn["seed"])) == shown(drawn)
    assert (await client.generate(seed=-1))["seed"] != drawn["seed"]


async def test_pictures_of_one_job_have_seeds_of_their_own(client: Api) -> None:
    job = await client.generate(seed=20, n=4)
    assert len(set(shown(job))) == 4
    assert shown(await client.generate(seed=22)) == [shown(job)[2]]


async def test_the_largest_seed_is_a_seed(client: Api) -> None:
    job = await client.generate(seed=2**63 - 1, n=2)
    assert job["seed"] == 2**63 - 1
    assert len(set(shown(job))) == 2


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
async def test_a_sprite_comes_in_the_size_that_was_asked_for(client: Api, scale: int) -> None:
    job = await client.generate(scale=scale)
    output = job["outputs"][0]
    assert (output["width"], output["height"]) == (32 * scale, 32 * scale)
    assert (await picture(client, job)).shape == (32 * scale, 32 * scale, 4)
    assert (job["upscaler"] or {}).get("name") == (None if scale == 1 else "superres")


def colours(pixels: np.ndarray) -> set[tuple[int, ...]]:
    """Colours of the visible pixels."""
    return {tuple(colour) for colour in pixels[pixels[..., 3] > 0][:, :3].tolist()}


@pytest.mark.parametrize("scale", [1, 4])
async def test_a_palette_by_number_holds_in_the_final_picture(client: Api, scale: int) -> None:
    job = await client.generate(seed=3, palette=5, scale=scale)
    assert 2 <= len(colours(await picture(client, job))) <= 5


@pytest.mark.parametrize("scale", [1, 4])
async def test_a_palette_by_colours_holds_in_the_final_picture(client: Api, scale: int) -> None:
    palette = ["#ff0000", "#00FF00", "#101820"]
    job = await client.generate(seed=3, palette=palette, scale=scale)
    allowed = {(255, 0, 0), (0, 255, 0), (16, 24, 32)}
    found = colours(await picture(client, job))
    assert found
    assert found <= allowed


@pytest.mark.parametrize("scale", [1, 4])
async def test_a_background_leaves_nothing_transparent(client: Api, scale: int) -> None:
    clear = await picture(client, await client.generate(seed=3, scale=scale))
    laid = await picture(client, await client.generate(seed=3, scale=scale, background="#204060"))
    assert (clear[..., 3] == 0).any()
    assert (clear[..., 3] == 255).any()
    assert (laid[..., 3] == 255).all()
    assert (laid[clear[..., 3] == 0][:, :3] == (0x20, 0x40, 0x60)).all()


async def test_a_negative_prompt_changes_the_picture(client: Api) -> None:
    plain = await client.generate(seed=3)
    other = await client.generate(seed=3, negative_prompt="blue potion")
    assert other["params"]["negative_prompt"] == "blue potion"
    assert shown(other) != shown(plain)


async def test_unknown_words_are_reported(client: Api) -> None:
    job = await client.generate("a red dragon with a flugelhorn")
    assert job["unknown_words"] == ["flugelhorn"]


async def test_what_the_model_chose_is_in_the_params(client: Api) -> None:
    chosen = (await client.generate())["params"]
    assert (chosen["steps"], chosen["guidance_scale"]) == (4, 2.0)
    given = (await client.generate(steps=6, guidance_scale=0))["params"]
    assert (given["steps"], given["guidance_scale"]) == (6, 0.0)


async def test_a_prompt_may_hold_any_text(client: Api) -> None:
    prompt = "röter Drache 龍 🐉\n\x00 Steps: 1, Seed: 2 '; drop table jobs --"
    job = await client.generate(prompt)
    assert (await client.job(job["id"]))["params"]["prompt"] == prompt


async def test_a_named_model_and_version_is_the_one_that_runs(
    serving: Serving, models: Path
) -> None:
    builders.make_sprite_folder(models, version="10")
    client = await serving()
    assert (await client.generate())["model"]["version"] == "10"
    assert (await client.generate(model="sprite@1"))["model"]["version"] == "1"


# -- superres -----------------------------------------------------------------------------------

SOURCE = builders.picture_file(builders.noise(12, 10, alpha=True))


async def test_every_form_of_a_superres_request_gives_the_same_pixels(client: Api) -> None:
    form = aiohttp.FormData()
    form.add_field("file", SOURCE, filename="in.png", content_type="image/png")
    form.add_field("scale", "3")
    form.add_field("tileable", "true")
    options: dict[str, Any] = {"scale": 3, "tileable": True}
    base64_text = base64.b64encode(SOURCE).decode()

    async def by_json(**image: str) -> Any:
        return await client.call("POST", SUPERRES, json={**options, **image}, headers=WAIT)

    jobs = [
        await client.upscale(SOURCE, scale=3, tileable="true"),
        await client.call("POST", SUPERRES, data=form, headers=WAIT),
        await by_json(image=base64_text),
        await by_json(image=f"data:image/png;base64,{base64_text}"),
        await by_json(asset=(await client.upscale(SOURCE))["inputs"][0]),
    ]
    assert {job["status"] for job in jobs} == {"succeeded"}
    assert len({tuple(shown(job)) for job in jobs}) == 1
    assert {job["params"]["scale"] for job in jobs} == {3}
    assert {tuple(job["inputs"]) for job in jobs} == {tuple(jobs[0]["inputs"])}


async def test_a_large_form_is_not_written_outside_the_data_folder(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no such folder"))
    client = await serving()
    data = builders.png_file(700, 700)
    assert len(data) > 1 << 20
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(data), filename="in.png", content_type="image/png")
    form.add_field("mode", "pixel")
    job = await client.call("POST", SUPERRES, data=form, headers=WAIT)
    assert job["status"] == "succeeded"


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
async def test_an_upscaled_picture_has_its_size_and_alpha(client: Api, scale: int) -> None:
    source = builders.sprite(16)
    job = await client.upscale(builders.picture_file(source), scale=scale)
    assert job["model"]["name"] == "superres"
    assert job["seed"] is None
    alpha = (await picture(client, job))[..., 3]
    assert alpha.shape == (16 * scale, 16 * scale)
    middle = slice(6 * scale, 10 * scale)
    assert alpha[: 2 * scale, : 2 * scale].mean() < 80
    assert alpha[middle, middle].mean() > 200


async def test_an_opaque_picture_stays_opaque(client: Api) -> None:
    job = await client.upscale(builders.png_file(9, 7))
    assert ((await picture(client, job))[..., 3] == 255).all()


async def test_pixel_mode_repeats_pixels_and_runs_no_model(client: Api) -> None:
    source = builders.noise(6, 5, alpha=True)
    job = await client.upscale(builders.picture_file(source), scale=3, mode="pixel")
    assert job["model"] is None
    repeated = source.repeat(3, axis=0).repeat(3, axis=1)
    assert np.array_equal(await picture(client, job), repeated)


async def test_a_tileable_texture_goes_on_over_its_edges(client: Api) -> None:
    texture = builders.noise(12, 12)
    rolled = np.roll(texture, 5, axis=1)
    straight, turned, framed = [
        await picture(client, await client.upscale(builders.picture_file(t), tileable=tileable))
        for t, tileable in ((texture, "true"), (rolled, "true"), (texture, "false"))
    ]
    assert np.array_equal(np.roll(straight, 20, axis=1), turned)
    assert not np.array_equal(straight, framed)


@pytest.mark.parametrize("kind", ["JPEG", "WebP"])
async def test_other_formats_are_taken_and_kept_as_they_came(client: Api, kind: str) -> None:
    options = {"lossless": True} if kind == "WebP" else {}
    data = builders.picture_file(builders.noise(10, 14, alpha=kind == "WebP"), kind, **options)
    job = await client.upscale(data, f"image/{kind.lower()}", scale=2)
    assert (await picture(client, job)).shape == (20, 28, 4)
    async with client.http.request("GET", f"/api/v1/assets/{job['inputs'][0]}") as response:
        assert response.content_type == f"image/{kind.lower()}"
        assert await response.read() == data


async def test_webp_and_png_of_the_same_pixels_give_the_same_picture(client: Api) -> None:
    pixels = builders.noise(8, 8)
    png = await client.upscale(builders.picture_file(pixels))
    webp = await client.upscale(
        builders.picture_file(pixels, "WebP", lossless=True), "application/octet-stream"
    )
    assert shown(png) == shown(webp)


# -- Idempotency-Key ----------------------------------------------------------------------------


async def replay(api: Api, key: str, body: Any) -> tuple[Any, bool]:
    """The job, and whether it was an earlier one."""
    headers = {"Idempotency-Key": key}
    async with api.http.request("POST", GENERATE, json=body, headers=headers) as response:
        assert response.status == 202
        return await response.json(), response.headers.get("Idempotent-Replayed") == "true"


async def test_a_retry_with_the_same_key_returns_the_first_job(client: Api) -> None:
    first, replayed = await replay(client, "key-1", {"prompt": "red dragon"})
    assert not replayed
    again, replayed = await replay(client, "key-1", {"prompt": "red dragon"})
    assert replayed
    assert again["id"] == first["id"]
    ended = await client.until(first["id"])
    again, replayed = await replay(client, "key-1", {"prompt": "red dragon"})
    assert replayed
    assert again == ended
    assert len((await client.get(JOBS))["jobs"]) == 1


async def test_concurrent_duplicates_are_one_job(client: Api) -> None:
    body = {"prompt": "red dragon"}
    found = await asyncio.gather(*(replay(client, "key-2", body) for _ in range(12)))
    assert len({job["id"] for job, _ in found}) == 1
    assert sum(not replayed for _, replayed in found) == 1
    assert len((await client.get(JOBS))["jobs"]) == 1


async def test_concurrent_duplicates_of_an_upload_are_one_job(client: Api) -> None:
    headers = {"Idempotency-Key": "key-3", "Content-Type": "image/png", **WAIT}
    sent = (client.call("POST", SUPERRES, data=SOURCE, headers=headers) for _ in range(6))
    assert len({job["id"] for job in await asyncio.gather(*sent)}) == 1


async def test_another_request_with_the_same_key_is_a_conflict(client: Api) -> None:
    await client.submit(key="key-4")
    problem = await client.refused(
        "POST",
        GENERATE,
        409,
        "idempotency_key_reused",
        json={"prompt": "blue sword"},
        headers={"Idempotency-Key": "key-4"},
    )
    assert "use a new key" in problem["detail"]


async def test_keys_survive_a_restart(serving: Serving) -> None:
    client = await serving()
    done = await client.generate()
    ended, _ = await replay(client, "ended", {"prompt": "red dragon"})
    await client.until(ended["id"])
    waiting, _ = await replay(client, "waiting", LONG)
    client = await serving()
    for key, body, job in (("ended", {"prompt": "red dragon"}, ended), ("waiting", LONG, waiting)):
        again, replayed = await replay(client, key, body)
        assert replayed
        assert again["id"] == job["id"]
    assert {job["id"] for job in (await client.get(JOBS))["jobs"]} == {
        done["id"],
        ended["id"],
        waiting["id"],
    }


@pytest.mark.parametrize("key", ["", "two words", "x" * 201, "schlüssel"])
async def test_a_bad_key_is_refused(client: Api, key: str) -> None:
    await client.refused(
        "POST",
        GENERATE,
        400,
        "bad_idempotency_key",
        json={"prompt": "red dragon"},
        headers={"Idempotency-Key": key},
    )


async def test_a_refused_request_does_not_use_up_its_key(client: Api) -> None:
    key = str(uuid.uuid4())
    await client.refused(
        "POST", GENERATE, 422, "invalid", json={"prompt": ""}, headers={"Idempotency-Key": key}
    )
    assert (await client.submit(key=key))["status"] in ("queued", "running")


# -- the queue ----------------------------------------------------------------------------------


async def test_past_its_bound_the_queue_refuses(serving: Serving) -> None:
    client = await serving(max_queue=2, max_running=1)
    running = await client.submit(**LONG)
    await client.until(running["id"], "running")
    waiting = [await client.submit(key="first"), await client.submit()]
    async with client.http.request("POST", GENERATE, json={"prompt": "red dragon"}) as response:
        assert response.status == 429
        assert int(response.headers["Retry-After"]) >= 1
        assert (await response.json())["code"] == "queue_full"
    assert (await client.submit(key="first"))["id"] == waiting[0]["id"], "a retry is no new job"
    await client.cancel(running)
    assert [(await client.until(job["id"]))["status"] for job in waiting] == ["succeeded"] * 2
    assert (await client.generate())["status"] == "succeeded"


async def test_jobs_wait_in_order(serving: Serving) -> None:
    client = await serving(max_running=1)
    running = await client.submit(**LONG)
    await client.until(running["id"], "running")
    waiting = [await client.submit() for _ in range(3)]
    positions = [(await client.job(job["id"]))["queue_position"] for job in waiting]
    assert positions == [1, 2, 3]
    assert (await client.get("/health"))["jobs"] == {"queued": 3, "running": 1}
    await client.cancel(running)
    ended = [await client.until(job["id"]) for job in waiting]
    assert sorted(ended, key=lambda job: job["started_at"]) == ended


async def test_progress_is_seen_while_a_job_runs(client: Api) -> None:
    job = await client.submit(**LONG)
    seen = await eventually(lambda: client.job(job["id"]), lambda j: j["progress"]["step"] >= 2)
    assert seen["status"] == "running"
    assert seen["queue_position"] is None
    assert seen["progress"]["steps"] == 100
    assert seen["progress"]["ratio"] == pytest.approx(seen["progress"]["step"] / 100, abs=0.001)
    assert seen["progress"]["stage"] == "sampling"
    await client.cancel(job)


@pytest.mark.parametrize(("method", "path"), [("DELETE", ""), ("POST", "/cancel")])
async def test_a_queued_job_is_cancelled_at_once(serving: Serving, method: str, path: str) -> None:
    client = await serving(max_running=1)
    running = await client.submit(**LONG)
    queued = await client.submit()
    cancelled = await client.call(method, f"{JOBS}/{queued['id']}{path}")
    assert cancelled["status"] == "cancelled"
    assert cancelled["started_at"] is None
    assert cancelled["finished_at"] is not None
    run = await client.get(f"/api/v1/ml-platform/runs/{queued['run_id']}")
    assert run["status"] == "killed"
    await client.cancel(running)


@pytest.mark.parametrize(("method", "path"), [("DELETE", ""), ("POST", "/cancel")])
async def test_a_running_job_stops_within_a_step(client: Api, method: str, path: str) -> None:
    job = await client.submit(**LONG)
    before = await eventually(lambda: client.job(job["id"]), lambda j: j["progress"]["step"] >= 1)
    ended = await client.call(method, f"{JOBS}/{job['id']}{path}")
    assert ended["status"] == "cancelled"
    assert ended["outputs"] == []
    assert ended["error"] is None
    # A step here takes some 20 ms and the request a few: half of the 100 steps is far from one.
    assert ended["progress"]["step"] < before["progress"]["step"] + 50
    assert await client.job(job["id"]) == ended


async def test_a_running_upscale_is_cancelled_between_tiles(serving: Serving) -> None:
    client = await serving(tile=32)
    job = await client.upscale(builders.png_file(512, 512), status=202, scale=8)
    await eventually(lambda: client.job(job["id"]), lambda j: j["progress"]["step"] >= 1)
    await client.cancel(job)
    ended = await client.until(job["id"])
    assert ended["status"] == "cancelled"


async def test_who_waits_for_a_job_that_is_cancelled_is_told(client: Api) -> None:
    headers = {**WAIT, "Accept": "image/png"}
    waiting = asyncio.create_task(
        client.refused("POST", GENERATE, 409, "cancelled", json=LONG, headers=headers)
    )
    listed = await eventually(lambda: client.get(JOBS), lambda page: bool(page["jobs"]))
    await client.cancel(*listed["jobs"])
    await waiting


async def test_cancelling_again_changes_nothing(client: Api) -> None:
    job = await client.submit(**LONG)
    path = f"{JOBS}/{job['id']}"
    await client.call("DELETE", path)
    first = await client.until(job["id"])
    assert await client.call("DELETE", path) == await client.call("POST", f"{path}/cancel") == first


async def test_cancelling_an_ended_job_is_a_conflict(client: Api) -> None:
    job = await client.generate()
    problem = await client.refused("DELETE", f"{JOBS}/{job['id']}", 409, "job_ended")
    assert "succeeded" in problem["detail"]
    await client.refused("POST", f"{JOBS}/{uuid.uuid4()}/cancel", 404, "job_not_found")


# -- failing alone ------------------------------------------------------------------------------


async def test_a_job_whose_input_is_gone_fails_alone(serving: Serving, tmp_path: Path) -> None:
    client = await serving(max_running=1)
    sha256 = (await client.upscale(SOURCE, mode="pixel"))["inputs"][0]
    running = await client.submit(**LONG)
    doomed = await client.call("POST", SUPERRES, status=202, json={"asset": sha256})
    fine = await client.upscale(builders.png_file(), status=202)
    (tmp_path / "data" / "assets" / sha256[:2] / f"{sha256[2:]}.png").unlink()
    await client.cancel(running)
    failed = await client.until(doomed["id"])
    assert failed["status"] == "failed"
    assert failed["error"]["code"] == "asset_not_found"
    assert sha256 in failed["error"]["detail"]
    assert (await client.until(fine["id"]))["status"] == "succeeded"


async def test_a_prompt_that_breaks_the_graph_fails_alone(client: Api) -> None:
    prompts = ["red dragon", CURSED, "blue sword", "green potion"]
    jobs = [await client.submit(prompt, seed=5, steps=10) for prompt in prompts]
    ended = [await client.until(job["id"]) for job in jobs]
    assert [job["status"] for job in ended] == ["succeeded", "failed", "succeeded", "succeeded"]
    assert ended[1]["error"]["code"] == "engine_error"
    assert "sprite/1 failed" in ended[1]["error"]["detail"]
    assert ended[1]["outputs"] == []
    assert shown(ended[0]) == shown(await client.generate(seed=5, steps=10))


async def test_a_picture_that_breaks_the_graph_fails_alone(serving: Serving, models: Path) -> None:
    broken = builders.superres_onnx(white_fails=True)
    builders.make_superres_folder(models, version="2", onnx_bytes=broken)
    client = await serving()
    white = builders.picture_file(np.full((8, 8, 4), 255, np.uint8))
    grey = builders.png_file()
    jobs = [await client.upscale(data, status=202) for data in (grey, white, grey)]
    ended = [await client.until(job["id"]) for job in jobs]
    assert [job["status"] for job in ended] == ["succeeded", "failed", "succeeded"]
    assert "superres/2 failed" in ended[1]["error"]["detail"]


async def test_a_job_short_of_memory_goes_on_in_smaller_tiles(
    serving: Serving, models: Path
) -> None:
    hungry = builders.superres_onnx(hungry=True)
    builders.make_superres_folder(models, version="2", onnx_bytes=hungry)
    client = await serving()
    data = builders.png_file(300, 20)
    jobs = [await client.upscale(data, model=f"superres@{version}") for version in (1, 2)]
    assert shown(jobs[0]) == shown(jobs[1])


async def test_a_model_that_is_gone_after_a_restart_fails_its_job(
    serving: Serving, models: Path
) -> None:
    client = await serving()
    job = await client.submit(**LONG)
    await eventually(lambda: client.job(job["id"]), lambda j: j["progress"]["step"] >= 1)
    builders.make_sprite_folder(models, version="2")
    for file in (models / "sprite" / "1").iterdir():
        file.unlink()
    client = await serving()
    failed = await client.until(job["id"])
    assert (failed["status"], failed["error"]["code"]) == ("failed", "model_gone")
    assert (await client.generate())["model"]["version"] == "2"


async def test_what_was_unfinished_at_a_stop_runs_at_the_next_start(serving: Serving) -> None:
    client = await serving(max_running=1)
    expected = shown(await client.generate(seed=6, n=2))
    running = await client.submit(**LONG, seed=9)
    queued = await client.submit(seed=6, n=2)
    await client.until(running["id"], "running")
    client = await serving(max_running=1)
    listed = (await client.get(JOBS))["jobs"]
    assert {job["id"] for job in listed} >= {running["id"], queued["id"]}
    await client.until(running["id"], "running")
    await client.cancel(running)
    ended = await client.until(queued["id"])
    assert ended["seed"] == 6
    assert shown(ended) == expected


async def test_what_a_queued_job_needs_is_known_after_a_restart(serving: Serving) -> None:
    client = await serving(max_running=1)
    await client.submit(**LONG)
    queued = await client.upscale(SOURCE, status=202, mode="pixel")
    client = await serving(max_running=1)
    sha256 = queued["inputs"][0]
    assert (await client.get(f"/api/v1/assets/{sha256}/trace"))["subject"] == f"asset:{sha256}"
    again = await client.call("POST", SUPERRES, 202, json={"asset": sha256, "mode": "pixel"})
    assert again["inputs"] == queued["inputs"]
