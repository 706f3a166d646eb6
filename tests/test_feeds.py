"""What the live streams tell of jobs, experiments and runs, heard by a client while it happens."""

from __future__ import annotations

import asyncio
import base64
import io
from typing import Any

import builders
from aiohttp.test_utils import TestClient
from conftest import WS, Api, Process, Serving, Socket, connected, listening, said
from PIL import Image

from gfedge.ai.live import Live
from gfedge.ai.routes import QUEUE

EXPERIMENTS = "/api/v1/ml-platform/experiments"
RUNS = "/api/v1/ml-platform/runs"


async def heard(ws: Socket, until: str) -> list[dict[str, Any]]:
    """All messages up to one of this type."""
    found = [await said(ws)]
    while found[-1]["type"] != until:
        found.append(await said(ws))
    return found


def states(messages: list[dict[str, Any]]) -> list[str]:
    passing = ("job.progress", "queue.moved")
    return [one["type"] for one in messages if one["type"] not in passing]


# -- jobs ---------------------------------------------------------------------------------------


async def test_a_job_is_heard_from_its_acknowledgement_to_its_end(client: Api) -> None:
    async with listening(client, {"types": []}, "ai-jobs") as ws:
        job = await client.generate(scale=4)
        found = await heard(ws, "job.ended")
    assert states(found) == ["job.queued", "job.started", "job.ended"]
    queued, ended = found[0]["data"], found[-1]["data"]
    assert (queued["id"], queued["status"], queued["queue_position"]) == (job["id"], "queued", 1)
    assert ended == job
    assert [one["seq"] for one in found] == sorted({one["seq"] for one in found})


async def test_progress_is_heard_while_it_goes_on(client: Api) -> None:
    async with listening(client, {"types": ["job.progress"]}, "ai-jobs") as ws:
        job = await client.submit(f"{builders.SLOW} dragon", steps=50)
        steps = [(await said(ws))["data"] for _ in range(3)]
        await client.cancel(job)
    done = [one["progress"]["step"] for one in steps]
    assert done == sorted(set(done))
    assert {one["id"] for one in steps} == {job["id"]}
    assert {one["progress"]["steps"] for one in steps} == {50}


async def test_a_thousand_tiles_in_a_moment_are_one_message(serving: Serving) -> None:
    api = await serving(max_running=1)
    first = await api.submit(f"{builders.SLOW} dragon", steps=100)
    second = await api.submit()
    assert isinstance(api.http, TestClient)
    queue = api.http.server.app[QUEUE]
    live = await queue.find(second["id"])
    assert isinstance(live, Live)
    wish = {"topics": [f"job:{second['id']}"], "types": ["job.progress", "job.ended"]}
    async with listening(api, wish, "ai-jobs") as ws:
        for tile in range(1, 1001):
            live.report("upscaling", tile, 2000)
            queue.feed.progressed(live)
        assert (await said(ws))["data"]["progress"]["step"] == 1000
        await api.cancel(second, first)
        assert (await said(ws))["type"] == "job.ended"


async def test_previews_come_to_those_who_ask_for_that_job(client: Api) -> None:
    async with listening(client, {"types": ["job.preview"]}, "ai-jobs") as deaf:
        job = await client.submit(f"{builders.SLOW} dragon", steps=50, n=2)
        wish = {"topics": [f"job:{job['id']}"], "previews": True}
        async with listening(client, wish, "ai-jobs") as ws:
            found = [(await said(ws, "job.preview"))["data"] for _ in range(4)]
        await client.cancel(job)
        await deaf.send_json({})
        assert (await said(deaf))["type"] == "snapshot"  # and no preview before it
    assert {one["index"] for one in found} == {0, 1}
    for one in found:
        assert one["id"] == job["id"]
        with Image.open(io.BytesIO(base64.b64decode(one["png"]))) as image:
            assert image.format == "PNG"
            assert image.size == (one["width"], one["height"])


async def test_waiting_jobs_hear_their_positions(serving: Serving) -> None:
    api = await serving(max_running=1)
    first = await api.submit(f"{builders.SLOW} dragon", steps=100)
    waiting = [await api.submit(f"{builders.SLOW} potion", steps=100) for _ in range(2)]
    last = waiting[1]["id"]
    wish = {"topics": [f"job:{last}"], "types": ["queue.moved"]}
    async with listening(api, wish, "ai-jobs") as ws:
        await api.cancel(first)
        moved = (await said(ws))["data"]
        while moved["queued"] == 2:
            moved = (await said(ws))["data"]
        assert moved == {"queued": 1, "running": 1, "positions": {last: 1}}
    await api.cancel(*waiting)


async def test_a_topic_is_one_job(client: Api) -> None:
    slow = await client.submit(f"{builders.SLOW} dragon", steps=100)
    async with listening(client, {"topics": [f"job:{slow['id']}"]}, "ai-jobs") as ws:
        await client.generate()
        await client.cancel(slow)
        found = await heard(ws, "job.ended")
    assert {one["data"].get("id", slow["id"]) for one in found} == {slow["id"]}
    assert found[-1]["data"]["status"] == "cancelled"


async def snapshot(api: Api, wanted: dict[str, Any], stream: str) -> dict[str, Any]:
    async with api.http.ws_connect(f"{WS}/{stream}") as ws:
        await ws.send_json(wanted)
        found: dict[str, Any] = (await said(ws, "snapshot"))["data"]
        return found


async def test_the_snapshot_has_what_waits_runs_and_ended(serving: Serving) -> None:
    api = await serving(max_running=1)
    ended = [await api.generate() for _ in range(2)]
    running = await api.submit(f"{builders.SLOW} dragon", steps=100)
    waiting = await api.submit()
    await api.until(running["id"], "running")
    found = await snapshot(api, {}, "ai-jobs")
    assert [job["id"] for job in found["jobs"]] == [
        job["id"] for job in (waiting, running, *reversed(ended))
    ]
    assert (found["queued"], found["running"]) == (1, 1)
    assert found["jobs"][0]["queue_position"] == 1
    assert found["jobs"][2] == ended[1]
    await api.cancel(waiting, running)
    api = await serving()  # memory is empty: the database has them
    topics = [f"job:{ended[0]['id']}"]
    assert (await snapshot(api, {"topics": topics}, "ai-jobs"))["jobs"] == [ended[0]]
    assert len((await snapshot(api, {}, "ai-jobs"))["jobs"]) == 4


async def test_snapshot_and_messages_agree_while_jobs_come_and_go(client: Api) -> None:
    """A job is in the snapshot as ended, or its end is heard: never both, never neither."""
    work = [asyncio.ensure_future(client.generate(steps=2)) for _ in range(12)]
    for _ in range(6):
        async with client.http.ws_connect(f"{WS}/ai-jobs") as ws:
            await ws.send_json({"types": ["job.ended"]})
            first = await said(ws)
            present = {job["id"]: job["status"] for job in first["data"]["jobs"]}
            if (ended := list(present.values()).count("succeeded")) < 12:
                found = [(await said(ws))["data"]["id"] for _ in range(12 - ended)]
                assert len(set(found)) == len(found)
                assert all(present.get(job_id) != "succeeded" for job_id in found)
    await asyncio.gather(*work)


async def test_listeners_hear_the_end_of_jobs_when_the_server_stops(
    process: Any,
) -> None:
    server: Process = process(shutdown_grace=30)
    async with connected(server.start()) as api:
        async with listening(api, {"types": ["job.ended"]}, "ai-jobs") as ws:
            job = await api.submit(f"{builders.SLOW} dragon", steps=20)
            await api.until(job["id"], "running")
            stopping = asyncio.ensure_future(asyncio.to_thread(server.stop))
            ended = await said(ws)
            assert (ended["data"]["id"], ended["data"]["status"]) == (job["id"], "succeeded")
            await ws.receive(timeout=30)
            assert ws.close_code == 1001
        assert await stopping == 0


# -- experiments and runs -----------------------------------------------------------------------


async def test_an_experiment_and_its_runs_are_heard(client: Api) -> None:
    async with listening(client, stream="experiments") as ws:
        made = await client.call("POST", EXPERIMENTS, 201, json={"name": "lr sweep"})
        runs = f"{EXPERIMENTS}/{made['id']}/runs"
        run = await client.call("POST", runs, 201, json={"params": {"lr": "0.1"}})
        point = {"key": "loss", "value": 0.5, "step": 3, "logged_at": 7.0}
        batch = {"metrics": [point, point | {"step": 4}], "tags": {"gpu": "no"}}
        await client.call("POST", f"{RUNS}/{run['id']}/log", json=batch)
        await client.call("PATCH", f"{RUNS}/{run['id']}", json={"name": "best"})
        ended = await client.call("PATCH", f"{RUNS}/{run['id']}", json={"status": "finished"})
        await client.call("DELETE", f"{EXPERIMENTS}/{made['id']}")
        found = [await said(ws) for _ in range(6)]
    assert [one["type"] for one in found] == [
        "experiment.created",
        "run.created",
        "run.logged",
        "run.changed",
        "run.ended",
        "experiment.changed",
    ]
    assert found[0]["data"]["name"] == "lr sweep"
    assert found[1]["data"]["params"] == {"lr": "0.1"}
    logged = found[2]["data"]
    assert logged["points"] == batch["metrics"]
    assert (logged["total"], logged["tags"]) == (2, {"gpu": "no"})
    assert found[4]["data"] == ended
    assert found[5]["data"]["deleted_at"]


async def test_the_runs_of_jobs_are_heard_too(client: Api) -> None:
    async with listening(client, stream="experiments") as ws:
        job = await client.generate()
        found = await heard(ws, "run.ended")
    assert [one["data"]["status"] for one in found if "status" in one["data"]] == [
        "scheduled",
        "running",
        "finished",
    ]
    ended, stored = found[-1]["data"], await client.get(f"{RUNS}/{job['run_id']}")
    assert ended.pop("inputs") == stored.pop("inputs")
    assert ended == stored


async def test_a_topic_is_one_experiment_or_one_run(client: Api) -> None:
    made = [
        await client.call("POST", EXPERIMENTS, 201, json={"name": name}) for name in ("one", "two")
    ]
    runs = [
        await client.call("POST", f"{EXPERIMENTS}/{one['id']}/runs", 201, json={}) for one in made
    ]
    mine = {"topics": [f"experiment:{made[0]['id']}", f"run:{runs[1]['id']}"]}
    found = await snapshot(client, mine, "experiments")
    assert [row["id"] for row in found["experiments"]] == [made[0]["id"]]
    assert [run["id"] for run in found["runs"]] == [runs[1]["id"], runs[0]["id"]]
    async with listening(client, {"topics": [f"run:{runs[0]['id']}"]}, "experiments") as ws:
        for run in reversed(runs):
            await client.call("PATCH", f"{RUNS}/{run['id']}", json={"status": "failed"})
        assert (await said(ws))["data"]["id"] == runs[0]["id"]


async def test_the_snapshot_of_experiments_has_runs_that_have_not_ended(client: Api) -> None:
    job = await client.submit(f"{builders.SLOW} dragon", steps=100)
    made = await client.call("POST", EXPERIMENTS, 201, json={"name": "mine"})
    run = await client.call("POST", f"{EXPERIMENTS}/{made['id']}/runs", 201, json={})
    found = await snapshot(client, {}, "experiments")
    assert {row["name"] for row in found["experiments"]} >= {"mine"}
    assert [one["id"] for one in found["runs"]] == [run["id"], job["run_id"]]
    await client.cancel(job)
    found = await snapshot(client, {}, "experiments")
    assert [one["status"] for one in found["runs"]] == ["running", "killed"]
