"""Crashes, stops and full disks: what was acknowledged is neither lost nor done twice."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import builders
import duckdb
import pytest
from conftest import JOBS, Api, Process, Serving, connected, eventually, start_server

from gfedge.ai.suspects import Suspects
from gfedge.db import new_id

GENERATE, SUPERRES = "/api/v1/ai/generate", "/api/v1/ai/superres"
ROUNDS = int(os.environ.get("GFEDGE_KILL_ROUNDS", "8"))
SEED = int(os.environ.get("GFEDGE_KILL_SEED", "1"))
CLIENTS = 5
LONG = {"prompt": f"red {builders.SLOW}", "steps": 100, "seed": 1}

PNG = {"headers": {"Content-Type": "image/png"}}
ORDERS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": (GENERATE, {"json": {"prompt": "red dragon", "seed": 1}}),
    "large": (GENERATE, {"json": {"prompt": "blue sword", "seed": 2, "n": 3, "scale": 2}}),
    "slow": (GENERATE, {"json": {"prompt": f"red {builders.SLOW}", "seed": 3, "steps": 12}}),
    "few colours": (GENERATE, {"json": {"prompt": "green potion", "seed": 4, "palette": 6}}),
    "cursed": (GENERATE, {"json": {"prompt": f"red {builders.CURSE}", "seed": 5}}),
    "smooth": (SUPERRES, {"data": builders.png_file(24, 24, alpha=True), **PNG}),
    "tile": (f"{SUPERRES}?scale=2&tileable=true", {"data": builders.png_file(40, 16), **PNG}),
    "pixel": (f"{SUPERRES}?scale=3&mode=pixel", {"data": builders.png_file(9, 9), **PNG}),
}
"""What clients ask for, by name."""


def outcome(job: Any) -> tuple[str, list[str]]:
    """How a job ended and what it shows."""
    return job["status"], [output["pixels_sha256"] for output in job["outputs"]]


async def ordered(api: Api, name: str, key: str) -> Any:
    """An order, acknowledged."""
    path, options = ORDERS[name]
    headers = {**options.get("headers", {}), "Idempotency-Key": key}
    return await api.call("POST", path, 202, **{**options, "headers": headers})


# -- kill -9 ------------------------------------------------------------------------------------


class Ledger:
    """What clients asked for and were promised; it is outside the server."""

    def __init__(self) -> None:
        self.orders: dict[str, str] = {}
        """Key to name of the order, as soon as it is sent."""
        self.promised: dict[str, str] = {}
        """Key to job id, when it is acknowledged."""

    async def send(self, api: Api, name: str, key: str) -> None:
        self.orders[key] = name
        job = await ordered(api, name, key)
        assert self.promised.setdefault(key, job["id"]) == job["id"], "a second job for one order"

    async def send_again(self, api: Api, dice: random.Random) -> None:
        """What clients do that do not know what became of their orders; some of the others do it too."""
        unsure = [key for key in self.orders if key not in self.promised]
        for key in {*unsure, *dice.sample([*self.promised], min(100, len(self.promised)))}:
            await self.send(api, self.orders[key], key)

    async def send_all_again(self, api: Api) -> None:
        for key, name in self.orders.items():
            await self.send(api, name, key)


async def trade(server: Process, ledger: Ledger, number: int) -> None:
    """Clients order until the server is killed, at a moment that the round's own dice choose."""
    dice = random.Random(f"{SEED}-{number}")
    acknowledged, enough = 0, dice.randrange(2, 40)
    busy = asyncio.Event()

    async def client(me: int) -> None:
        nonlocal acknowledged
        mine = random.Random(f"{SEED}-{number}-{me}")
        async with connected(server.address) as api:
            for count in range(100):
                name = mine.choice(list(ORDERS))
                try:
                    await ledger.send(api, name, f"{number}-{me}-{count}")
                except aiohttp.ClientError:
                    return
                acknowledged += 1
                if acknowledged >= enough:
                    busy.set()

    async def killer() -> None:
        async with connected(server.address) as api:
            await busy.wait()
            for _ in range(dice.randrange(60)):
                await api.get("/health")
        server.kill()

    await asyncio.gather(killer(), *(client(me) for me in range(CLIENTS)))


async def undisturbed(data: Path, models: Path) -> dict[str, tuple[str, list[str]]]:
    """The outcome of each order on a server that nobody kills."""
    http = await start_server(data, models)
    api = Api(http)
    jobs = {name: await ordered(api, name, f"calm-{i}") for i, name in enumerate(ORDERS)}
    found = {name: outcome(await api.until(job["id"])) for name, job in jobs.items()}
    await http.close()
    return found


async def test_no_promise_is_broken_by_kill_9(
    process: Callable[..., Process], tmp_path: Path, models: Path
) -> None:
    expected = await undisturbed(tmp_path / "calm", models)
    assert [name for name, (status, _) in expected.items() if status == "failed"] == ["cursed"]
    server = process(max_running=4, max_queue=10_000)
    ledger = Ledger()
    for number in range(ROUNDS):
        server.start()
        async with connected(server.address) as api:
            await ledger.send_again(api, random.Random(f"{SEED}-{number}-again"))
        await trade(server, ledger, number)
    server.start()
    async with connected(server.address) as api:
        await ledger.send_all_again(api)
        await audit(api, ledger, expected, server.data)
    assert server.stop() == 0
    nothing_twice(server.data)


async def audit(
    api: Api, ledger: Ledger, expected: dict[str, tuple[str, list[str]]], data: Path
) -> None:
    """Every promise kept, once, and nothing beyond them."""
    jobs = {key: await api.until(job_id) for key, job_id in ledger.promised.items()}
    for key, job in jobs.items():
        assert outcome(job) == expected[ledger.orders[key]], ledger.orders[key]
    listed = await api.pages(JOBS, "jobs", 50)
    assert sorted(job["id"] for job in listed) == sorted(ledger.promised.values())
    runs = [
        run["id"]
        for kind in ("ai-generate", "ai-superres")
        for run in await api.pages(f"/api/v1/ml-platform/experiments/{kind}/runs", "runs", 50)
    ]
    assert sorted(runs) == sorted(job["run_id"] for job in listed)
    outputs = {output["sha256"] for job in listed for output in job["outputs"]}
    for sha256 in outputs:
        assert hashlib.sha256(await api.bytes(f"/api/v1/assets/{sha256}")).hexdigest() == sha256
    files = [path for path in (data / "assets").rglob("*") if path.is_file()]
    inputs = {sha256 for job in listed for sha256 in job["inputs"]}
    assert {path.parent.name + path.stem for path in files} == inputs | outputs


def nothing_twice(data: Path) -> None:
    """The same in the database itself: no row stands there a second time."""
    unique = {
        "jobs": "id",
        "runs": "id",
        "submissions": "id",
        "params": "run_id, key",
        "metrics": "run_id, key",
        "edges": "source_kind, source_id, target_kind, target_id, relation",
        "experiments": "name",
        "model_versions": "id",
    }
    with duckdb.connect(str(data / "gfedge.duckdb"), read_only=True) as connection:
        for table, columns in unique.items():
            query = f"select {columns}, count(*) from {table} group by all having count(*) > 1"
            assert connection.execute(query).fetchall() == [], table


async def test_a_server_killed_while_it_starts_starts_the_next_time(
    process: Callable[..., Process],
) -> None:
    server = process()
    dice = random.Random(SEED)
    for _ in range(ROUNDS):
        with pytest.raises(subprocess.TimeoutExpired):
            server.launch().wait(dice.uniform(0.2, 1.2))
        server.kill()
    server.start()
    async with connected(server.address) as api:
        assert (await api.generate())["status"] == "succeeded"


async def test_a_killed_server_cleans_up_what_it_half_wrote(
    process: Callable[..., Process],
) -> None:
    server = process()
    server.start()
    async with connected(server.address) as api:
        sha256 = (await api.generate())["outputs"][0]["sha256"]
    server.kill()
    torn = server.data / "assets" / sha256[:2] / ".0123456789abcdef.part"
    torn.write_bytes(b"half a pict")
    server.start()
    assert not torn.exists()
    async with connected(server.address) as api:
        assert await api.bytes(f"/api/v1/assets/{sha256}")


# -- jobs that end the server -------------------------------------------------------------------


async def test_a_job_that_kills_the_server_twice_is_not_tried_again(
    process: Callable[..., Process],
) -> None:
    """Those that ran beside it lose nothing but time, and nobody is blamed for a stop or a kill from outside."""
    server = process(fault="segv@666", max_running=4)
    server.start()
    async with connected(server.address) as api:
        slow = f"red {builders.SLOW}"
        others = [await api.submit(slow, seed=seed, steps=9) for seed in range(3)]
        with contextlib.suppress(aiohttp.ClientError):  # it may die before it answers
            await api.submit(seed=666, key="poison")
    assert server.process is not None
    assert server.process.wait(30) == -signal.SIGSEGV
    server.launch()
    assert server.process.wait(30) == -signal.SIGSEGV
    assert "the server died by a fault in native code" in server.log.read_text()
    assert "Segmentation fault" in (server.data / "crash.log").read_text()
    server.start()
    async with connected(server.address) as api:
        failed = await api.until((await api.submit(seed=666, key="poison"))["id"])
        assert (failed["status"], failed["error"]["code"]) == ("failed", "poisonous_job")
        for job in others:
            assert (await api.until(job["id"]))["status"] == "succeeded"
        assert (await api.generate())["status"] == "succeeded"
    assert server.stop() == 0


def test_a_fault_of_its_own_weighs_more_than_a_kill_from_outside(tmp_path: Path) -> None:
    mine, other = new_id(), new_id()

    def life(crash: bool) -> Suspects:
        """Starts after a death, in which the first job runs; nobody closes it."""
        (tmp_path / "crash.log").write_text("Fatal Python error" if crash else "")
        suspects = Suspects(tmp_path)
        suspects.open([mine, other])
        suspects.began(mine)
        return suspects

    for _ in range(5):
        suspects = life(crash=False)
        assert not suspects.is_one(mine)
    suspects = life(crash=True)
    assert suspects.is_one(mine)
    assert suspects.one_runs
    assert suspects.verdict(mine) is None
    assert life(crash=False).verdict(mine) is not None
    assert life(crash=False).verdict(other) is None


def test_an_end_and_an_orderly_stop_clear_a_job(tmp_path: Path) -> None:
    mine, other = new_id(), new_id()
    for clear in (lambda suspects: suspects.ended(mine), lambda suspects: suspects.close()):
        for _ in range(12):
            suspects = Suspects(tmp_path)
            suspects.open([mine, other])
            suspects.began(mine)
            clear(suspects)
            assert suspects.verdict(mine) is None
        assert not Suspects(tmp_path).is_one(mine)


@pytest.mark.parametrize("notes", [b"", b"x" * 100, os.urandom(64 << 10), bytes(64 << 10)])
def test_notes_that_say_nothing_blame_nobody(tmp_path: Path, notes: bytes) -> None:
    (tmp_path / "running").write_bytes(notes)
    suspects = Suspects(tmp_path)
    suspects.open([new_id()])
    assert not suspects.waiting


# -- SIGTERM ------------------------------------------------------------------------------------


async def test_sigterm_stops_and_what_is_unfinished_runs_at_the_next_start(
    process: Callable[..., Process], tmp_path: Path, models: Path
) -> None:
    server = process(shutdown_grace=0, max_running=1)
    server.start()
    async with connected(server.address) as api:
        running = await api.submit(**{**LONG, "steps": 50})
        queued = [await ordered(api, name, name.replace(" ", "-")) for name in ORDERS]
        await api.until(running["id"], "running")
        assert server.stop() == 0
    server.start()
    async with connected(server.address) as api:
        assert (await api.until(running["id"]))["status"] == "succeeded"
        ended = [outcome(await api.until(job["id"])) for job in queued]
    assert ended == list((await undisturbed(tmp_path / "calm", models)).values())
    assert server.stop() == 0
    nothing_twice(server.data)


async def test_running_work_gets_its_grace_at_sigterm(process: Callable[..., Process]) -> None:
    server = process(shutdown_grace=25)
    server.start()
    async with connected(server.address) as api:
        job = await api.submit(f"red {builders.SLOW}", steps=20)
        await api.until(job["id"], "running")
        assert server.stop() == 0
    stopped_at = time.time()
    server.start()
    async with connected(server.address) as api:
        ended = await api.job(job["id"])
    assert ended["status"] == "succeeded"
    assert ended["finished_at"] < stopped_at


async def test_who_waits_at_sigterm_gets_an_answer(process: Callable[..., Process]) -> None:
    server = process(shutdown_grace=0)
    server.start()
    async with connected(server.address) as api:
        headers = {"Prefer": "wait=60"}
        waiting = asyncio.create_task(api.call("POST", GENERATE, 202, json=LONG, headers=headers))
        listed = await eventually(lambda: api.get(JOBS), lambda page: bool(page["jobs"]))
        await api.until(listed["jobs"][0]["id"], "running")
        assert server.stop() == 0
        assert (await waiting)["id"] == listed["jobs"][0]["id"]


def test_a_second_server_says_why_it_does_not_start(
    process: Callable[..., Process], tmp_path: Path
) -> None:
    first = process()
    first.start()
    port = first.address.rpartition(":")[2]
    same_data, same_port = process(), process(tmp_path / "other", port=port)
    same_data.log = tmp_path / "second.log"
    assert [one.launch().wait(30) for one in (same_data, same_port)] == [2, 2]
    said = same_data.log.read_text()
    assert f"process {first.process.pid}" in said  # type: ignore[union-attr]
    assert "--data" in said
    assert "Traceback" not in said
    said = same_port.log.read_text()
    assert f"cannot listen on 127.0.0.1:{port}" in said
    assert "--port" in said
    assert "Traceback" not in said
    assert first.stop() == 0
    assert "Traceback" not in first.log.read_text()


# -- a full disk --------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few MiB, where it may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("mount") is None or os.name == "nt":
        pytest.skip("there is no mount command to make a small disk with")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m,nr_inodes=400", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Takes the last byte of a disk; gives the file that did."""
    path = disk / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return path


async def until_refused(api: Api) -> list[str]:
    """Sends jobs until the disk is said to be full; gives the ids of those that were taken before."""
    taken = []
    for _ in range(500):
        async with api.http.request("POST", GENERATE, json={"prompt": "red dragon"}) as response:
            body = await response.json(content_type=None)
            if response.status != 202:
                assert (response.status, body["code"]) == (507, "disk_full"), body
                assert "free some space" in body["detail"]
                return taken
            taken.append(body["id"])
    raise AssertionError("a full disk took 500 jobs")


async def test_a_full_disk_refuses_new_work_and_nothing_else(
    serving: Serving, small_disk: Path
) -> None:
    data = small_disk / "data"
    client = await serving(data=data)
    done = await client.generate(seed=1)
    filler = fill(small_disk)
    taken = await until_refused(client)
    upload = {"data": builders.png_file(90, 90), **PNG}
    await client.refused("POST", SUPERRES, 507, "disk_full", **upload)
    assert (await client.get("/health"))["status"] == "ok"
    assert await client.job(done["id"]) == done
    assert done["id"] in [job["id"] for job in (await client.get(JOBS, limit=1000))["jobs"]]
    assert await client.bytes(done["outputs"][0]["url"])
    assert (await client.get(f"{JOBS}/{done['id']}/trace"))["nodes"]
    filler.unlink()
    again = await client.generate(seed=1)
    assert outcome(again) == outcome(done)
    assert (await client.upscale(upload["data"]))["status"] == "succeeded"
    await recorded(client, taken)
    await kept_over_a_restart(serving, data, [*taken, done["id"], again["id"]])


async def kept_over_a_restart(serving: Serving, data: Path, promised: list[str]) -> None:
    client = await serving(data=data)
    for job_id in promised:
        job = await client.until(job_id)
        assert job["status"] == "succeeded" or job["error"]["code"] == "disk_full"
    listed = [job["id"] for job in await client.pages(JOBS, "jobs", 100)]
    assert set(listed) >= set(promised)
    assert len(set(listed)) == len(listed)


async def test_a_job_that_meets_a_full_disk_ends_with_a_reason_and_a_record(
    serving: Serving, small_disk: Path
) -> None:
    client = await serving(data=small_disk / "data")
    victim = await client.submit(**{**LONG, "steps": 40})
    await client.until(victim["id"], "running")
    filler = fill(small_disk)
    await eventually(lambda: client.job(victim["id"]), at_its_end)
    filler.unlink()
    assert (await client.generate())["status"] == "succeeded"
    ended = await client.until(victim["id"])
    if ended["status"] == "failed":
        assert ended["error"]["code"] == "disk_full"
        assert "free some space" in ended["error"]["detail"]
    await recorded(client, [victim["id"]])


def at_its_end(job: Any) -> bool:
    """Whether all that is left to do for a job is to write what came of it."""
    step, steps = job["progress"]["step"], job["progress"]["steps"]
    return job["status"] == "failed" or step == steps > 0


async def recorded(api: Api, job_ids: list[str]) -> None:
    """These jobs have ended, and their ends are on record."""
    for job_id in job_ids:
        job = await api.until(job_id)
        run = await api.get(f"/api/v1/ml-platform/runs/{job['run_id']}")
        assert run["params"]["job"] == job_id
    listed = [job["id"] for job in await api.pages(JOBS, "jobs", 100)]
    assert set(job_ids) <= set(listed)


async def test_a_disk_without_room_for_another_file_is_full_too(
    serving: Serving, small_disk: Path
) -> None:
    client = await serving(data=small_disk / "data")
    done = await client.generate(seed=1)
    folder = small_disk / "files"
    folder.mkdir()
    try:
        for number in range(1000):
            (folder / str(number)).touch()
    except OSError:
        pass
    upload = {"data": builders.png_file(90, 90), **PNG}
    await client.refused("POST", SUPERRES, 507, "disk_full", **upload)
    job = await client.until((await client.submit(seed=2))["id"])
    assert (job["status"], job["error"]["code"]) == ("failed", "disk_full")
    shutil.rmtree(folder)
    assert outcome(await client.generate(seed=1)) == outcome(done)


async def test_work_is_refused_before_the_disk_is_full(serving: Serving) -> None:
    client = await serving()
    done = await client.generate()
    client = await serving(min_free_disk=1 << 60)
    upload = {"data": builders.png_file(), **PNG}
    for path, options in ((GENERATE, {"json": {"prompt": "red dragon"}}), (SUPERRES, upload)):
        problem = await client.refused("POST", path, 507, "disk_full", **options)
        assert "min_free_disk" in problem["detail"]
        assert "free some space" in problem["detail"]
    assert await client.job(done["id"]) == done
    assert await client.bytes(done["outputs"][0]["url"])
    assert (await client.get("/health"))["status"] == "ok"
