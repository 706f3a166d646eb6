"""Jobs run again: the same comes of it, and where it does not, it is said how far apart and why."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import builders
import numpy as np
import pytest
from conftest import JOBS, Api, Serving

from gfedge import keys
from gfedge.ai import replay, store
from gfedge.assets import files
from gfedge.cli.replay import readable
from gfedge.inference import likeness, png

WAIT = {"Prefer": "wait=60"}
LONG = {"prompt": f"red {builders.SLOW}", "steps": 100}


async def again(api: Api, job: Any, status: int = 200, **headers: str) -> Any:
    return await api.call("POST", f"{JOBS}/{job['id']}/replay", status, headers={**WAIT, **headers})


async def test_a_generated_picture_comes_out_identical(client: Api) -> None:
    job = await client.generate("red dragon", seed=5, n=2, steps=3, scale=2, palette=8)
    found = await again(client, job)
    assert (found["verdict"], found["reasons"]) == ("identical", [])
    assert found["original"] == job["id"] != found["job"]["id"]
    assert found["job"]["replay_of"] == job["id"]
    assert found["job"]["outputs"] == job["outputs"]
    for name in ("params", "seed", "model", "upscaler", "experiment_id"):
        assert found["job"][name] == job[name]
    assert [one["same_bytes"] for one in found["outputs"]] == [True, True]
    assert await client.get(f"{JOBS}/{found['job']['id']}/replay") == found


async def test_a_drawn_seed_is_on_record(client: Api) -> None:
    job = await client.generate("blue potion")
    assert (await again(client, job))["verdict"] == "identical"


@pytest.mark.parametrize(
    "query", [{"scale": 3}, {"scale": 2, "mode": "pixel"}, {"tileable": "true"}]
)
async def test_an_upscaled_picture_comes_out_identical(client: Api, query: dict[str, Any]) -> None:
    job = await client.upscale(builders.png_file(20, 30, alpha=True), **query)
    found = await again(client, job)
    assert found["verdict"] == "identical"
    assert found["job"]["inputs"] == job["inputs"]


async def test_what_a_job_ran_on_is_recorded(client: Api) -> None:
    job = await client.generate(seed=1)
    assert set(job["surroundings"]) == {
        "gfedge", "provider", "threads", "onnxruntime", "numpy", "pillow", "cpu",
    }  # fmt: skip
    assert job["surroundings"]["provider"] == "CPUExecutionProvider"
    assert job["surroundings"]["threads"] == "2"
    assert all(job["surroundings"].values())
    run = await client.get(f"/api/v1/ml-platform/runs/{job['run_id']}")
    assert run["params"].items() >= job["surroundings"].items()


async def test_the_replay_is_linked(client: Api) -> None:
    job = await client.generate(seed=1)
    second = (await again(client, job))["job"]
    third = (await again(client, second))["job"]
    assert third["replay_of"] == second["id"]
    found = await client.get(
        f"/api/v1/ml-platform/lineage/job/{job['id']}", direction="down", kinds="job"
    )
    assert [node["id"] for node in found["nodes"]] == [job["id"], second["id"], third["id"]]
    assert {edge["relation"] for edge in found["edges"]} == {"replayed"}
    trace = await client.get(f"/api/v1/assets/{job['outputs'][0]['sha256']}/trace")
    assert f"was made by job {job['id']}" in trace["chain"][0]


async def test_the_picture_names_the_job_that_made_it_first(client: Api) -> None:
    job = await client.generate(seed=1)
    await again(client, job)
    text = png.texts(await client.bytes(job["outputs"][0]["url"]), ("gfedge",))["gfedge"]
    assert job["id"] in text


async def test_another_address_changes_the_file_and_not_the_pixels(serving: Serving) -> None:
    api = await serving(public_url="http://one.example")
    job = await api.generate(seed=1)
    api = await serving(public_url="http://other.example", workers=1)
    found = await again(api, job)
    assert found["verdict"] == "same_pixels"
    assert found["outputs"][0]["psnr"] == "Infinity"
    assert found["reasons"][0] == "threads was 2 and is 1"
    assert "metadata" in found["reasons"][-1]


async def test_other_pixels_are_measured(client: Api, tmp_path: Path) -> None:
    """A result that came out otherwise, as on another device: the first job's record is changed by hand."""
    job = await client.generate(seed=1)
    found = await again(client, job)
    db, queue_id = client.http.app[keys.DB], found["job"]["id"]  # type: ignore[union-attr]
    one, other = await db.read(store.find_job, job["id"]), await db.read(store.find_job, queue_id)
    picture = png.decode(await client.bytes(job["outputs"][0]["url"]), 1 << 20)
    changed = picture.copy()
    changed[4, 5] = (255 - changed[4, 5, 0], 0, 0, 255)
    pictures = {"before": picture, "after": changed}
    named = [
        type(job_.outputs[0])(
            **{n: getattr(job_.outputs[0], n) for n in job_.outputs[0].__struct_fields__}
            | {"sha256": name, "pixels_sha256": name}
        )
        for name, job_ in (("before", one), ("after", other))
    ]
    import msgspec

    now = {**other.surroundings, "provider": "CUDAExecutionProvider"}
    result = replay.compared(
        msgspec.structs.replace(one, outputs=named[:1]),
        msgspec.structs.replace(other, outputs=named[1:], surroundings=now),
        await client_job(client, queue_id),
        lambda output: pictures[output.sha256],
    )
    assert result.verdict == "different"
    (measured,) = result.outputs
    assert not measured.same_pixels
    assert isinstance(measured.psnr, float)
    assert 20 < measured.psnr < 60
    assert measured.ssim is not None
    assert 0.5 < measured.ssim < 1
    assert measured.largest_difference is not None
    assert result.reasons == ["provider was CPUExecutionProvider and is CUDAExecutionProvider"]
    said = readable(msgspec.to_builtins(result))
    assert said[0].endswith("again: different")
    assert "PSNR" in said[1]


async def client_job(api: Api, job_id: str) -> Any:
    import msgspec

    from gfedge.ai.types import Job

    return msgspec.convert(await api.job(job_id), Job)


async def test_it_waits_as_the_client_prefers(client: Api) -> None:
    job = await client.generate(**LONG)
    path = f"{JOBS}/{job['id']}/replay"
    async with client.http.post(path) as response:
        assert response.status == 202
        pending = await response.json()
        assert response.headers["Location"] == f"{JOBS}/{pending['job']['id']}/replay"
    assert (pending["verdict"], pending["outputs"]) == (None, [])
    await client.until(pending["job"]["id"])
    assert (await client.get(response.headers["Location"]))["verdict"] == "identical"


async def test_a_retry_with_the_same_key_is_the_same_replay(client: Api) -> None:
    job, other = await client.generate(seed=1), await client.generate(seed=2)
    one = await again(client, job, **{"Idempotency-Key": "k"})
    assert (await again(client, job, **{"Idempotency-Key": "k"}))["job"] == one["job"]
    headers = {"Idempotency-Key": "k"}
    await client.refused(
        "POST", f"{JOBS}/{other['id']}/replay", 409, "idempotency_key_reused", headers=headers
    )


async def test_a_job_that_failed_has_nothing_to_compare(serving: Serving, tmp_path: Path) -> None:
    api = await serving()
    job = await api.submit(f"red {builders.CURSE}")
    assert (await api.until(job["id"]))["status"] == "failed"
    found = await again(api, job)
    assert found["verdict"] == "not_comparable"
    assert "failed and made no picture" in found["reasons"][0]


async def test_what_cannot_be_replayed(serving: Serving, models: Path, tmp_path: Path) -> None:
    api = await serving()
    running = await api.submit(**LONG)
    await api.refused("POST", f"{JOBS}/{running['id']}/replay", 409, "job_not_ended")
    await api.cancel(running)
    await api.refused("POST", f"{JOBS}/nothing/replay", 404, "job_not_found")
    made = await api.generate(seed=1)
    await api.refused("GET", f"{JOBS}/{made['id']}/replay", 404, "not_a_replay")
    upscaled = await api.upscale(builders.png_file())
    files.find(tmp_path / "data" / "assets", upscaled["inputs"][0]).unlink()
    await api.refused("POST", f"{JOBS}/{upscaled['id']}/replay", 409, "asset_gone")
    shutil.rmtree(models / "sprite")
    api = await serving()
    problem = await api.refused("POST", f"{JOBS}/{made['id']}/replay", 409, "model_gone")
    assert "sprite@1" in problem["detail"]


def test_likeness() -> None:
    one = builders.noise(40, 30, alpha=True)
    same = likeness.compare(one, one)
    assert (same.psnr, same.largest_difference) == (math.inf, 0)
    assert same.ssim == pytest.approx(1)
    hidden = one.copy()
    hidden[hidden[..., 3] == 0] = (9, 9, 9, 0)
    assert likeness.compare(one, hidden).largest_difference == 0
    grey = np.full((16, 16, 4), 100, np.uint8)
    grey[..., 3] = 255
    lighter = grey.copy()
    lighter[..., :3] += 10
    found = likeness.compare(grey, lighter)
    # Three channels of four differ by 10: 10 * log10(255^2 / 75).
    assert found.psnr == pytest.approx(10 * math.log10(255**2 / 75))
    assert found.largest_difference == 10
    # Flat windows have no variance: SSIM is the luminance term, (2ab + C1) / (a^2 + b^2 + C1), and 1 for opacity.
    c1 = (0.01 * 255) ** 2
    assert found.ssim == pytest.approx(
        (1 + (2 * 100 * 110 + c1) / (100**2 + 110**2 + c1)) / 2, abs=1e-6
    )
    other = builders.noise(40, 30, seed=8, alpha=True)
    assert likeness.compare(one, other).ssim < 0.2  # type: ignore[operator]
    assert likeness.compare(one[:3, :2], other[:3, :2]).ssim is not None
    with pytest.raises(ValueError, match="cannot be compared"):
        likeness.compare(one, grey)
