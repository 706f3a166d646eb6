"""Experiments that change, and runs that report while they run."""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from conftest import Api, Process, Serving
from yarl import URL

from gfedge import migrate
from gfedge.db import Cursor, Database

EXPERIMENTS, RUNS = "/api/v1/ml-platform/experiments", "/api/v1/ml-platform/runs"


async def experiment(client: Api, name: str = "sprites", **more: Any) -> Any:
    return await client.call("POST", EXPERIMENTS, 201, json={"name": name, **more})


async def begin(client: Api, where: str = "sprites", **body: Any) -> Any:
    """A new run of an experiment that is made if need be."""
    async with client.http.request("POST", EXPERIMENTS, json={"name": where}) as response:
        assert response.status in (201, 409)
    return await client.call("POST", f"{EXPERIMENTS}/{where}/runs", 201, json=body)


async def log(client: Api, run: Any, status: int = 200, **batch: Any) -> Any:
    return await client.call("POST", f"{RUNS}/{run['id']}/log", status, json=batch)


async def report(client: Api, run: Any, **values: float) -> None:
    """One point of each of these metrics."""
    await log(client, run, metrics=[{"key": k, "value": v} for k, v in values.items()])


async def end(client: Api, run: Any, status: str = "finished") -> Any:
    return await client.call("PATCH", f"{RUNS}/{run['id']}", json={"status": status})


async def found(client: Api, text: str = "", **query: Any) -> list[str]:
    """Names of the runs that a filter finds, in its order."""
    return [run["name"] for run in (await client.get(RUNS, filter=text, **query))["runs"]]


# -- experiments --------------------------------------------------------------------------------


async def test_an_experiment_is_changed_and_stays_so(serving: Serving) -> None:
    client = await serving()
    made = await experiment(client, tags={"team": "art", "old": "1"})
    change = {"name": "tiles", "description": "new", "tags": {"old": None, "level": "2"}}
    change["headline"] = {"metric": "loss", "goal": "min"}
    changed = await client.call("PATCH", f"{EXPERIMENTS}/{made['id']}", json=change)
    wanted = {"name": "tiles", "description": "new", "tags": {"team": "art", "level": "2"}}
    assert changed.items() >= {**wanted, "headline": change["headline"]}.items()
    await client.refused("GET", f"{EXPERIMENTS}/sprites", 404, "experiment_not_found")
    client = await serving()
    assert await client.get(f"{EXPERIMENTS}/tiles") == changed
    cleared = await client.call("PATCH", f"{EXPERIMENTS}/tiles", json={"headline": None})
    assert cleared == {**changed, "headline": None, "updated_at": cleared["updated_at"]}


async def test_an_experiment_cannot_take_anothers_name(client: Api) -> None:
    await experiment(client, "one")
    await experiment(client, "two")
    path = f"{EXPERIMENTS}/two"
    await client.refused("PATCH", path, 409, "experiment_exists", json={"name": "one"})
    assert (await client.call("PATCH", path, json={"name": "two"}))["name"] == "two"
    await client.refused("PATCH", path, 422, "invalid", json={"nmae": "x"})
    await client.refused("PATCH", path, 422, "invalid", json={"headline": {"metric": ""}})


async def test_a_deleted_experiment_is_hidden_and_comes_back(serving: Serving) -> None:
    client = await serving()
    made = await experiment(client)
    run = await begin(client, name="a")
    deleted = await client.call("DELETE", f"{EXPERIMENTS}/sprites")
    assert deleted["deleted_at"] > 0
    assert await client.call("DELETE", f"{EXPERIMENTS}/sprites") == deleted

    async def names(**query: Any) -> list[str]:
        return [e["name"] for e in (await client.get(EXPERIMENTS, **query))["experiments"]]

    assert (await names(), await names(view="deleted")) == ([], ["sprites"])
    assert await names(view="all") == ["sprites"]
    assert await found(client) == []
    assert (await client.get(f"{EXPERIMENTS}/{made['id']}"))["deleted_at"] == deleted["deleted_at"]
    assert (await client.get(f"{RUNS}/{run['id']}"))["deleted_at"] is None
    for path, body in (
        (f"{EXPERIMENTS}/sprites/runs", {}),
        (EXPERIMENTS, {"name": "sprites"}),
        ("/api/v1/ai/generate", {"prompt": "red dragon", "experiment": "sprites"}),
    ):
        problem = await client.refused("POST", path, 409, "experiment_deleted", json=body)
        assert made["id"] in problem["detail"]
    client = await serving()
    assert await names() == []
    restored = await client.call("POST", f"{EXPERIMENTS}/sprites/restore")
    assert restored["deleted_at"] is None
    assert (await names(), await found(client)) == (["sprites"], ["a"])


async def test_a_deleted_experiment_that_is_renamed_frees_its_name(client: Api) -> None:
    old = await experiment(client)
    await client.call("DELETE", f"{EXPERIMENTS}/sprites")
    await client.call("PATCH", f"{EXPERIMENTS}/{old['id']}", json={"name": "sprites of old"})
    new = await experiment(client)
    await client.call("POST", f"{EXPERIMENTS}/{old['id']}/restore")
    names = {e["name"]: e["id"] for e in (await client.get(EXPERIMENTS))["experiments"]}
    assert names == {"sprites": new["id"], "sprites of old": old["id"]}


async def test_the_servers_own_experiments_stay(client: Api) -> None:
    await client.generate()
    path = f"{EXPERIMENTS}/ai-generate"
    await client.refused("DELETE", path, 409, "experiment_needed")
    await client.refused("PATCH", path, 409, "experiment_needed", json={"name": "x"})
    await client.call("PATCH", path, json={"description": "what the server made"})


async def test_experiments_are_found_and_ordered(client: Api) -> None:
    await experiment(client, "b", tags={"team": "art", "level": "1"})
    await experiment(client, "a", tags={"team": "code"})
    await experiment(client, "c", tags={"level": "1=2"})
    for where, count in (("a", 2), ("c", 1)):
        for _ in range(count):
            await end(client, await begin(client, where))

    async def names(**query: Any) -> str:
        pages = await client.pages(EXPERIMENTS, "experiments", 2, **query)
        return "".join(e["name"] for e in pages)

    assert await names(tag="team") == "ab"
    assert await names(tag="team=art") == "b"
    assert await names(tag="level=1=2") == "c"
    orders = {"created": "bac", "-created": "cab", "name": "abc", "-name": "cba"}
    orders |= {"runs": "bca", "-runs": "acb", "activity": "bac", "-activity": "cab"}
    for order, wanted in orders.items():
        assert await names(order=order) == wanted, order
    await client.refused("GET", f"{EXPERIMENTS}?order=size", 422, "invalid")
    await client.refused("GET", f"{EXPERIMENTS}?cursor=x", 422, "bad_cursor")


async def test_an_experiment_shows_the_best_of_its_headline_metric(client: Api) -> None:
    await experiment(client, headline={"metric": "loss", "goal": "min"})
    runs = [await begin(client) for _ in range(5)]
    for run, loss in zip(runs, (0.5, 0.2, "NaN", "-Infinity", 0.1), strict=True):
        await report(client, run, loss=loss)
    await client.call("DELETE", f"{RUNS}/{runs[4]['id']}")
    (shown,) = (await client.get(EXPERIMENTS))["experiments"]
    assert shown["best"] == {"run_id": runs[1]["id"], "value": 0.2}
    assert shown["run_count"] == 4
    highest = {"headline": {"metric": "loss", "goal": "max"}}
    changed = await client.call("PATCH", f"{EXPERIMENTS}/sprites", json=highest)
    assert changed["best"] == {"run_id": runs[0]["id"], "value": 0.5}
    other = {"headline": {"metric": "nothing"}}
    assert (await client.call("PATCH", f"{EXPERIMENTS}/sprites", json=other))["best"] is None


# -- runs ---------------------------------------------------------------------------------------


async def test_a_run_from_its_beginning_to_its_end(serving: Serving) -> None:
    client = await serving()
    source = {"commit": "4f2a", "entry_point": "train.py", "repository": ""}
    body = {"name": "first", "params": {"lr": "0.1"}, "tags": {"by": "ann"}, "source": source}
    run = await begin(client, **body)
    assert run.items() >= {**body, "status": "running", "kind": "user", "ended_at": None}.items()
    assert run["created_at"] == run["started_at"]
    points = [{"key": "loss", "value": 1 / (s + 1), "step": s, "logged_at": s} for s in range(5)]
    points.append({"key": "system/gpu", "value": 0.5, "logged_at": 9.5})
    logged = await log(client, run, metrics=points, params={"epochs": "5"}, tags={"by": "bob"})
    assert logged == {"run_id": run["id"], "points": 6, "params": 1, "tags": 1}
    wanted = {
        "params": {"lr": "0.1", "epochs": "5"},
        "tags": {"by": "bob"},
        "metrics": {"loss": 0.2},
        "system_metrics": {"system/gpu": 0.5},
        "reported": {"loss": [4, 4.0], "system/gpu": [0, 9.5]},
    }
    shown = await client.get(f"{RUNS}/{run['id']}")
    assert shown == {**run, **wanted}
    assert (await client.get(RUNS))["runs"] == [shown]
    ended = await end(client, run)
    assert ended["status"] == "finished"
    assert ended["ended_at"] >= ended["started_at"]
    client = await serving()
    assert await client.get(f"{RUNS}/{run['id']}") == ended
    assert (await client.get(RUNS))["runs"] == [ended]
    assert (await client.get(f"{EXPERIMENTS}/sprites/runs"))["runs"] == [ended]


async def test_a_run_reports_on_after_the_server_was_killed(
    process: Callable[..., Process],
) -> None:
    """The latest values of a running run are memory's; after a crash they come from its points."""
    server = process()
    async with aiohttp.ClientSession() as http:
        client = Api(http)
        client.http = _Based(http, server.start())  # type: ignore[assignment]
        run, done = await begin(client, name="a"), await begin(client, name="b")
        await end(client, done)
        assert await found(client) == ["b", "a"]
        await log(client, run, metrics=[{"key": "loss", "value": 0.25, "step": 7}])
        await log(client, done, tags={"late": "yes"}, metrics=[{"key": "score", "value": 3}])
        server.kill()
        client.http = _Based(http, server.start())  # type: ignore[assignment]
        assert await found(client, "metrics.loss = 0.25") == ["a"]
        assert await found(client, "metrics.score = 3 and tags.late = 'yes'") == ["b"]
        await log(client, run, metrics=[{"key": "loss", "value": 9, "step": 6}])
        assert (await client.get(f"{RUNS}/{run['id']}"))["metrics"] == {"loss": 0.25}


async def test_what_a_run_was_made_with_is_there_once_after_a_crash(
    process: Callable[..., Process],
) -> None:
    """One row acknowledges it; its params, tags and edges are written later, or at the next start."""
    server = process()
    async with aiohttp.ClientSession() as http:
        client = Api(http)
        client.http = _Based(http, server.start())  # type: ignore[assignment]
        made = {"params": {"lr": "0.1"}, "tags": {"team": "art", "gone": "x"}}
        changed = await begin(client, name="changed", **made)
        await client.call("PATCH", f"{RUNS}/{changed['id']}", json={"tags": {"team": "2d"}})
        await client.call("PATCH", f"{RUNS}/{changed['id']}", json={"tags": {"gone": None}})
        left = await begin(client, name="left", **made)
        for _ in range(2):
            server.kill()
            client.http = _Based(http, server.start())  # type: ignore[assignment]
            assert await found(client, "params.lr = '0.1' and tags.team = 'art'") == ["left"]
            assert await found(client, "params.lr = '0.1' and tags.team = '2d'") == ["changed"]
            for run, tags in ((changed, {"team": "2d"}), (left, made["tags"])):
                seen = await client.get(f"{RUNS}/{run['id']}")
                assert (seen["params"], seen["tags"]) == (made["params"], tags)
                graph = await client.get(f"/api/v1/ml-platform/lineage/run/{run['id']}")
                assert [edge["relation"] for edge in graph["edges"]] == ["belongs_to"]


class _Based:
    """A client session that knows where the server is."""

    def __init__(self, http: Any, address: str) -> None:
        self._http, self._address = http, address

    def request(self, method: str, path: str, **options: Any) -> Any:
        return self._http.request(method, self._address + path, **options)


async def test_the_latest_value_is_that_of_the_highest_step_then_time_then_value(
    client: Api,
) -> None:
    run = await begin(client)
    points = [(3, 5, 1.0), (3, 6, 0.5), (3, 6, 0.75), (2, 9, 8.0), (-4, 10, 9.0)]
    for shuffled in (points, points[::-1]):
        for step, at, value in shuffled:
            point = {"key": "loss", "value": value, "step": step, "logged_at": at}
            await log(client, run, metrics=[point])
        assert (await client.get(f"{RUNS}/{run['id']}"))["metrics"] == {"loss": 0.75}
        run = await begin(client)
    batch = [
        {"key": "loss", "value": value, "step": step, "logged_at": at} for step, at, value in points
    ]
    await log(client, run, metrics=batch)
    assert (await client.get(f"{RUNS}/{run['id']}"))["metrics"] == {"loss": 0.75}


async def test_params_never_change(client: Api) -> None:
    run = await begin(client, params={"lr": "0.1"})
    await log(client, run, params={"lr": "0.1", "depth": "3"})
    path, batch = f"{RUNS}/{run['id']}/log", {"params": {"new": "1", "lr": "0.2"}}
    batch["metrics"] = [{"key": "loss", "value": 1}]  # type: ignore[assignment]
    problem = await client.refused("POST", path, 409, "param_exists", json=batch)
    assert problem["field"] == "params.lr"
    shown = await client.get(f"{RUNS}/{run['id']}")
    assert (shown["params"], shown["metrics"]) == ({"lr": "0.1", "depth": "3"}, {})


async def test_of_two_values_for_a_param_sent_at_once_one_wins(client: Api) -> None:
    run = await begin(client)

    async def send(value: str) -> int:
        path = f"{RUNS}/{run['id']}/log"
        async with client.http.request("POST", path, json={"params": {"lr": value}}) as response:
            return response.status

    statuses = await asyncio.gather(*(send(str(i)) for i in range(8)))
    assert sorted(statuses) == [200, *[409] * 7]
    winner = str(statuses.index(200))
    assert (await client.get(f"{RUNS}/{run['id']}"))["params"] == {"lr": winner}


async def test_many_report_to_one_run_at_once(client: Api) -> None:
    run = await begin(client)
    points = [{"key": f"m{i % 10}", "value": i, "step": i} for i in range(400)]
    random.Random(1).shuffle(points)
    await asyncio.gather(
        *(log(client, run, metrics=points[i : i + 10]) for i in range(0, 400, 10)),
        *(log(client, run, tags={f"t{i}": str(i)}, params={f"p{i}": str(i)}) for i in range(10)),
    )
    shown = await client.get(f"{RUNS}/{run['id']}")
    assert shown["metrics"] == {f"m{i}": 390 + i for i in range(10)}
    assert shown["tags"] == {f"t{i}": str(i) for i in range(10)}
    assert (await client.get(RUNS))["runs"] == [shown]


async def test_nan_and_infinity_are_texts_both_ways(client: Api) -> None:
    run = await begin(client)
    values = {"a": "NaN", "b": "Infinity", "c": "-Infinity", "d": 1.5}
    await report(client, run, **values)  # type: ignore[arg-type]
    assert (await client.get(f"{RUNS}/{run['id']}"))["metrics"] == values
    assert (await client.get(RUNS))["runs"][0]["metrics"] == values
    path = f"{RUNS}/{run['id']}/log"
    for bad in ("nan", None, "1", True):
        body = {"metrics": [{"key": "a", "value": bad}]}
        await client.refused("POST", path, 422, "invalid", json=body)
    for bad in ("NaN", "1e999"):
        data = f'{{"metrics": [{{"key": "a", "value": {bad}}}]}}'
        headers = {"Content-Type": "application/json"}
        async with client.http.request("POST", path, data=data, headers=headers) as response:
            assert response.status in (400, 422)


BAD_BATCHES: list[dict[str, Any]] = [
    {"metrics": [{"key": "", "value": 1}]},
    {"metrics": [{"key": "x" * 251, "value": 1}]},
    {"metrics": [{"key": "a\n", "value": 1}]},
    {"metrics": [{"key": "a"}]},
    {"metrics": [{"key": "a", "value": 1, "step": 1.5}]},
    {"metrics": [{"key": "a", "value": 1, "step": 1 << 63}]},
    {"metrics": [{"key": "a", "value": 1, "logged_at": -1}]},
    {"metrics": [{"key": "a", "value": 1, "when": 1}]},
    {"metrics": [{"key": "a", "value": 1}] * 10_001},
    {"params": {"a": 1}},
    {"params": {"a": "x" * 8001}},
    {"tags": {"a": None}},
    {"tags": {f"t{i}": "" for i in range(1001)}},
    {"colour": {}},
]


@pytest.mark.parametrize("batch", BAD_BATCHES, ids=lambda batch: str(batch)[:50])
async def test_a_bad_report_is_refused(client: Api, batch: dict[str, Any]) -> None:
    run = await begin(client)
    await client.refused("POST", f"{RUNS}/{run['id']}/log", 422, "invalid", json=batch)


async def test_a_run_has_a_bounded_number_of_keys(client: Api) -> None:
    run = await begin(client)
    for begun in range(0, 10_000, 1000):
        await log(client, run, tags={f"t{begun + i}": "" for i in range(1000)})
    path, body = f"{RUNS}/{run['id']}/log", {"tags": {"one more": ""}}
    await client.refused("POST", path, 422, "too_many_keys", json=body)


async def test_tags_change_and_go(client: Api) -> None:
    run = await begin(client, tags={"a": "1", "b": "2"})
    await log(client, run, tags={"a": "3", "c": "4"})
    path = f"{RUNS}/{run['id']}"
    changed = await client.call("PATCH", path, json={"tags": {"b": None, "d": "5", "x": None}})
    assert changed["tags"] == {"a": "3", "c": "4", "d": "5"}
    assert await found(client, "tags.b is not null") == []
    assert await found(client, "tags.a = '3'") == [run["name"]]


async def test_a_run_ends_and_may_go_on(client: Api) -> None:
    run = await begin(client)
    path = f"{RUNS}/{run['id']}"
    await client.refused("PATCH", path, 422, "invalid", json={"ended_at": 5})
    await client.refused("PATCH", path, 422, "invalid", json={"status": "done"})
    failed = await client.call("PATCH", path, json={"status": "failed", "ended_at": 5})
    assert (failed["status"], failed["ended_at"]) == ("failed", 5)
    renamed = await client.call("PATCH", path, json={"name": "again"})
    assert renamed == {**failed, "name": "again"}
    await report(client, run, score=0.5)
    assert await found(client, "metrics.score > 0 and status = 'failed'") == ["again"]
    resumed = await client.call("PATCH", path, json={"status": "running"})
    assert (resumed["status"], resumed["ended_at"]) == ("running", None)
    scheduled = await begin(client, status="scheduled")
    assert scheduled["started_at"] is None
    path = f"{RUNS}/{scheduled['id']}"
    assert (await client.call("PATCH", path, json={"status": "running"}))["started_at"] > 0


async def test_a_deleted_run_is_hidden_and_comes_back(client: Api) -> None:
    run = await begin(client, name="a")
    path = f"{RUNS}/{run['id']}"
    deleted = await client.call("DELETE", path)
    assert await client.call("DELETE", path) == deleted
    assert await client.get(path) == deleted
    assert (await found(client), await found(client, view="deleted")) == ([], ["a"])
    assert (await client.get(f"{EXPERIMENTS}/sprites"))["run_count"] == 0
    await client.refused("POST", f"{path}/log", 409, "run_deleted", json={"tags": {"a": "b"}})
    await client.refused("PATCH", path, 409, "run_deleted", json={"name": "b"})
    await client.refused(
        "POST",
        f"{EXPERIMENTS}/sprites/runs",
        422,
        "parent_not_found",
        json={"parent_id": run["id"]},
    )
    assert await client.call("POST", f"{path}/restore") == run
    assert await found(client) == ["a"]


async def test_a_jobs_run_can_be_tagged_and_deleted(client: Api) -> None:
    job = await client.generate()
    run = {"id": job["run_id"]}
    await log(client, run, tags={"liked": "yes"}, metrics=[{"key": "score", "value": 4}])
    shown = (await client.get(RUNS, filter="tags.liked = 'yes' and metrics.score = 4"))["runs"]
    assert [one["id"] for one in shown] == [run["id"]]
    assert shown[0]["metrics"].keys() >= {"score", "inference_seconds"}
    await client.call("DELETE", f"{RUNS}/{run['id']}")
    assert await found(client) == []


async def test_runs_within_a_run(client: Api) -> None:
    parent = await begin(client, name="search")
    children = [await begin(client, "tries", name=str(i), parent_id=parent["id"]) for i in range(5)]
    path = f"{RUNS}/{parent['id']}/children"
    assert [run["id"] for run in await client.pages(path, "runs", 2)] == [
        run["id"] for run in children[::-1]
    ]
    assert await found(client, "parent_id is null") == ["search"]
    await client.refused("GET", f"{RUNS}/nothing/children", 404, "run_not_found")


async def test_unknown_runs_and_experiments_are_problems(client: Api) -> None:
    await client.refused("POST", f"{EXPERIMENTS}/x/runs", 404, "experiment_not_found", json={})
    for method, path, body in (
        ("GET", "x", None),
        ("PATCH", "x", {}),
        ("DELETE", "x", None),
        ("POST", "x/restore", None),
        ("POST", "x/log", {"tags": {"a": "b"}}),
        ("GET", "x/metrics/loss", None),
    ):
        await client.refused(method, f"{RUNS}/{path}", 404, "run_not_found", json=body)


# -- side by side -------------------------------------------------------------------------------


async def test_runs_are_compared_side_by_side(client: Api) -> None:
    one = await begin(client, params={"lr": "0.1", "depth": "3"}, tags={"by": "ann"})
    two = await begin(client, params={"lr": "0.2", "depth": "3"})
    await report(client, one, loss=0.5, **{"system/gpu": 0.25})
    await report(client, two, loss="NaN")  # type: ignore[arg-type]
    shown = await client.get(f"{RUNS}/compare", ids=f"{two['id']}, {one['id']}")
    assert [run["id"] for run in shown["runs"]] == [two["id"], one["id"]]
    assert shown["params"] == [
        {"key": "depth", "values": ["3", "3"], "differs": False},
        {"key": "lr", "values": ["0.2", "0.1"], "differs": True},
    ]
    assert shown["metrics"] == [{"key": "loss", "values": ["NaN", 0.5], "differs": True}]
    assert shown["system_metrics"][0]["values"] == [None, 0.25]
    assert shown["tags"] == [{"key": "by", "values": [None, "ann"], "differs": True}]
    await client.refused("GET", f"{RUNS}/compare?ids={one['id']},x", 404, "run_not_found")
    for ids in ("", ",", ",".join(map(str, range(51)))):
        await client.refused("GET", f"{RUNS}/compare?ids={ids}", 422, "invalid")


# -- history ------------------------------------------------------------------------------------


async def series(client: Api, values: list[Any], key: str = "loss") -> Any:
    run = await begin(client)
    points = [
        {"key": key, "value": value, "step": step, "logged_at": 1000 + step / 10}
        for step, value in enumerate(values)
    ]
    for begun in range(0, len(points), 10_000):
        await log(client, run, metrics=points[begun : begun + 10_000])
    return run


async def test_a_history_comes_in_pages_and_counts_a_point_once(client: Api) -> None:
    values = [0.5, "NaN", "Infinity", *range(20)]
    run = await series(client, values, "system/gpu load")
    await log(client, run, metrics=[{"key": "system/gpu load", "value": 0.5, "logged_at": 1000}])
    for path in ("system/gpu%20load", "system%2Fgpu%20load"):
        steps, shown, cursor = [], [], ""
        while cursor is not None:
            url = f"{RUNS}/{run['id']}/metrics/{path}?limit=7&cursor={cursor}"
            async with client.http.request("GET", URL(url, encoded=True)) as response:
                page = await response.json()
            assert (page["total"], page["sampled"]) == (len(values), False)
            steps += page["steps"]
            shown += page["values"]
            cursor = page["next"]
        assert (steps, shown) == (list(range(len(values))), values)
    await client.refused("GET", f"{RUNS}/{run['id']}/metrics/x", 404, "metric_not_found")
    bad = f"{RUNS}/{run['id']}/metrics/system/gpu%20load?cursor=zz"
    await client.refused("GET", bad, 422, "bad_cursor")


async def test_a_picture_keeps_the_ends_and_the_extremes(client: Api) -> None:
    dice = random.Random(7)
    values: list[Any] = [math.sin(i / 500) + dice.random() / 10 for i in range(12_000)]
    values[4321], values[8765], values[100] = 40.0, -30.0, "NaN"
    run = await series(client, values)
    path = f"{RUNS}/{run['id']}/metrics/loss"
    for points in (10, 100, 501):
        for by in ("step", "time"):
            shown = await client.get(path, points=points, by=by)
            assert shown["sampled"]
            assert points / 3 < len(shown["steps"]) <= points
            assert shown["steps"] == sorted(set(shown["steps"]))
            assert {0, 4321, 8765, 11_999} <= set(shown["steps"])
            assert all(values[s] == v for s, v in zip(shown["steps"], shown["values"], strict=True))
    part = await client.get(path, points=100, start=4000, end=4999)
    assert part["total"] == 1000
    assert {4000, 4321, 4999} <= set(part["steps"]) <= set(range(4000, 5000))
    assert (await client.get(path, points=5000, start=10_000))["sampled"] is False
    for points in (1, 2, 3, 4):
        assert len((await client.get(path, points=points))["steps"]) <= points


async def test_a_picture_of_equal_steps_or_nothing_but_nan(client: Api) -> None:
    run = await begin(client)
    same = [{"key": "a", "value": i % 7, "step": 5, "logged_at": 1} for i in range(70)]
    await log(client, run, metrics=[*same, *({**p, "key": "b", "value": "NaN"} for p in same)])
    await log(client, run, metrics=[{"key": "b", "value": "NaN", "step": i} for i in range(9)])
    shown = await client.get(f"{RUNS}/{run['id']}/metrics/a", points=4)
    assert (min(shown["values"]), max(shown["values"])) == (0, 6)
    assert (await client.get(f"{RUNS}/{run['id']}/metrics/b", points=4))["values"] == []


# -- databases of before ------------------------------------------------------------------------


def only_first_migrations(cursor: Cursor) -> None:
    """The tables as they were before runs could report, with a run of a job."""
    cursor.execute(migrate.TABLE)
    for name, path in migrate.scripts():
        if path.name.startswith("0001"):
            cursor.execute(text := path.read_text(encoding="utf-8"))
            digest = hashlib.sha256(text.encode()).hexdigest()
            cursor.execute(
                "insert into schema_migrations values (?, ?, ?, 0)", [name, path.name, digest]
            )
    cursor.execute("insert into experiments values ('e', 'old', 'user', '', '{\"a\": \"b\"}', 5)")
    cursor.execute(
        "insert into runs values ('r' || ?, 'e', 'old', 'ai-generate', 'finished', 5, 6, 7)", [1]
    )
    cursor.execute("insert into params values ('r1', 'seed', '7')")
    cursor.execute("insert into metrics values ('r1', 'total_seconds', 1.5, 0, 7)")


async def test_a_database_of_before_is_taken_over(serving: Serving, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    db = Database(tmp_path / "data" / "gfedge.duckdb")
    db.open(only_first_migrations)
    await asyncio.to_thread(db.close)
    client = await serving()
    (run,) = (await client.get(RUNS, filter="params.seed = 7 and metrics.total_seconds > 1"))[
        "runs"
    ]
    assert run == await client.get(f"{RUNS}/r1")
    assert (run["params"], run["metrics"]) == ({"seed": "7"}, {"total_seconds": 1.5})
    assert (await client.get(f"{EXPERIMENTS}/old"))["tags"] == {"a": "b"}
    await client.generate()
    assert len(await found(client)) == 2
