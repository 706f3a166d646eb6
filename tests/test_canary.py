"""Canaries and shadows: who gets which version, what is compared, and when a canary loses its share."""

from __future__ import annotations

import asyncio
from typing import Any

import builders
import numpy as np
import pytest
from conftest import Api, Serving, eventually
from test_promotion import SUPERRES, UNGATED, nearest, promote, put_policy, register, stages, up

from gfedge.registry.canary import Sample, _takes, verdict
from gfedge.registry.policy import Watch

CANARY, SHADOW = f"{SUPERRES}/canary", f"{SUPERRES}/shadow"


async def staged(api: Api, data: bytes, **more: Any) -> str:
    """A version in staging."""
    version = str((await register(api, data))["version"])
    await promote(api, version, "staging", **more)
    return version


def picture(seed: int = 0, *, white: bool = False) -> bytes:
    pixels = builders.noise(8, 8, seed=seed)
    if white:
        pixels[0, 0] = 255
    return builders.picture_file(pixels)


async def test_a_canary_takes_its_share_by_job_id(serving: Serving) -> None:
    client = await up(serving)
    await staged(client, nearest(0.9))
    found = await client.call(
        "POST", CANARY, json={"version": "staging", "percent": 50, "by": "kim"}
    )
    assert (found["canary"]["version"], found["canary"]["percent"]) == ("2", 50)
    jobs = [await client.upscale(picture(i)) for i in range(12)]
    for job in jobs:
        assert job["model"]["version"] == ("2" if _takes(job["id"], 50) else "1")
    assert len({job["model"]["version"] for job in jobs}) == 2
    for model in ("superres@1", "superres@prod"):
        for i in range(3):
            job = await client.upscale(picture(20 + i), model=model)
            assert job["model"]["version"] == "1"
    shown = {one["version"]: one for one in (await client.get(CANARY))["versions"]}
    taken = sum(_takes(job["id"], 50) for job in jobs)
    assert (shown["2"]["jobs"], shown["1"]["jobs"]) == (taken, 18 - taken)
    assert shown["2"]["latency_p95_seconds"] >= shown["2"]["latency_p50_seconds"] > 0
    assert shown["2"]["error_ratio"] == 0
    client = await up(serving)
    counted = {"2": taken, "1": 18 - taken}
    again = await eventually(
        lambda: client.get(CANARY),
        lambda told: {one["version"]: one["jobs"] for one in told["versions"]} == counted,
    )
    assert again["canary"] == found["canary"]
    gone = await client.call("DELETE", CANARY, params={"reason": "enough"})
    assert gone["canary"] is None
    assert (await client.upscale(picture()))["model"]["version"] == "1"
    changes = (await client.get(f"{SUPERRES}/history"))["changes"]
    assert [(c["action"], c["version"], c["reason"]) for c in changes[:2]] == [
        ("canary_stopped", "2", "enough"),
        ("canary_started", "2", ""),
    ]
    assert changes[1]["by"] == "kim"


async def test_a_canary_that_fails_loses_its_traffic(serving: Serving) -> None:
    client = await up(serving)
    await put_policy(client, watch={"min_samples": 3, "max_error_ratio": 0.1})
    await staged(client, builders.superres_onnx(white_fails=True), force=True)
    await client.call("POST", CANARY, json={"version": "2", "percent": 100})
    for i in range(3):
        job = await client.upscale(picture(i, white=True), status=202)
        ended = await client.until(job["id"])
        assert (ended["status"], ended["model"]["version"]) == ("failed", "2")
    await eventually(lambda: client.get(CANARY), lambda found: found["canary"] is None)
    job = await client.upscale(picture(9, white=True))
    assert job["model"]["version"] == "1"
    change = (await client.get(f"{SUPERRES}/history"))["changes"][0]
    assert (change["action"], change["version"], change["by"]) == (
        "canary_rolled_back",
        "2",
        "gfedge",
    )
    assert change["details"] == {
        "figure": "error_ratio", "value": 1.0, "bound": 0.1, "samples": 3, "prod_samples": 0,
    }  # fmt: skip
    assert "error_ratio of the canary is 1" in change["reason"]


async def test_what_a_shadow_makes_is_compared_and_not_returned(serving: Serving) -> None:
    client = await up(serving)
    await put_policy(client, prod=UNGATED)
    await register(client, nearest())
    await promote(client, "2", "prod")
    await register(client, nearest(0.9))
    found = await client.call("POST", SHADOW, json={"version": "3"})
    assert (found["shadow"]["version"], found["comparison"]["jobs"]) == ("3", 0)
    pixels = np.full((8, 8, 4), (100, 100, 100, 255), np.uint8)
    job = await client.upscale(builders.picture_file(pixels))
    assert job["model"]["version"] == "2"
    found = await eventually(
        lambda: client.get(CANARY), lambda found: found["comparison"]["jobs"] == 1
    )
    compared = found["comparison"]
    expected = 10 * np.log10(255**2 / (10**2 * 3 / 4))
    assert compared["psnr_mean"] == pytest.approx(expected, abs=0.01)
    assert (compared["failed"], compared["same_pixels"], compared["skipped"]) == (0, 0, 0)
    assert compared["latency_ratio"] > 0
    jobs = (await client.get("/api/v1/ml-platform/ai-jobs"))["jobs"]
    (shadow,) = [one for one in jobs if one["shadow_of"]]
    assert (shadow["shadow_of"], shadow["model"]["version"]) == (job["id"], "3")
    assert shadow["params"] == job["params"]
    run = await client.get(f"/api/v1/ml-platform/runs/{shadow['run_id']}")
    assert run["params"]["shadow_of"] == job["id"]
    path = f"/api/v1/ml-platform/lineage/job/{shadow['id']}"
    edges = (await client.get(path, direction="up"))["edges"]
    assert "shadowed" in {edge["relation"] for edge in edges}
    again = await client.upscale(builders.picture_file(pixels), model="superres@3")
    assert again["outputs"][0]["pixels_sha256"] == shadow["outputs"][0]["pixels_sha256"]
    client = await up(serving)
    assert (await client.get(CANARY))["comparison"]["jobs"] == 1
    await client.refused("DELETE", f"{SUPERRES}/versions/3", 409, "version_in_use")
    await client.call("DELETE", SHADOW)
    assert (await client.get(CANARY))["comparison"] is None


async def test_a_shadow_waits_until_nobody_else_does(serving: Serving) -> None:
    client = await up(serving)
    await register(client, nearest(0.9))
    await client.call("POST", SHADOW, json={"version": "2"})
    slow = await client.submit(f"{builders.SLOW} dragon", steps=100)
    await client.until(slow["id"], "running")
    for i in range(3):
        await client.upscale(picture(i))
    await asyncio.sleep(0)
    assert (await client.get(CANARY))["comparison"]["jobs"] == 0
    await client.cancel(slow)
    await eventually(lambda: client.get(CANARY), lambda found: found["comparison"]["jobs"] == 3)


async def test_what_cannot_stand_beside_is_refused(serving: Serving) -> None:
    client = await up(serving)
    await register(client, nearest(0.9))
    body = {"version": "2", "percent": 10}
    await client.refused("POST", CANARY, 409, "wrong_stage", json=body)
    await client.refused("POST", SHADOW, 409, "wrong_stage", json={"version": "prod"})
    await client.refused("POST", CANARY, 422, "invalid", json={"version": "2", "percent": 0})
    await client.refused("DELETE", CANARY, 404, "no_canary")
    await client.refused("DELETE", SHADOW, 404, "no_shadow")
    await client.refused("POST", CANARY, 404, "model_not_found", json={**body, "version": "9"})


async def test_a_canary_that_comes_to_prod_is_none_any_more(serving: Serving) -> None:
    client = await up(serving)
    await put_policy(client, prod=UNGATED)
    await staged(client, nearest(0.9))
    await client.call("POST", CANARY, json={"version": "2", "percent": 10})
    await client.call("POST", SHADOW, json={"version": "2"})
    await promote(client, "2", "prod")
    found = await client.get(CANARY)
    assert (found["canary"], found["shadow"], found["serving"]) == (None, None, "superres@2")
    assert await stages(client) == {"2": "prod", "1": "archived"}


# -- the rule -----------------------------------------------------------------------------------


def samples(count: int, seconds: float = 1.0, failed: int = 0) -> list[Sample]:
    return [Sample(seconds, i < failed) for i in range(count)]


def test_a_canary_is_held_against_its_bounds_and_the_version_in_prod() -> None:
    watch = Watch(min_samples=10, max_error_ratio=0.1, max_latency_ratio=2.0)
    assert not verdict(samples(9, failed=9), samples(50), watch)
    assert not verdict(samples(10, failed=1), samples(50), watch)
    assert verdict(samples(10, failed=2), samples(50), watch)["figure"] == "error_ratio"
    assert not verdict(samples(10, failed=2), samples(10, failed=5), watch), "prod fails more"
    assert verdict(samples(10, 3.0), samples(10), watch)["figure"] == "latency_ratio"
    assert not verdict(samples(10, 3.0), samples(9), watch), "too little is known of prod"
    assert not verdict(samples(10, 1.9), samples(10), watch)


def test_shares_are_as_large_as_asked_for_and_do_not_change() -> None:
    ids = [f"job-{i}" for i in range(20_000)]
    taken = [i for i in ids if _takes(i, 10)]
    assert 0.09 < len(taken) / len(ids) < 0.11
    assert set(taken) <= {i for i in ids if _takes(i, 20)}, "a larger share keeps the smaller one"
    assert all(_takes(i, 100) for i in ids[:100])
