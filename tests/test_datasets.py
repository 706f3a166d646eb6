"""Datasets: known by name and digest, read by runs, and where the lineage begins."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from conftest import Api, Serving

from gfedge import migrate
from gfedge.db import Database
from gfedge.lineage import store as lineage

DATASETS, RUNS = "/api/v1/ml-platform/datasets", "/api/v1/ml-platform/runs"
EXPERIMENTS = "/api/v1/ml-platform/experiments"
SPRITES = {
    "name": "sprites",
    "digest": "sha256:00ff",
    "source_type": "http",
    "source": "https://example.org/sprites.zip",
    "schema": {"columns": [{"name": "picture", "type": "png"}]},
    "profile": {"rows": 1000},
}


async def begin(client: Api, name: str = "run") -> Any:
    async with client.http.request("POST", EXPERIMENTS, json={"name": "e"}) as response:
        assert response.status in (201, 409)
    return await client.call("POST", f"{EXPERIMENTS}/e/runs", 201, json={"name": name})


async def link(client: Api, run: Any, *datasets: dict[str, Any]) -> Any:
    body = {"datasets": list(datasets)}
    return await client.call("POST", f"{RUNS}/{run['id']}/inputs", json=body)


@pytest.mark.parametrize("value", ["a text, not an object", "7", 7, True, [], {"columns": [None]}])
async def test_schema_and_profile_are_any_json(client: Api, value: Any) -> None:
    body = {"name": "tiles", "digest": "d", "schema": value, "profile": value}
    made = await client.call("POST", "/api/v1/ml-platform/datasets", 201, json=body)
    found = await client.get(f"/api/v1/ml-platform/datasets/{made['id']}")
    assert (found["schema"], found["profile"]) == (value, value)


async def test_a_dataset_is_known_by_name_and_digest(serving: Serving) -> None:
    client = await serving()
    made = await client.call("POST", DATASETS, 201, json=SPRITES)
    assert made.items() >= {**SPRITES, "run_count": 0}.items()
    assert await client.call("POST", DATASETS, 200, json={**SPRITES, "source": "x"}) == made
    other = await client.call("POST", DATASETS, 201, json={**SPRITES, "digest": "2"})
    client = await serving()
    assert await client.get(f"{DATASETS}/{made['id']}") == made
    assert await client.pages(DATASETS, "datasets", 1) == [other, made]
    assert (await client.get(DATASETS, name="PRITE", digest="2"))["datasets"] == [other]
    assert (await client.get(DATASETS, name="tiles"))["datasets"] == []


async def test_one_dataset_sent_by_many_at_once_is_one(client: Api) -> None:
    async def send() -> int:
        async with client.http.request("POST", DATASETS, json=SPRITES) as response:
            return response.status

    assert sorted(await asyncio.gather(*(send() for _ in range(8)))) == [*[200] * 7, 201]
    assert len((await client.get(DATASETS))["datasets"]) == 1


async def test_a_run_names_the_datasets_it_reads(serving: Serving, tmp_path: Path) -> None:
    client = await serving()
    run, other = await begin(client, "one"), await begin(client, "two")
    shown = await link(client, run, {**SPRITES, "context": "training"}, {**SPRITES, "digest": "2"})
    assert [(i["name"], i["digest"], i["context"]) for i in shown["inputs"]] == [
        ("sprites", "sha256:00ff", "training"),
        ("sprites", "2", ""),
    ]
    again = await link(client, run, {**SPRITES, "context": "evaluation"})
    assert again == shown, "a link that is there stays"
    await client.call("PATCH", f"{RUNS}/{other['id']}", json={"status": "finished"})
    await link(client, other, SPRITES)
    dataset = shown["inputs"][0]["dataset_id"]
    assert (await client.get(f"{DATASETS}/{dataset}"))["run_count"] == 2
    client = await serving()
    assert await client.get(f"{RUNS}/{run['id']}") == shown
    readers = await client.pages(f"{DATASETS}/{dataset}/runs", "runs", 1)
    assert [r["name"] for r in readers] == ["two", "one"]


async def test_runs_are_found_by_their_datasets(client: Api) -> None:
    runs = [await begin(client, name) for name in "abc"]
    await link(
        client, runs[0], {**SPRITES, "context": "training"}, {"name": "tiles", "digest": "9"}
    )
    await link(client, runs[1], {"name": "Tiles", "digest": "8", "context": "evaluation"})
    for text, wanted in {
        "datasets.name = 'sprites'": "a",
        "dataset.name ilike 'tiles'": "ba",
        "datasets.name like 'tiles'": "a",
        "datasets.digest in ('8', '9')": "ba",
        "datasets.context = 'evaluation' or datasets.name = 'sprites'": "ba",
        "datasets.name != 'sprites'": "ba",
        "datasets.name is null": "c",
        "datasets.name is not null": "ba",
    }.items():
        shown = (await client.get(RUNS, filter=text))["runs"]
        assert "".join(run["name"] for run in shown) == wanted, text


async def test_lineage_leads_from_the_dataset_to_the_run(serving: Serving, tmp_path: Path) -> None:
    client = await serving()
    run = await begin(client)
    inputs = (await link(client, run, SPRITES))["inputs"]
    await link(client, run, SPRITES)
    await client.http.close()  # type: ignore[union-attr]
    db = Database(tmp_path / "data" / "gfedge.duckdb")
    db.open(migrate.migrate)
    try:
        nodes = await db.read(lineage.ancestors, ("run", run["id"]))
        assert nodes == [("run", run["id"]), ("dataset", inputs[0]["dataset_id"])]
        edges = await db.read(lineage.edges_between, nodes)
        assert [edge.relation for edge in edges] == ["input"]
    finally:
        await asyncio.to_thread(db.close)


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "a\n"},
        {"digest": ""},
        {"digest": "a b"},
        {"source": 1},
        {"colour": 1},
        {"source": "x" * 65_537},
    ],
    ids=str,
)
async def test_a_bad_dataset_is_refused(client: Api, change: dict[str, Any]) -> None:
    await client.refused("POST", DATASETS, 422, "invalid", json={**SPRITES, **change})


async def test_what_is_not_there_is_a_problem(client: Api) -> None:
    await client.refused("GET", f"{DATASETS}/x", 404, "dataset_not_found")
    await client.refused("GET", f"{DATASETS}/x/runs", 404, "dataset_not_found")
    body = {"datasets": [SPRITES]}
    await client.refused("POST", f"{RUNS}/x/inputs", 404, "run_not_found", json=body)
    run = await begin(client)
    path = f"{RUNS}/{run['id']}/inputs"
    await client.refused("POST", path, 422, "invalid", json={"datasets": []})
    await client.call("DELETE", f"{RUNS}/{run['id']}")
    await client.refused("POST", path, 409, "run_deleted", json=body)
