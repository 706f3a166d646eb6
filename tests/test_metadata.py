"""What a picture says about itself: A1111's text, and our own chunk with the way back."""

from __future__ import annotations

import io
import json
from typing import Any

import builders
from conftest import JOBS, Api, Serving
from PIL import Image

import gfedge


async def texts(api: Api, output: Any) -> dict[str, str]:
    """The text chunks as Pillow reads them."""
    image = Image.open(io.BytesIO(await api.bytes(output["url"])))
    image.load()
    return dict(image.text)  # type: ignore[attr-defined]


async def test_a_sprite_says_how_it_was_made(client: Api) -> None:
    job = await client.generate(
        "red dragon", negative_prompt="blue", seed=41, n=2, steps=3, guidance_scale=1.5, scale=2
    )
    digest = job["model"]["digest"]
    for index, output in enumerate(job["outputs"]):
        lines = (await texts(client, output))["parameters"].split("\n")
        assert lines[0] == "red dragon"
        assert lines[1] == "Negative prompt: blue"
        pairs = dict(pair.split(": ") for pair in lines[2].split(", "))
        assert pairs == {
            "Steps": "3",
            "Sampler": "Euler",
            "CFG scale": "1.5",
            "Seed": str(41 + index),
            "Size": "64x64",
            "Model": "sprite@1",
            "Model hash": digest[:10],
            "Postprocess upscaler": "superres@1",
            "Version": f"gfedge {gfedge.__version__}",
        }


async def test_our_chunk_leads_back_to_the_job(client: Api) -> None:
    job = await client.generate(seed=41, n=2)
    for index, output in enumerate(job["outputs"]):
        origin = json.loads((await texts(client, output))["gfedge"])
        trace = origin.pop("trace")
        assert origin == {
            "job_id": job["id"],
            "kind": "generate",
            "model": "sprite@1",
            "model_digest": job["model"]["digest"],
            "seed": 41 + index,
        }
        path = trace.removeprefix("http://127.0.0.1:8000")
        assert path == f"{JOBS}/{job['id']}/trace"
        assert (await client.get(path))["subject"] == f"job:{job['id']}"


async def test_the_trace_address_is_the_public_one(serving: Serving) -> None:
    client = await serving(public_url="https://art.example/")
    output = (await client.generate())["outputs"][0]
    trace = json.loads((await texts(client, output))["gfedge"])["trace"]
    assert trace.startswith("https://art.example/api/v1/ml-platform/ai-jobs/")


async def test_an_upscaled_picture_says_by_what(client: Api) -> None:
    job = await client.upscale(builders.png_file(), scale=3)
    found = await texts(client, job["outputs"][0])
    origin = json.loads(found["gfedge"])
    assert (origin["job_id"], origin["kind"], origin["seed"]) == (job["id"], "superres", None)
    assert origin["model_digest"] == job["model"]["digest"]
    assert "Postprocess upscale by: 3" in found["parameters"]
    assert "Seed" not in found["parameters"]


async def test_a_pixel_copy_has_no_model_to_name(client: Api) -> None:
    job = await client.upscale(builders.png_file(), mode="pixel")
    origin = json.loads((await texts(client, job["outputs"][0]))["gfedge"])
    assert (origin["model"], origin["model_digest"]) == (None, None)


async def test_any_prompt_is_kept_in_the_picture(client: Api) -> None:
    prompt = "röter Drache 龍 🐉"
    output = (await client.generate(prompt))["outputs"][0]
    assert (await texts(client, output))["parameters"].startswith(prompt + "\n")
