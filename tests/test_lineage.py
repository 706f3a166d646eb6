"""The lineage graph: walks in both directions, their bounds, and what slices tell of their nodes."""

from __future__ import annotations

import itertools
import time
from typing import Any
from urllib.parse import quote

import builders
import pytest
from conftest import Api, Serving

from gfedge import keys
from gfedge.lineage.types import Kind, edge

PLATFORM = "/api/v1/ml-platform"
LINEAGE = f"{PLATFORM}/lineage"


async def lineage(api: Api, kind: str, node_id: str, **query: Any) -> Any:
    found = await api.get(f"{LINEAGE}/{kind}/{quote(node_id, safe='')}", **query)
    shown = {f"{node['kind']}:{node['id']}" for node in found["nodes"]} | {found["subject"]}
    assert {end for one in found["edges"] for end in (one["source"], one["target"])} <= shown
    return found


def ids(found: Any, kind: str) -> list[str]:
    return [node["id"] for node in found["nodes"] if node["kind"] == kind]


async def chain(api: Api, length: int, kind: Kind = "job") -> list[str]:
    """Nodes n-0 -> n-1 -> …, as some slice would write them."""
    names = [f"n-{i}" for i in range(length + 1)]
    pairs = itertools.pairwise(names)
    db = api.http.app[keys.DB]  # type: ignore[union-attr]
    await db.insert(
        *(edge((kind, a), "made", (kind, b), float(i)) for i, (a, b) in enumerate(pairs))
    )
    return names


async def test_recall_finds_every_picture_of_a_model_and_nothing_else(client: Api) -> None:
    jobs = [await client.generate("red dragon", seed=n, n=2) for n in range(2)]
    other = await client.upscale(builders.png_file())
    recall = await lineage(client, "model_version", "sprite@1", direction="down", kinds="asset")
    wanted = {output["sha256"] for job in jobs for output in job["outputs"]}
    assert set(ids(recall, "asset")) == wanted
    assert other["outputs"][0]["sha256"] not in wanted
    assert [node["kind"] for node in recall["nodes"]] == ["asset"] * 4
    assert all(node["steps"] == 2 for node in recall["nodes"])
    assert not recall["truncated"]
    for node in recall["nodes"]:
        await client.bytes(node["href"])
        assert node["facts"]["width"] == builders.SIZE


async def test_a_picture_made_of_a_picture_is_recalled_too(client: Api) -> None:
    made = (await client.generate("red dragon", seed=1))["outputs"][0]
    again = await client.call(
        "POST",
        "/api/v1/ai/superres",
        200,
        json={"asset": made["sha256"]},
        headers={"Prefer": "wait=60"},
    )
    recall = await lineage(client, "model_version", "sprite@1", direction="down", kinds="asset")
    assert [(n["id"], n["steps"]) for n in recall["nodes"]] == [
        (made["sha256"], 2),
        (again["outputs"][0]["sha256"], 4),
    ]


async def trained(api: Api, dataset: str, commit: str = "") -> Any:
    """A finished run that read a dataset."""
    source = (
        {"source": {"commit": commit, "repository": "https://example.org/code"}} if commit else {}
    )
    if not (await api.get(f"{PLATFORM}/experiments", name="learning"))["experiments"]:
        await api.call("POST", f"{PLATFORM}/experiments", 201, json={"name": "learning"})
    run = await api.call("POST", f"{PLATFORM}/experiments/learning/runs", 201, json=source)
    inputs = {"datasets": [{"name": dataset, "digest": "sha256:00", "context": "training"}]}
    return await api.call("POST", f"{PLATFORM}/runs/{run['id']}/inputs", json=inputs)


async def test_every_run_and_model_trained_on_a_dataset(client: Api) -> None:
    runs = [await trained(client, "tiles") for _ in range(2)]
    await trained(client, "other tiles")
    dataset = runs[0]["inputs"][0]["dataset_id"]
    db = client.http.app[keys.DB]  # type: ignore[union-attr]
    await db.insert(edge(("run", runs[0]["id"]), "produced", ("model_version", "sprite@1"), 1.0))
    found = await lineage(client, "dataset", dataset, direction="down", kinds="run,model_version")
    assert set(ids(found, "run")) == {run["id"] for run in runs}
    assert ids(found, "model_version") == ["sprite@1"]
    run = next(node for node in found["nodes"] if node["kind"] == "run")
    assert run["facts"]["status"] == "running"
    assert (await client.get(run["href"]))["id"] == run["id"]


async def test_a_run_leads_to_its_dataset_and_its_code(client: Api) -> None:
    run = await trained(client, "tiles/cleared@2", commit="0a1b2c")
    found = await lineage(client, "run", run["id"], direction="up")
    assert ids(found, "commit") == ["0a1b2c"]
    by_kind = {node["kind"]: node for node in found["nodes"]}
    assert by_kind["commit"]["facts"]["repository"] == "https://example.org/code"
    assert by_kind["commit"]["steps"] == -1
    assert by_kind["dataset"]["facts"]["name"] == "tiles/cleared@2"
    assert (await client.get(by_kind["dataset"]["href"]))["name"] == "tiles/cleared@2"


async def test_ids_with_slashes_and_at_signs(client: Api) -> None:
    db = client.http.app[keys.DB]  # type: ignore[union-attr]
    await db.insert(edge(("dataset", "s3://x/y@1 &?#é"), "input", ("run", "a/b"), 1.0))
    found = await lineage(client, "dataset", "s3://x/y@1 &?#é")
    assert found["subject"] == "dataset:s3://x/y@1 &?#é"
    assert ids(found, "run") == ["a/b"]
    assert ids(await client.get(f"{LINEAGE}/run/a/b"), "dataset") == ["s3://x/y@1 &?#é"]


async def test_directions_and_steps(client: Api) -> None:
    names = await chain(client, 4)
    both = await lineage(client, "job", "n-2")
    assert [(n["id"], n["steps"]) for n in both["nodes"]] == [
        ("n-2", 0), ("n-1", -1), ("n-3", 1), ("n-0", -2), ("n-4", 2),
    ]  # fmt: skip
    up = await lineage(client, "job", "n-2", direction="up")
    assert ids(up, "job") == ["n-2", "n-1", "n-0"]
    down = await lineage(client, "job", "n-2", direction="down")
    assert ids(down, "job") == ["n-2", "n-3", "n-4"]
    assert len(both["edges"]) == len(names) - 1
    assert both["edges"][0] == {"source": "job:n-0", "target": "job:n-1", "relation": "made"}


async def test_depth_is_a_bound_that_says_so(client: Api) -> None:
    await chain(client, 12)
    eight = await lineage(client, "job", "n-12", direction="up")
    assert ids(eight, "job") == [f"n-{i}" for i in range(12, 3, -1)]
    assert eight["truncated"]
    assert eight["next"] is None
    whole = await lineage(client, "job", "n-12", direction="up", depth=12)
    assert len(whole["nodes"]) == 13
    assert not whole["truncated"]
    assert ids(await lineage(client, "job", "n-12", depth=0), "job") == ["n-12"]


async def test_nodes_come_in_pages(client: Api) -> None:
    db = client.http.app[keys.DB]  # type: ignore[union-attr]
    made = [f"{i:064x}" for i in range(25)]
    await db.insert(*(edge(("job", "big"), "output", ("asset", sha), 1.0) for sha in made))
    await db.insert(edge(("model_version", "m@1"), "ran", ("job", "big"), 1.0))
    first = await lineage(client, "model_version", "m@1", direction="down", limit=10)
    assert first["truncated"]
    assert [node["kind"] for node in first["nodes"]] == ["model_version", "job"] + ["asset"] * 8
    for direction in ("down", "both"):
        paged = await client.pages(
            f"{LINEAGE}/model_version/m@1", "nodes", 10, direction=direction, kinds="asset"
        )
        assert sorted(node["id"] for node in paged) == made


async def test_a_node_met_on_two_ways_is_there_once(client: Api) -> None:
    db = client.http.app[keys.DB]  # type: ignore[union-attr]
    await chain(client, 3)
    await db.insert(
        edge(("job", "n-0"), "made", ("job", "n-3"), 1.0),
        edge(("job", "n-0"), "made", ("job", "n-3"), 2.0),
        edge(
            ("job", "n-3"), "made", ("job", "n-0"), 2.0
        ),  # nobody writes a circle; one must not hang
    )
    found = await lineage(client, "job", "n-3", direction="up")
    assert [(n["id"], n["steps"]) for n in found["nodes"]] == [
        ("n-3", 0), ("n-0", -1), ("n-2", -1), ("n-1", -2),
    ]  # fmt: skip
    assert len(found["edges"]) == 5


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("job/nothing", 404, "node_not_found"),
        ("pictures/x", 404, "unknown_kind"),
        ("job/x?kinds=asset,nonsense", 422, "unknown_kind"),
        ("job/x?direction=sideways", 422, "invalid"),
        ("job/x?depth=65", 422, "invalid"),
        ("job/x?limit=0", 422, "invalid"),
        ("job/x?cursor=%21", 422, "bad_cursor"),
        ("job/x?deep=1", 422, "invalid"),
    ],
)
async def test_what_is_refused(client: Api, path: str, status: int, code: str) -> None:
    await client.refused("GET", f"{LINEAGE}/{path}", status, code)


async def test_lineage_is_complete_after_a_restart(serving: Serving) -> None:
    api = await serving()
    job = await api.generate("red dragon", seed=3)
    api = await serving()
    sha256 = job["outputs"][0]["sha256"]
    found = await lineage(api, "asset", sha256, direction="up")
    assert [node["kind"] for node in found["nodes"]] == [
        "asset", "job", "model_version", "training_run", "dataset",
    ]  # fmt: skip
    facts = {node["kind"]: node["facts"] for node in found["nodes"]}
    assert facts["job"]["prompt"] == "red dragon"
    assert facts["job"]["seed"] == 3
    assert facts["model_version"]["digest"] == job["model"]["digest"]
    assert facts["dataset"]["licence"] == "CC0-1.0"
    assert time.time() - facts["job"]["finished_at"] < 3600
