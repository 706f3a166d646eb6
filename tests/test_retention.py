"""Collections: what the policy lets go, what stays because something needs it, and files that nothing names."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import builders
import msgspec
import pytest
from conftest import JOBS, Api, Process, Serving

from gfedge import content, keys
from gfedge.assets import files
from gfedge.cli.access import of_folder
from gfedge.cli.client import NoServer
from gfedge.cli.gc import readable
from gfedge.cli.options import DEFAULT_SERVER
from gfedge.db import Cursor
from gfedge.lineage.types import edge
from gfedge.retention import store

PLATFORM = "/api/v1/ml-platform"
GC = f"{PLATFORM}/gc"
DAY = 86_400.0
TRAINING = (
    "insert into training_jobs values ($1, 'succeeded', 'local', 'x', 'e', 'r', null, 0, 0, $2)"
)


def age(cursor: Cursor, seconds: float) -> None:
    cursor.execute("update jobs set created_at = created_at - $1", [seconds])
    cursor.execute(
        "update runs set ended_at = ended_at - $1, deleted_at = deleted_at - $1", [seconds]
    )
    cursor.execute("update experiments set deleted_at = deleted_at - $1", [seconds])
    cursor.execute("update edges set made_at = made_at - $1", [seconds])


async def aged(api: Api, data: Path, days: float) -> None:
    """Makes all that is recorded older."""
    db = api.http.app[keys.DB]  # type: ignore[union-attr]
    await db.settle()
    await db.write(age, days * DAY)
    for path in (path for root in ("assets", "artifacts") for path in (data / root).glob("*/*")):
        at = path.stat().st_mtime - days * DAY
        os.utime(path, (at, at))


async def collect(api: Api, **body: Any) -> Any:
    """A collection, told of first: both must say the same."""
    told = await api.call("POST", GC, json=body)
    assert told["dry_run"]
    done = await api.call("POST", GC, json={**body, "dry_run": False})
    assert {k: t["count"] for k, t in done["totals"].items()} == {
        k: t["count"] for k, t in told["totals"].items()
    }
    assert done["bytes"] == told["bytes"]
    assert (await api.get(GC))["collections"][0] == done
    return done


def gone(report: Any, kind: str) -> list[str]:
    return [one["id"] for one in report["removed"] if one["kind"] == kind]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


async def test_nothing_goes_unless_it_was_asked_for(client: Api, data: Path) -> None:
    job = await client.generate(seed=1)
    await aged(client, data, 1000)
    report = await collect(client)
    assert (report["removed"], report["bytes"], report["young"]) == ([], 0, 0)
    await client.job(job["id"])
    await client.bytes(job["outputs"][0]["url"])


async def test_old_jobs_go_with_all_that_is_recorded_of_them(serving: Serving, data: Path) -> None:
    api = await serving()
    old = [await api.generate(seed=n) for n in range(2)]
    upscaled = await api.upscale(builders.png_file())
    await aged(api, data, 40)
    new = await api.generate(seed=7)
    report = await collect(api, keep_job_days=30)
    assert gone(report, "job") == [old[0]["id"], old[1]["id"], upscaled["id"]]
    assert {one["reason"] for one in report["removed"] if one["kind"] == "job"} == {
        "older than 30.0 days"
    }
    pictures = {o["sha256"] for job in (*old, upscaled) for o in job["outputs"]} | set(
        upscaled["inputs"]
    )
    assert set(gone(report, "asset")) == pictures
    assert report["totals"]["asset"]["bytes"] == report["bytes"] > 0
    for round_ in ("now", "after a restart"):
        for job in (*old, upscaled):
            await api.refused("GET", f"{JOBS}/{job['id']}", 404, "job_not_found")
            await api.refused("GET", f"{PLATFORM}/runs/{job['run_id']}", 404, "run_not_found")
            await api.refused("GET", f"{PLATFORM}/lineage/job/{job['id']}", 404, "node_not_found")
        for sha256 in pictures:
            await api.refused("GET", f"/api/v1/assets/{sha256}", 404, "asset_not_found")
        await api.bytes(new["outputs"][0]["url"])
        assert [job["id"] for job in (await api.get(JOBS))["jobs"]] == [new["id"]]
        assert [run["id"] for run in (await api.get(f"{PLATFORM}/runs"))["runs"]] == [
            new["run_id"]
        ], round_
        api = await serving()
    db = api.http.app[keys.DB]  # type: ignore[union-attr]
    assert await db.read(rows_of, old[0]["run_id"], old[0]["id"]) == 0


def rows_of(cursor: Cursor, run_id: str, job_id: str) -> int:
    return sum(
        cursor.execute(f"select count(*) from {table} where {column} in ($1, $2)", [run_id, job_id]).fetchall()[0][0]
        for table, column in (
            ("params", "run_id"), ("metrics", "run_id"), ("run_index", "id"), ("submissions", "id"),
            ("edges", "source_id"), ("edges", "target_id"),
        )
    )  # fmt: skip


async def test_the_newest_jobs_stay_by_count_and_by_size(client: Api, data: Path) -> None:
    jobs = [await client.generate(seed=n) for n in range(6)]
    await aged(client, data, 1)
    report = await collect(client, keep_jobs=4)
    assert gone(report, "job") == [job["id"] for job in jobs[:2]]
    room = sum(output["bytes"] for job in jobs[4:] for output in job["outputs"])
    report = await collect(client, keep_job_bytes=room)
    assert gone(report, "job") == [job["id"] for job in jobs[2:4]]
    assert sorted(job["id"] for job in (await client.get(JOBS))["jobs"]) == [
        j["id"] for j in jobs[4:]
    ]


async def test_a_picture_that_a_younger_job_names_stays(client: Api, data: Path) -> None:
    picture = builders.png_file()
    first = await client.upscale(picture)
    await aged(client, data, 40)
    second = await client.upscale(picture, scale=2)
    report = await collect(client, keep_job_days=30)
    assert gone(report, "job") == [first["id"]]
    assert gone(report, "asset") == [first["outputs"][0]["sha256"]]
    await client.bytes(f"/api/v1/assets/{second['inputs'][0]}")


async def test_what_something_that_stays_came_from_stays(client: Api, data: Path) -> None:
    """A job whose picture a younger one enlarged, one that was replayed, one that is pinned, one that made a model."""
    base, replayed, pinned, model, free = [await client.generate(seed=n) for n in range(5)]
    put = await client.call("PUT", f"/api/v1/assets/{pinned['outputs'][0]['sha256']}/pin")
    db = client.http.app[keys.DB]  # type: ignore[union-attr]
    await db.insert(
        edge(("asset", model["outputs"][0]["sha256"]), "input", ("run", "training"), 1.0),
        edge(("run", "training"), "produced", ("model_version", "own@1"), 1.0),
    )
    await aged(client, data, 40)
    body = {"asset": base["outputs"][0]["sha256"]}
    wait = {"Prefer": "wait=60"}
    young = await client.call("POST", "/api/v1/ai/superres", json=body, headers=wait)
    again = await client.call("POST", f"{JOBS}/{replayed['id']}/replay", headers=wait)
    report = await collect(client, keep_job_days=30)
    assert gone(report, "job") == [free["id"]]
    kept = {one["id"]: one["reason"] for one in report["kept"]}
    assert kept.keys() == {job["id"] for job in (base, replayed, pinned, model)}
    assert kept[pinned["id"]] == f"needed by asset {put['sha256']}"
    assert kept[model["id"]] == "needed by model_version own@1"
    assert (
        young["id"] in kept[base["id"]]
        or young["run_id"] in kept[base["id"]]
        or "asset" in kept[base["id"]]
    )
    assert (await client.get(f"{JOBS}/{again['job']['id']}/replay"))["verdict"] == "identical"
    trace = await client.get(f"{JOBS}/{young['id']}/trace")
    assert any(base["id"] in line for line in trace["chain"])


async def test_pins(client: Api, data: Path) -> None:
    job = await client.generate(seed=1)
    path = f"/api/v1/assets/{job['outputs'][0]['sha256']}/pin"
    pin = await client.call("PUT", path)
    assert await client.call("PUT", path) == pin
    assert (await client.get(f"{PLATFORM}/pins"))["pins"] == [pin]
    await aged(client, data, 40)
    assert gone(await collect(client, keep_job_days=30), "job") == []
    assert await client.call("DELETE", path) == pin
    await client.refused("DELETE", path, 404, "not_pinned")
    await aged(client, data, 1)
    assert gone(await collect(client, keep_job_days=30), "job") == [job["id"]]
    await client.refused("PUT", path, 404, "asset_not_found")
    await client.refused("PUT", "/api/v1/assets/x/pin", 404, "asset_not_found")


async def experiment(api: Api, name: str) -> Any:
    return await api.call("POST", f"{PLATFORM}/experiments", 201, json={"name": name})


async def reported(api: Api, name: str) -> Any:
    """A finished run with everything that a run may have."""
    run = await api.call(
        "POST", f"{PLATFORM}/experiments/{name}/runs", 201, json={"params": {"a": "1"}}
    )
    at = f"{PLATFORM}/runs/{run['id']}"
    await api.call(
        "POST", f"{at}/log", json={"metrics": [{"key": "loss", "value": 1}], "tags": {"t": "x"}}
    )
    async with api.http.put(f"{at}/artifacts/log.txt", data=run["id"].encode()) as response:
        assert response.status == 201
    return await api.call("PATCH", at, json={"status": "finished"})


async def test_deleted_runs_go_when_they_can_no_longer_be_restored(client: Api, data: Path) -> None:
    await experiment(client, "mine")
    runs = [await reported(client, "mine") for _ in range(3)]
    for run in runs[:2]:
        await client.call("DELETE", f"{PLATFORM}/runs/{run['id']}")
    await aged(client, data, 20)
    assert (await collect(client))["removed"] == []
    await client.call("POST", f"{PLATFORM}/runs/{runs[1]['id']}/restore")
    report = await collect(client, restore_days=10)
    assert gone(report, "run") == [runs[0]["id"]]
    assert report["totals"]["artifact"] == {"count": 1, "bytes": len(runs[0]["id"])}
    await client.refused("GET", f"{PLATFORM}/runs/{runs[0]['id']}", 404, "run_not_found")
    await client.refused("POST", f"{PLATFORM}/runs/{runs[0]['id']}/restore", 404, "run_not_found")
    assert await client.bytes(f"{PLATFORM}/runs/{runs[1]['id']}/artifacts/log.txt")
    assert (await client.get(f"{PLATFORM}/experiments/mine"))["run_count"] == 2


async def test_a_deleted_experiment_goes_with_its_runs_and_frees_its_name(
    serving: Serving, data: Path
) -> None:
    api = await serving()
    for name in ("gone", "needed"):
        await experiment(api, name)
        run = await reported(api, name)
    await api.generate(seed=1, experiment="gone")
    db = api.http.app[keys.DB]  # type: ignore[union-attr]
    await db.insert(edge(("run", run["id"]), "produced", ("model_version", "own@1"), 1.0))
    for name in ("gone", "needed"):
        await api.call("DELETE", f"{PLATFORM}/experiments/{name}")
    await aged(api, data, 31)
    report = await collect(api)
    assert (
        len(gone(report, "run")) == len(gone(report, "job")) == len(gone(report, "experiment")) == 1
    )
    assert [one["id"] for one in report["kept"]] == [run["id"]]
    await api.refused("GET", f"{PLATFORM}/experiments/gone", 404, "experiment_not_found")
    await experiment(api, "gone")
    assert (await api.call("POST", f"{PLATFORM}/experiments/needed/restore"))["name"] == "needed"
    api = await serving()
    assert (await api.get(f"{PLATFORM}/experiments/gone"))["run_count"] == 0


async def test_files_that_nothing_names(client: Api, data: Path) -> None:
    job = await client.generate(seed=1)
    old = time.time() - DAY
    bodies = {"assets": b"orphan picture", "artifacts": b"orphan artifact"}
    for root, body in bodies.items():
        name = hashlib.sha256(body).hexdigest()
        path = data / root / name[:2] / (name[2:] + ".png" * (root == "assets"))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(body)
        os.utime(path, (old, old))
    part, other = data / "artifacts" / "parts" / "0a0b", data / "assets" / "README" / "notes.txt"
    other.parent.mkdir()
    for path in (part, other, data / "assets" / "ab" / ".12.part"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
        os.utime(path, (old, old))
    files.write(data / "assets", b"just written, its job not yet recorded", "image/png")
    report = await collect(client)
    kinds = {kind: total["count"] for kind, total in report["totals"].items()}
    assert kinds == {"asset": 1, "artifact": 1, "temporary": 2}
    assert report["young"] == 1
    assert report["bytes"] == sum(map(len, bodies.values())) + 2
    assert other.exists(), "what is not ours stays"
    await client.bytes(job["outputs"][0]["url"])
    said = "\n".join(readable(report))
    assert "removed 1 asset" in said
    assert "left by a crash" in said


async def test_a_collection_that_a_crash_cut_is_taken_up(serving: Serving, data: Path) -> None:
    """The rows are gone and the files are not, as between the last commit and the sweep."""
    api = await serving()
    job = await api.generate(seed=1)
    await aged(api, data, 1)
    db = api.http.app[keys.DB]  # type: ignore[union-attr]
    candidate = store.Candidate(run_id=job["run_id"], job_id=job["id"], reason="")
    assert await db.write(store.remove_runs, [candidate], time.time(), []) == [candidate]
    api = await serving()
    await api.refused("GET", f"{JOBS}/{job['id']}", 404, "job_not_found")
    assert gone(await collect(api), "asset") == [job["outputs"][0]["sha256"]]


async def test_what_came_to_need_it_meanwhile_keeps_a_run(client: Api, data: Path) -> None:
    one, other = [await client.generate(seed=n) for n in range(2)]
    await aged(client, data, 1)
    planned_at = time.time()
    db = client.http.app[keys.DB]  # type: ignore[union-attr]
    await client.call("PUT", f"/api/v1/assets/{one['outputs'][0]['sha256']}/pin")
    later = edge(("asset", other["outputs"][0]["sha256"]), "input", ("job", "j"), planned_at + 1)
    await db.insert(later)
    candidates = [
        store.Candidate(run_id=j["run_id"], job_id=j["id"], reason="") for j in (one, other)
    ]
    assert await db.write(store.remove_runs, candidates, planned_at, []) == []
    await client.job(one["id"])


async def test_a_job_that_waits_keeps_its_input(serving: Serving, data: Path) -> None:
    client = await serving(max_running=1)
    picture = builders.png_file()
    first = await client.upscale(picture)
    await aged(client, data, 40)
    slow = await client.submit(f"red {builders.SLOW}", steps=100, n=8)
    body = {"asset": first["inputs"][0]}
    waiting = await client.call("POST", "/api/v1/ai/superres", 202, json=body)
    path = files.find(data / "assets", first["inputs"][0])
    os.utime(path, (1, 1))  # it may wait for longer than the grace
    await client.call("POST", GC, json={"dry_run": False, "keep_job_days": 30})
    assert path.exists()
    await client.cancel(slow)
    assert (await client.until(waiting["id"]))["status"] == "succeeded"


async def test_a_key_of_a_removed_job_may_be_used_again(client: Api, data: Path) -> None:
    job = await client.submit("red dragon", key="k", seed=1)
    await client.until(job["id"])
    await aged(client, data, 40)
    await collect(client, keep_job_days=30)
    again = await client.submit("red dragon", key="k", seed=1)
    assert again["id"] != job["id"]
    assert (await client.until(again["id"]))["status"] == "succeeded"


async def test_the_folders_of_trainings_that_ended_long_ago(client: Api, data: Path) -> None:
    db = client.http.app[keys.DB]  # type: ignore[union-attr]
    jobs = {"long-ago": 31, "lately": 29, "on": None}
    outside = data / "outside"
    outside.write_bytes(b"x" * 1000)
    for job_id, days in jobs.items():
        record = {"ended_at": time.time() - days * DAY if days else None}
        row = [job_id, msgspec.json.encode(record).decode()]
        await db.write(lambda cursor, row: cursor.execute(TRAINING, row), row)
        work = data / "training" / job_id
        (work / "checkpoints").mkdir(parents=True)
        (work / "checkpoints" / "last.bin").write_bytes(b"x" * 100)
        (work / "checkpoints" / "link").symlink_to(outside)
        (work / "linked").symlink_to(data)
        (work / "log.txt").write_text("epoch 1")
    report = await collect(client)
    assert gone(report, "training") == ["long-ago"]
    assert 100 <= report["totals"]["training"]["bytes"] < 1000
    assert [path.name for path in (data / "training" / "long-ago").iterdir()] == ["log.txt"]
    for job_id in ("lately", "on"):
        assert (data / "training" / job_id / "checkpoints" / "last.bin").exists()
    assert outside.exists()
    assert gone(await collect(client), "training") == []


def test_who_finds_a_file_in_its_place_does_not_lose_it(tmp_path: Path) -> None:
    """Writers of the same bytes and a collection side by side: after each write the file is there."""
    root, stop = tmp_path / "assets", threading.Event()
    root.mkdir()
    sha256, _ = files.write(root, b"bytes", "image/png")
    path = files.path_of(root, sha256)

    def sweep() -> None:
        while not stop.is_set():
            content.remove_unused(path, time.time() - 600)

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    try:
        for _ in range(300):
            if path.exists():
                os.utime(path, (1, 1))
            files.write(root, b"bytes", "image/png")
            assert path.read_bytes() == b"bytes"
    finally:
        stop.set()
        sweeper.join()


async def test_collections_by_themselves(serving: Serving, data: Path) -> None:
    api = await serving()
    job = await api.generate(seed=1)
    await aged(api, data, 40)
    api = await serving(gc_hours=0.05 / 3600, keep_job_days=30.0)

    async def made() -> list[Any]:
        found: list[Any] = (await api.get(GC))["collections"]
        return found

    from conftest import eventually

    first = (await eventually(made, lambda found: len(found) > 0 and found[-1]["finished_at"]))[-1]
    assert (first["by"], gone(first, "job")) == ("the server", [job["id"]])


@pytest.mark.parametrize(
    "body", [{"dry_run": 1}, {"keep_jobs": -1}, {"keep_job_days": 1e9}, {"everything": True}]
)
async def test_what_is_refused(client: Api, body: dict[str, Any]) -> None:
    await client.refused("POST", GC, 422, "invalid", json=body)


async def cli(*arguments: str) -> tuple[int, str]:
    import sys

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gfedge", "gc", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


def test_a_folder_that_is_named_is_nobody_elses_matter(tmp_path: Path) -> None:
    """The server at the default address may be that of another folder."""
    named = argparse.Namespace(server=DEFAULT_SERVER, token="", token_file="", config=None)
    named.data = str(tmp_path / "other")
    with pytest.raises(NoServer, match=r"no server runs on .*other"):
        of_folder(named, 1)
    named.server = "http://127.0.0.1:9"
    assert of_folder(named, 1).address == named.server


async def test_the_command_with_a_server_and_without(
    process: Callable[..., Process], data: Path
) -> None:
    from conftest import connected

    server = process()
    address = await asyncio.to_thread(server.start)
    async with connected(address) as api:
        jobs = [await api.generate(seed=n) for n in range(3)]
    for path in (data / "assets").glob("*/*"):
        os.utime(path, (1, 1))
    code, said = await cli("--server", address, "--dry-run", "--keep-jobs", "1")
    assert (code, said.splitlines()[0]) == (0, "would remove nothing"), "they ended a moment ago"
    code, said = await cli("--data", str(data), "--dry-run", "--keep-jobs", "1")
    assert (code, said.splitlines()[0]) == (0, "would remove nothing"), "found by its folder"
    code, said = await cli("--server", "http://127.0.0.1:9", "--data", str(data))
    assert code == 2
    assert "is in use by another gfedge" in said
    assert await asyncio.to_thread(server.stop) == 0
    orphan = hashlib.sha256(b"orphan").hexdigest()
    (data / "assets" / orphan[:2]).mkdir(exist_ok=True)
    path = data / "assets" / orphan[:2] / f"{orphan[2:]}.png"
    path.write_bytes(b"orphan")
    os.utime(path, (1, 1))
    where = ("--server", "http://127.0.0.1:9", "--data", str(data))
    code, said = await cli(*where, "--dry-run")
    assert (code, said.splitlines()[0]) == (
        0,
        "would remove 1 asset (6 bytes): 6 bytes of files in all",
    )
    assert path.exists()
    code, said = await cli(*where)
    assert (code, path.exists()) == (0, False), said
    for job in jobs:
        assert files.find(data / "assets", job["outputs"][0]["sha256"]).exists()
    code, said = await cli("--server", "http://127.0.0.1:9", "--data", str(data / "no"))
    assert code == 2
    assert "say where with --server or --data" in said
    code, said = await cli(*where, "--keep-jobs", "many")
    assert code == 2
    assert "keep-jobs many: expected a whole number" in said
