"""What the tests share: small real models, a real server in this process, and a real `gfedge serve` beside it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import builders
import pytest
from aiohttp.test_utils import TestClient, TestServer

from gfedge.app import make_app
from gfedge.settings import Settings

JOBS = "/api/v1/ml-platform/ai-jobs"
WS = "/api/v1/ml-platform/ws"
Socket = aiohttp.ClientWebSocketResponse[Any]
ENDED = ("succeeded", "failed", "cancelled")
PATIENCE = 60.0
"""Seconds after which something that should happen is said not to; a loaded machine needs some."""


async def eventually(ask: Callable[[], Awaitable[Any]], wanted: Callable[[Any], bool]) -> Any:
    """What `ask` gives once it is what is wanted; fails after PATIENCE."""
    give_up_at = time.monotonic() + PATIENCE
    while not wanted(found := await ask()):
        assert time.monotonic() < give_up_at, f"still waiting; last seen: {found}"
        await asyncio.sleep(0.005)
    return found


class Api:
    """The calls to a server that tests repeat. Each checks the status and gives back the decoded JSON."""

    def __init__(self, http: TestClient[Any, Any] | aiohttp.ClientSession) -> None:
        self.http = http

    async def call(self, method: str, path: str, status: int = 200, **options: Any) -> Any:
        async with self.http.request(method, path, **options) as response:
            assert response.status == status, await response.text()
            return await response.json(content_type=None)

    async def get(self, path: str, **query: Any) -> Any:
        return await self.call("GET", path, params={k: str(v) for k, v in query.items()})

    async def bytes(self, path: str) -> bytes:
        async with self.http.request("GET", path) as response:
            assert response.status == 200, await response.text()
            return await response.read()

    async def submit(self, prompt: str = "red dragon", key: str = "", **params: Any) -> Any:
        """A generate job, acknowledged."""
        headers = {"Idempotency-Key": key} if key else {}
        body = {"prompt": prompt, **params}
        return await self.call("POST", "/api/v1/ai/generate", 202, json=body, headers=headers)

    async def generate(self, prompt: str = "red dragon", **params: Any) -> Any:
        """A generate job, succeeded."""
        body, headers = {"prompt": prompt, **params}, {"Prefer": "wait=60"}
        job = await self.call("POST", "/api/v1/ai/generate", json=body, headers=headers)
        assert job["status"] == "succeeded", job["error"]
        return job

    async def upscale(
        self, data: bytes, media_type: str = "image/png", status: int = 200, **query: Any
    ) -> Any:
        """A superres job of a raw picture, succeeded (or only acknowledged with status 202)."""
        headers = {"Content-Type": media_type} | ({"Prefer": "wait=60"} if status == 200 else {})
        query = {k: str(v) for k, v in query.items()}
        path = "/api/v1/ai/superres"
        job = await self.call("POST", path, status, data=data, headers=headers, params=query)
        assert status == 202 or job["status"] == "succeeded", job["error"]
        return job

    async def job(self, job_id: str) -> Any:
        return await self.get(f"{JOBS}/{job_id}")

    async def until(self, job_id: str, *statuses: str) -> Any:
        """The job once it has one of these statuses, or has ended."""
        wanted = statuses or ENDED
        return await eventually(lambda: self.job(job_id), lambda job: job["status"] in wanted)

    async def cancel(self, *jobs: Any) -> None:
        for job in jobs:
            await self.call("DELETE", f"{JOBS}/{job['id']}")

    async def pages(self, path: str, what: str, limit: int, **query: Any) -> list[Any]:
        """Everything of a listing, page after page."""
        found: list[Any] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await self.get(path, limit=limit, cursor=cursor, **query)
            assert len(page[what]) <= limit
            found += page[what]
            cursor = page["next"]
        return found

    async def refused(
        self, method: str, path: str, status: int, code: str, **options: Any
    ) -> dict[str, Any]:
        """The problem of a request that must be refused, its shape checked."""
        async with self.http.request(method, path, **options) as response:
            problem: dict[str, Any] = await response.json(content_type=None)
            assert (response.status, problem.get("code")) == (status, code), problem
            assert response.content_type == "application/problem+json"
            assert problem["status"] == status
            assert problem["title"]
            assert problem["detail"]
            return problem


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Api]:
    """A client of a server at an address."""
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(address, timeout=timeout) as http:
        yield Api(http)


async def said(ws: Socket, *types: str) -> dict[str, Any]:
    """The next message of one of these types (of any, where none is named)."""
    while True:
        found: dict[str, Any] = await ws.receive_json(timeout=30)
        assert list(found) == ["type", "seq", "at", "data"]
        if not types or found["type"] in types:
            return found


@asynccontextmanager
async def listening(
    api: Api, first: dict[str, Any] | None = None, stream: str = "training-jobs"
) -> AsyncIterator[Socket]:
    """A client of a stream, after its snapshot."""
    async with api.http.ws_connect(f"{WS}/{stream}") as ws:
        if first is not None:
            await ws.send_json(first)
        assert (await said(ws))["type"] == "snapshot"
        yield ws


Serving = Callable[..., Awaitable[Api]]


def make_models(folder: Path) -> Path:
    """A sprite and a superres model; a prompt with builders.SLOW takes the first long."""
    builders.make_sprite_folder(folder, onnx_bytes=builders.slow_velocity_onnx())
    builders.make_superres_folder(folder)
    return folder


async def start_server(data: Path, models: Path, **settings: Any) -> TestClient[Any, Any]:
    """A client of a real server in this process; close it to stop the server."""
    given = {"data": data, "models": models, "device": "cpu", "workers": 2}
    given |= {"shutdown_grace": 0.0, "min_free_disk": 0}
    app = make_app(Settings(**{**given, **settings}))
    client = TestClient(TestServer(app, port=settings.get("port")))
    try:
        await client.start_server()
    except BaseException:
        await client.session.close()
        raise
    return client


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return make_models(tmp_path / "models")


@pytest.fixture
async def serving(tmp_path: Path, models: Path) -> AsyncIterator[Serving]:
    """Starts servers in this process, one after the other on the same data; a new one stops the one before."""
    running: list[TestClient[Any, Any]] = []

    async def stop() -> None:
        while running:
            await running.pop().close()

    async def start(**settings: Any) -> Api:
        await stop()
        where = {"data": tmp_path / "data", "models": models}
        running.append(await start_server(**{**where, **settings}))
        return Api(running[-1])

    yield start
    await stop()


@pytest.fixture
async def client(serving: Serving) -> Api:
    """A server in this process, on the small models and a new data folder."""
    return await serving()


class Process:
    """A `gfedge serve` in a process of its own. Started again, it listens where it did before."""

    def __init__(self, data: Path, models: Path | None, **settings: Any) -> None:
        self.command = [sys.executable, "-m", "gfedge"]
        self.data = data
        self.models = models
        values = {"port": 0, "device": "cpu", "workers": 2, "min_free_disk": 0, **settings}
        self.environment = {f"GFEDGE_{k.upper()}": str(v) for k, v in values.items()}
        self.process: subprocess.Popen[bytes] | None = None
        self.address = ""
        self.log = data.parent / f"{data.name}.log"

    def launch(self, *words: str) -> subprocess.Popen[bytes]:
        arguments = ["serve", *words, "--data", str(self.data)]
        arguments += ["--models", str(self.models)] if self.models else []
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*self.command, *arguments],
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
            )
        return self.process

    def start(self) -> str:
        """Starts it and waits until it listens; gives its address."""
        self.launch()
        self.address = self.wait_for(" on http://").split(" on ")[1].split(",")[0]
        self.environment["GFEDGE_PORT"] = self.address.rpartition(":")[2]
        return self.address

    def wait_for(self, text: str) -> str:
        """Waits until the log holds this text; gives the log."""
        assert self.process is not None
        give_up_at = time.monotonic() + PATIENCE
        while text not in (said := self.log.read_text()):
            assert self.process.poll() is None, said
            assert time.monotonic() < give_up_at, said
            time.sleep(0.01)
        return said

    def kill(self) -> None:
        """kill -9: no handler runs, nothing is flushed."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE)

    def stop(self) -> int:
        """SIGTERM; gives the exit code, which must come within 30 s."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.fixture
def process(tmp_path: Path, models: Path) -> Iterator[Callable[..., Process]]:
    """Makes `gfedge serve` processes on one data folder (unless told otherwise); none outlives the test."""
    made: list[Process] = []

    def make(data: Path = tmp_path / "data", folder: Path | None = models, **more: Any) -> Process:
        made.append(Process(data, folder, **more))
        return made[-1]

    yield make
    for one in made:
        if one.process is not None and one.process.poll() is None:
            one.kill()
