"""`engine = "ray"` on a real cluster of this machine: needs Ray (`make ray`). What several workers mean is in test_workers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import builders
import psutil
import pytest
from conftest import Api, Process, connected, eventually, start_server

from gfedge.inference import messages
from gfedge.inference.cluster import ray_problem
from gfedge.inference.device import driver_problem
from gfedge.inference.types import EngineOptions

pytestmark = pytest.mark.skipif(bool(ray_problem()), reason="Ray is not here: make ray")
READY = "/api/v1/monitoring/health/ready"
NODES = ("east", "west")
SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
"""Of Ray: whether a token is asked for would else depend on the home folder."""


class Cluster:
    """A Ray cluster in processes of its own; its head has no cores."""

    def __init__(self, folder: Path, *nodes: str, port: int = 0) -> None:
        self.cache = folder / "cache"
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("ray_cluster.py")), str(port), *nodes],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **SETTINGS, "XDG_CACHE_HOME": str(self.cache)},
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        assert self.address

    def actors(self) -> list[psutil.Process]:
        """The processes that hold engines."""
        found = []
        for one in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):  # it has just ended
                if "ray::Actor" in " ".join(one.cmdline()):
                    found.append(one)
        return found

    def head(self) -> psutil.Process:
        """The head's raylet, which a server on this machine has joined; the others are nodes without `--head`."""
        parts = psutil.Process(self.process.pid).children(recursive=True)
        return next(one for one in parts if "--head" in one.cmdline() and "raylet" in one.name())

    def tell(self, what: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def end(self) -> None:
        assert self.process.stdin is not None
        left = psutil.Process(self.process.pid).children(recursive=True)
        self.process.stdin.close()
        self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        for one in left:
            if one.is_running():
                one.kill()


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"), *NODES)
    yield made
    made.end()


@pytest.fixture
async def server(
    process: Callable[..., Process], cluster: Cluster
) -> AsyncIterator[Callable[..., Any]]:
    """Starts a server on the cluster; gives a client of it once both workers answer."""
    opened: list[Any] = []

    async def start(**settings: Any) -> Api:
        given = {"engine": "ray", "ray_address": cluster.address, "metrics_interval": 1}
        running = process(workers=1, **given, **settings)
        running.start()
        opened.append(connected(running.address))
        api: Api = await opened[-1].__aenter__()
        await eventually(lambda: workers(api), lambda found: "2 of 2 answer" in found)
        return api

    yield start
    for one in opened:
        await one.__aexit__(None, None, None)


async def ready(api: Api) -> dict[str, Any]:
    async with api.http.get(READY) as response:
        found: dict[str, Any] = await response.json()
        assert response.status == (200 if found["status"] == "ready" else 503)
        return found


async def workers(api: Api) -> str:
    check = (await ready(api))["checks"].get("workers")
    return check["reason"] if check else ""


async def metric(api: Api, name: str) -> dict[str, float]:
    """Values of a metric by worker."""
    said = (await api.bytes("/metrics")).decode().splitlines()
    lines = [line for line in said if line.startswith(f"{name}{{")]
    return {line.split('worker="')[1].split('"')[0]: float(line.split()[-1]) for line in lines}


async def pixels(api: Api, job: Any) -> list[str]:
    done = await api.until(job["id"])
    assert done["status"] == "succeeded", done["error"]
    return [one["pixels_sha256"] for one in done["outputs"]]


async def undisturbed(folder: Path, models: Path, count: int) -> list[list[str]]:
    """What a server without a cluster draws."""
    http = await start_server(folder, models)
    api = Api(http)
    found = [await pixels(api, await api.submit(seed=seed)) for seed in range(count)]
    await http.close()
    return found


async def test_one_of_the_workers_is_killed_under_load(
    server: Callable[..., Any], cluster: Cluster, tmp_path: Path, models: Path
) -> None:
    expected = await undisturbed(tmp_path / "calm", models, 24)
    api = await server()
    jobs = [await api.submit(seed=seed) for seed in range(24)]
    slow = [await api.submit(prompt=builders.SLOW, seed=1, steps=20) for _ in range(4)]
    await eventually(lambda: metric(api, "gfedge_worker_calls"), lambda found: all(found.values()))
    victim = cluster.actors()[0]
    victim.send_signal(signal.SIGKILL)
    assert [await pixels(api, job) for job in jobs] == expected
    assert len({tuple(await pixels(api, job)) for job in slow}) == 1
    listed = await api.pages("/api/v1/ml-platform/ai-jobs", "jobs", 100)
    assert sorted(job["id"] for job in listed) == sorted(job["id"] for job in [*jobs, *slow])
    assert {job["status"] for job in listed} == {"succeeded"}
    runs = await api.pages("/api/v1/ml-platform/runs", "runs", 100)
    assert len(runs) == len(listed)  # none was done twice
    await eventually(
        lambda: metric(api, "gfedge_worker_restarts_total"),
        lambda found: sum(found.values()) == 1,
    )
    await eventually(lambda: workers(api), lambda found: found == "2 of 2 answer")
    assert len(await metric(api, "gfedge_worker_cpu_seconds_total")) == 2


async def test_a_poisonous_job_fails_and_the_cluster_goes_on(server: Callable[..., Any]) -> None:
    api = await server(fault="segv@666")
    before = [await api.submit(seed=seed) for seed in range(6)]
    poison = await api.submit(seed=666)
    after = [await api.submit(seed=seed) for seed in range(6, 12)]
    failed = await api.until(poison["id"])
    assert (failed["status"], failed["error"]["code"]) == ("failed", "poisonous_job")
    for job in [*before, *after]:
        assert await pixels(api, job)
    await eventually(lambda: workers(api), lambda found: found == "2 of 2 answer")


async def test_progress_comes_and_cancelling_reaches_the_actor(
    server: Callable[..., Any], models: Path
) -> None:
    net = builders.slow_velocity_onnx(1000)
    builders.make_sprite_folder(models, name="slower", onnx_bytes=net)
    api = await server()
    job = await api.submit(prompt=builders.SLOW, model="slower", steps=100)
    moved = await eventually(
        lambda: api.job(job["id"]), lambda found: found["progress"]["step"] > 1
    )
    assert moved["status"] == "running"
    await api.cancel(job)
    assert (await api.until(job["id"]))["status"] == "cancelled"
    await eventually(
        lambda: metric(api, "gfedge_worker_calls"), lambda found: not any(found.values())
    )


async def test_a_new_version_is_on_all_workers_before_it_serves(
    server: Callable[..., Any], cluster: Cluster, models: Path
) -> None:
    builders.make_sprite_folder(models, version="2", onnx_bytes=builders.slow_velocity_onnx(1))
    api = await server()
    name = "/api/v1/ml-platform/models/sprite"
    await api.call("POST", f"{name}/promote", json={"version": "1", "stage": "prod"})
    said = await eventually(
        lambda: api.bytes("/metrics"), lambda said: said.count(b'model="sprite",version="1"') >= 2
    )
    held = [line for line in said.decode().splitlines() if "worker_model_memory_bytes{" in line]
    for node in NODES:
        assert any(f'"{node}/0"' in line and 'version="1"' in line for line in held)
    job = await api.generate(seed=3)
    assert job["model"]["version"] == "1"
    kept = {path.name for path in (cluster.cache / "gfedge" / "models").iterdir()}
    assert any(name.startswith("model-") for name in kept)


async def test_the_node_that_the_server_has_joined_ends_and_another_is_there(
    process: Callable[..., Process], tmp_path: Path
) -> None:
    own = await asyncio.to_thread(Cluster, tmp_path, *NODES)
    running = process(engine="ray", ray_address=own.address, workers=1, metrics_interval=1)
    running.start()
    try:
        async with connected(running.address) as api:
            await eventually(lambda: workers(api), lambda found: "2 of 2 answer" in found)
            own.head().kill()  # while there is nothing to do, when Ray does not notice
            await eventually(
                lambda: metric(api, "gfedge_worker_restarts_total"),
                lambda found: len(found) == 2 and all(found.values()),
            )
            assert await pixels(api, await api.submit(seed=1))
        assert running.stop() == 0
    finally:
        await asyncio.to_thread(own.end)


@pytest.mark.skipif(not driver_problem(), reason="there is a GPU here, which would be used")
async def test_a_gpu_that_cuda_does_not_find_is_not_used_and_told(
    server: Callable[..., Any], cluster: Cluster
) -> None:
    api = await server(device="auto")
    await asyncio.to_thread(cluster.tell, "add gpu-1")
    found = await eventually(
        lambda: ready(api), lambda found: "CUDA" in found["checks"]["models"]["reason"]
    )
    assert "gpu-1/gpu0: " in found["checks"]["models"]["reason"]
    assert found["checks"]["workers"]["reason"].startswith("0 of 2 answer")
    job = await api.submit(seed=1)
    await asyncio.to_thread(cluster.tell, "remove gpu-1")
    assert await pixels(api, job)
    await eventually(lambda: workers(api), lambda found: found == "2 of 2 answer")


def test_a_cluster_without_the_gpu_that_is_asked_for_says_so() -> None:
    from gfedge.inference.hub import Hub

    begin = messages.Begin(EngineOptions(device="cuda"))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        hub = Hub(messages.Line(ours), messages.Connect("auto", 0, begin))
        assert hub.state() == "Ray (auto) counts no GPU on any node"


async def test_an_address_where_something_else_listens(process: Callable[..., Process]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        running = process(engine="ray", ray_address=f"127.0.0.1:{mute.getsockname()[1]}")
        running.start()
        async with connected(running.address) as api:
            await eventually(
                lambda: ready(api),
                lambda found: "not answered as a Ray head" in str(found["checks"]["models"]),
            )
        assert running.stop() == 0


async def test_a_cluster_that_is_not_there_and_goes(
    process: Callable[..., Process], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    running = process(engine="ray", ray_address=f"127.0.0.1:{port}", metrics_interval=1)
    running.start()
    async with connected(running.address) as api:
        job = await api.submit(seed=1)
        found = await eventually(
            lambda: ready(api), lambda found: "cannot be reached" in str(found["checks"]["models"])
        )
        assert found["status"] == "not ready"
        for _ in range(2):
            made = await asyncio.to_thread(Cluster, tmp_path, "east", port=port)
            try:
                assert await pixels(api, job)
                await eventually(lambda: ready(api), lambda found: found["checks"]["models"]["ok"])
            finally:
                await asyncio.to_thread(made.end)
            job = await api.submit(seed=2)
            await eventually(
                lambda: ready(api), lambda found: "no worker" in str(found["checks"]["models"])
            )
            assert (await api.job(job["id"]))["status"] in ("queued", "running")
    assert running.stop() == 0
