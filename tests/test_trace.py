"""Traces: from a job, an asset or a file back to the models, trainings and data behind it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import builders
import numpy as np
import pytest
from conftest import JOBS, Api, Serving
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from gfedge import keys
from gfedge.ai.asked import told
from gfedge.cli.trace import readable
from gfedge.lineage.types import edge

LONG = {"prompt": f"red {builders.SLOW}", "steps": 100}
TRACE = "/api/v1/trace"


def node(trace: Any, kind: str) -> Any:
    """The one node of a kind."""
    found = [one for one in trace["nodes"] if one["kind"] == kind]
    assert len(found) == 1, found
    return found[0]


def edges(trace: Any) -> set[tuple[str, str, str]]:
    return {(e["source"], e["relation"], e["target"]) for e in trace["edges"]}


def well_formed(trace: Any) -> None:
    keys = [f"{one['kind']}:{one['id']}" for one in trace["nodes"]]
    assert len(set(keys)) == len(keys) == len(trace["chain"])
    assert trace["subject"] in keys
    assert {end for source, _, target in edges(trace) for end in (source, target)} <= set(keys)
    assert len(edges(trace)) == len(trace["edges"])


async def by_file(api: Api, data: bytes, kind: str = "image/png") -> Any:
    trace = await api.call("POST", TRACE, data=data, headers={"Content-Type": kind})
    well_formed(trace)
    return trace


async def test_a_job_is_traced_to_its_model_and_the_data_behind(client: Api) -> None:
    job = await client.generate("red dragon", seed=9)
    trace = await client.get(f"{JOBS}/{job['id']}/trace")
    well_formed(trace)
    assert trace["subject"] == f"job:{job['id']}"
    key, run = f"job:{job['id']}", f"run:{job['run_id']}"
    asset, experiment = (
        f"asset:{job['outputs'][0]['sha256']}",
        f"experiment:{job['experiment_id']}",
    )
    assert edges(trace) == {
        ("dataset:generate-test-data", "trained", "training_run:generate-test-training"),
        ("training_run:generate-test-training", "produced", "model_version:sprite@1"),
        ("model_version:sprite@1", "ran", key),
        (key, "output", asset),
        (key, "recorded_as", run),
        (run, "belongs_to", experiment),
    }
    shown = node(trace, "job")
    assert (shown["pipeline"], shown["status"], shown["seed"]) == ("generate", "succeeded", 9)
    assert shown["params"]["prompt"] == "red dragon"
    assert "requester" not in shown
    assert "idempotency_key" not in shown
    assert node(trace, "model_version")["digest"] == job["model"]["digest"]
    assert node(trace, "dataset")["licence"] == "CC0-1.0"
    assert node(trace, "training_run")["parameters"] == 1234
    assert node(trace, "asset")["pixels_sha256"] == job["outputs"][0]["pixels_sha256"]
    assert node(trace, "experiment")["name"] == "ai-generate"


async def test_the_chain_reads_from_the_picture_to_the_data(client: Api) -> None:
    job = await client.generate("red dragon", seed=9)
    chain = (await client.get(f"/api/v1/assets/{job['outputs'][0]['sha256']}/trace"))["chain"]
    kinds = ["asset", "job", "run", "experiment", "model", "training run", "dataset"]
    assert [line.startswith(kind) for line, kind in zip(chain, kinds, strict=True)] == [True] * 7
    assert chain[0].endswith(f"was made by job {job['id']} with seed 9")
    assert chain[1].endswith('"red dragon", seed 9, 4 steps of euler, guidance 2 on sprite@1')
    assert job["model"]["digest"] in chain[4]


async def test_the_chain_says_every_option_and_the_seed_of_the_picture(client: Api) -> None:
    options = {
        "negative_prompt": "blue", "style": "royal", "n": 2, "steps": 3, "sampler": "heun",
        "guidance_scale": 3, "tileable": True, "palette": 5, "scale": 2, "background": "#102030",
        "outline": {"colour": "#ff8800", "width": 2},
    }  # fmt: skip
    job = await client.generate("red dragon", seed=9, **options)
    second = job["outputs"][1]
    chain = (await client.get(f"/api/v1/assets/{second['sha256']}/trace"))["chain"]
    made = f"made by job {job['id']} with seed 10, seam score {second['seam_score']:.2f}"
    assert chain[0].endswith(made)
    assert (
        'ran generate "red dragon" without "blue" in style royal, 2 pictures, tileable, 5 colours,'
        " outline #ff8800 2 wide, scale 2, background #102030, seeds 9 to 10, 3 steps of heun,"
        " guidance 3 on sprite@1, superres@1"
    ) in chain[1]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, ""),
        ({"scale": 4, "mode": "smooth"}, "scale 4"),
        ({"scale": 2, "mode": "pixel", "tileable": True}, "scale 2, mode pixel, tileable"),
        ({"pictures": ["a", "b"], "names": ["sprite-0", "sprite-1"], "name": "sheet"}, "of 2 pictures"),
        (
            {"pictures": ["a"], "names": ["x"], "name": "all", "columns": 3, "padding": 1, "power_of_two": True},
            "of 1 picture, named all, frames named x, 3 columns, padding 1, sides of powers of two",
        ),
        ({"prompt": "x", "init_image": "a", "strength": 0.6}, '"x" over a picture, strength 0.6'),
        ({"prompt": "x", "init_image": "a", "mask": "b", "strength": 1.0}, '"x" into the masked part of a picture'),
        ({"prompt": "x", "init_image": "a", "mask": "b", "strength": 0.5}, '"x" into the masked part of a picture, strength 0.5'),
        ({"prompt": "x", "palette": ["#000000", "#ffffff"]}, '"x", palette #000000 #ffffff'),
        ({"prompt": "x", "palette": ["#000000"] * 9}, '"x", palette of 9 colours'),
        ({"prompt": "x", "palette_image": "a"}, '"x", the colours of a picture'),
        ({"prompt": "x", "palette_image": "a", "palette": 8}, '"x", 8 colours of a picture'),
        ({"prompt": "x", "outline": {"colour": "#000000", "width": 1}}, '"x", outline #000000'),
    ],
)  # fmt: skip
def test_what_was_asked_is_told_in_few_words(params: dict[str, Any], said: str) -> None:
    assert told(params, None) == said


async def test_an_asset_is_traced_by_its_digest(client: Api) -> None:
    job = await client.generate(n=2)
    for output in job["outputs"]:
        trace = await client.get(f"/api/v1/assets/{output['sha256']}/trace")
        well_formed(trace)
        assert trace["subject"] == f"asset:{output['sha256']}"
        assert trace["matched"] == "bytes"
        assert node(trace, "job")["id"] == job["id"]
        assert node(trace, "model_version")["id"] == "sprite@1"


async def test_a_file_is_known_by_its_bytes(client: Api) -> None:
    output = (await client.generate())["outputs"][0]
    trace = await by_file(client, await client.bytes(output["url"]))
    assert trace == await client.get(f"/api/v1/assets/{output['sha256']}/trace")


@pytest.mark.parametrize("kind", ["PNG", "WebP"])
async def test_a_file_saved_anew_is_known_by_its_pixels(client: Api, kind: str) -> None:
    output = (await client.generate(scale=2))["outputs"][0]
    image = Image.open(io.BytesIO(await client.bytes(output["url"]))).convert("RGBA")
    options = {"lossless": True, "exact": True} if kind == "WebP" else {"optimize": True}
    anew = builders.picture_file(np.asarray(image), kind, **options)
    trace = await by_file(client, anew, f"image/{kind.lower()}")
    assert trace["matched"] == "pixels"
    assert trace["subject"] == f"asset:{output['sha256']}"


async def painted_over(api: Api, output: Any, **texts: str) -> bytes:
    """The picture with another pixel, saved with its text chunks (or others)."""
    image = Image.open(io.BytesIO(await api.bytes(output["url"])))
    kept = dict(image.text)  # type: ignore[attr-defined]
    image.putpixel((0, 0), (1, 2, 3, 255))
    info, out = PngInfo(), io.BytesIO()
    for name, text in (texts or kept).items():
        info.add_text(name, text)
    image.save(out, "PNG", pnginfo=info)
    return out.getvalue()


async def test_a_changed_picture_is_known_by_its_metadata(client: Api) -> None:
    job = await client.generate()
    trace = await by_file(client, await painted_over(client, job["outputs"][0]))
    assert trace["matched"] == "metadata"
    assert trace["subject"] == f"job:{job['id']}"
    assert node(trace, "model_version")["digest"] == job["model"]["digest"]


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "{}",
        '{"job_id": 7}',
        json.dumps({"job_id": "x", "kind": "", "model": None, "model_digest": None, "seed": 1,
                    "trace": "http://evil.example/"}),
        json.dumps({"job_id": "x" * 10_000, "kind": "", "model": None, "model_digest": None,
                    "seed": 1, "trace": ""}),
        "[" * 10_000,
    ],
    ids=lambda text: f"{text[:12]}{len(text)}",
)  # fmt: skip
async def test_a_forged_chunk_tells_nothing(client: Api, text: str) -> None:
    job = await client.generate()
    data = await painted_over(client, job["outputs"][0], gfedge=text)
    async with client.http.request(
        "POST", TRACE, data=data, headers={"Content-Type": "image/png"}
    ) as response:
        assert response.status == 404
        assert response.content_type == "application/problem+json"
        assert len(await response.read()) < 1000


async def test_an_unknown_picture_is_a_problem(client: Api) -> None:
    await client.generate()
    headers = {"Content-Type": "image/png"}
    await client.refused(
        "POST", TRACE, 404, "unknown_picture", data=builders.png_file(), headers=headers
    )
    await client.refused("GET", f"/api/v1/assets/{'0' * 64}/trace", 404, "asset_not_found")


async def test_an_upscaled_sprite_is_traced_through_both_jobs(client: Api) -> None:
    drawn = await client.generate("red dragon")
    source = drawn["outputs"][0]["sha256"]
    body, headers = {"asset": source, "scale": 2}, {"Prefer": "wait=30"}
    large = await client.call("POST", "/api/v1/ai/superres", json=body, headers=headers)
    trace = await by_file(client, await client.bytes(large["outputs"][0]["url"]))
    kinds = [one["kind"] for one in trace["nodes"]]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "asset": 2,
        "job": 2,
        "run": 2,
        "experiment": 2,
        "model_version": 2,
        "training_run": 2,
        "dataset": 2,
    }
    path = [
        ("dataset:generate-test-data", "trained", "training_run:generate-test-training"),
        ("training_run:generate-test-training", "produced", "model_version:sprite@1"),
        ("model_version:sprite@1", "ran", f"job:{drawn['id']}"),
        (f"job:{drawn['id']}", "output", f"asset:{source}"),
        (f"asset:{source}", "input", f"job:{large['id']}"),
        (f"job:{large['id']}", "output", f"asset:{large['outputs'][0]['sha256']}"),
    ]
    assert edges(trace) >= set(path)


async def test_a_sprite_upscaled_in_its_own_job_names_both_models(client: Api) -> None:
    job = await client.generate(scale=4)
    trace = await client.get(f"{JOBS}/{job['id']}/trace")
    well_formed(trace)
    models = {one["id"] for one in trace["nodes"] if one["kind"] == "model_version"}
    assert models == {"sprite@1", "superres@1"}
    assert "sprite@1, superres@1" in trace["chain"][1]


async def test_an_uploaded_picture_was_sent_by_a_client(client: Api) -> None:
    job = await client.upscale(builders.png_file())
    trace = await client.get(f"/api/v1/assets/{job['inputs'][0]}/trace")
    assert [one["kind"] for one in trace["nodes"]] == ["asset"]
    assert "was sent by a client" in trace["chain"][0]


async def test_a_job_that_waits_is_traced_too(serving: Serving) -> None:
    client = await serving(max_running=1)
    source = (await client.generate())["outputs"][0]["sha256"]
    running = await client.submit(**LONG)
    queued = await client.call("POST", "/api/v1/ai/superres", 202, json={"asset": source})
    trace = await client.get(f"{JOBS}/{queued['id']}/trace")
    well_formed(trace)
    assert (f"asset:{source}", "input", f"job:{queued['id']}") in edges(trace)
    assert ("model_version:superres@1", "ran", f"job:{queued['id']}") in edges(trace)
    shown = [one for one in trace["nodes"] if one["id"] == queued["id"]]
    assert shown[0]["status"] == "queued"
    assert {one["id"] for one in trace["nodes"] if one["kind"] == "model_version"} == {
        "sprite@1",
        "superres@1",
    }
    await client.cancel(queued, running)


async def test_a_trace_is_whole_at_every_moment_of_a_job(client: Api) -> None:
    for seed in range(5):
        job = await client.submit(seed=seed, steps=10)
        status = ""
        while status != "succeeded":
            trace = await client.get(f"{JOBS}/{job['id']}/trace")
            well_formed(trace)
            status = node(trace, "job")["status"]
            assert status in ("queued", "running", "succeeded")
            assert (f"job:{job['id']}", "recorded_as", f"run:{job['run_id']}") in edges(trace)


async def test_a_job_without_pictures_is_traced(client: Api) -> None:
    job = await client.until((await client.submit(f"red {builders.CURSE}"))["id"])
    trace = await client.get(f"{JOBS}/{job['id']}/trace")
    well_formed(trace)
    assert "(failed)" in trace["chain"][0]
    assert node(trace, "job")["error"]["code"] == "engine_error"


async def test_a_picture_made_twice_names_both_jobs(client: Api) -> None:
    jobs = [await client.upscale(builders.png_file(), mode="pixel") for _ in range(2)]
    source = jobs[0]["inputs"][0]
    assert jobs[1]["inputs"] == [source]
    for job in jobs:
        trace = await client.get(f"{JOBS}/{job['id']}/trace")
        assert (f"asset:{source}", "input", f"job:{job['id']}") in edges(trace)


async def test_a_trace_survives_a_restart(serving: Serving) -> None:
    client = await serving()
    job = await client.generate(scale=2)
    before = await client.get(f"{JOBS}/{job['id']}/trace")
    assert await (await serving()).get(f"{JOBS}/{job['id']}/trace") == before


async def test_a_trace_goes_on_to_the_code_that_a_model_folder_names(
    models: Path, serving: Serving
) -> None:
    toml = models / "sprite" / "1" / "model.toml"
    code = 'commit = "4e1f0c2"\nrepository = "https://example.org/art"\nparameters ='
    toml.write_text(toml.read_text("utf-8").replace("parameters =", code), "utf-8")
    client = await serving()
    job = await client.generate("red dragon", seed=9)
    trace = await client.get(f"{JOBS}/{job['id']}/trace")
    well_formed(trace)
    assert ("commit:4e1f0c2", "ran", "training_run:generate-test-training") in edges(trace)
    assert node(trace, "commit")["repository"] == "https://example.org/art"
    assert node(trace, "commit")["entry_point"] == "tests/builders.py"
    assert trace["chain"][-1] == "commit 4e1f0c2 of https://example.org/art"
    assert any(line.endswith(", ran commit 4e1f0c2") for line in trace["chain"])


async def test_a_trace_goes_on_to_the_run_the_data_and_the_code(client: Api) -> None:
    """As it is where a version was registered from a run of this server."""
    job = await client.generate("red dragon", seed=9)
    await client.call("POST", "/api/v1/ml-platform/experiments", 201, json={"name": "learning"})
    source = {"commit": "0a1b2c", "repository": "https://example.org/code"}
    at = "/api/v1/ml-platform/experiments/learning/runs"
    run = await client.call("POST", at, 201, json={"name": "night", "source": source})
    inputs = {"datasets": [{"name": "tiles", "digest": "sha256:00"}]}
    await client.call("POST", f"/api/v1/ml-platform/runs/{run['id']}/inputs", json=inputs)
    version = ("model_version", job["model"]["name"] + "@" + job["model"]["version"])
    made = edge(("run", run["id"]), "produced", version, 1.0)  # type: ignore[arg-type]
    await client.http.app[keys.DB].insert(made)  # type: ignore[union-attr]
    trace = await client.get(f"{JOBS}/{job['id']}/trace")
    well_formed(trace)
    assert node(trace, "commit")["repository"] == "https://example.org/code"
    chain = [line for line in trace["chain"] if "0a1b2c" in line]
    assert chain[0].startswith(f"run {run['id']} (night, running), read dataset ")
    assert chain[-1] == "commit 0a1b2c of https://example.org/code"
    assert any(f"produced by run {run['id']}" in line for line in trace["chain"])
    drawn = "\n".join(readable(trace))
    assert "commit 0a1b2c" in drawn
    assert drawn.index("model sprite@1") < drawn.index(f"run {run['id']} (night")
