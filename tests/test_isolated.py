"""Engine faults end one job: a run that does not end, a process that dies or hangs, a job that kills it twice."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import builders
import msgspec
import numpy as np
import psutil
import pytest
from conftest import Process, connected, eventually

from gfedge.inference import messages
from gfedge.inference.engine import Engine
from gfedge.inference.folder import read_folder
from gfedge.inference.isolated import IsolatedEngine
from gfedge.inference.types import (
    Cancel,
    Cancelled,
    EngineError,
    EngineOptions,
    GenerateRequest,
    ModelFolder,
    PoisonousJob,
    Result,
    UpscaleRequest,
)

OPTIONS = EngineOptions(device="cpu", workers=2)
ENDLESS = 10**8


@pytest.fixture
def isolated() -> Iterator[Callable[..., IsolatedEngine]]:
    made: list[IsolatedEngine] = []

    def start(options: EngineOptions = OPTIONS, **how: Any) -> IsolatedEngine:
        made.append(IsolatedEngine(options, **how))
        made[-1].start()
        return made[-1]

    yield start
    for engine in made:
        engine.close()
    assert not list(messages.SHARED.glob(f"{messages.PREFIX}{os.getpid()}-*"))


@pytest.fixture
def sprite(tmp_path: Path) -> ModelFolder:
    return read_folder(builders.make_sprite_folder(tmp_path))


@pytest.fixture
def endless(tmp_path: Path) -> ModelFolder:
    """A step of the prompt SLOW never ends."""
    net = builders.slow_velocity_onnx(turns=ENDLESS)
    return read_folder(builders.make_sprite_folder(tmp_path, onnx_bytes=net))


def generating(
    engine: Any,
    model: ModelFolder,
    prompt: str = "red dragon",
    cancel: Cancel | None = None,
    **more: Any,
) -> Future[Result]:
    request = GenerateRequest(**{"prompt": prompt, "steps": 4, **more})
    return engine.generate(model, request, lambda done, units: None, cancel or Cancel())


def child() -> psutil.Process:
    """The inference process of this one."""
    (found,) = (
        process
        for process in psutil.Process().children()
        if "gfedge.inference.worker" in process.cmdline()
    )
    return found


def test_the_results_are_those_of_an_engine_in_this_process(
    isolated: Callable[..., IsolatedEngine], sprite: ModelFolder, tmp_path: Path
) -> None:
    superres = read_folder(builders.make_superres_folder(tmp_path))
    here, apart = Engine(OPTIONS), isolated()
    here.start()
    try:
        for engine in (here, apart):
            assert engine.load(sprite).result(30) > 0
        ours = generating(here, sprite, seed=3, n=2).result(30)
        theirs = generating(apart, sprite, seed=3, n=2).result(30)
        for one, other in zip(ours.images, theirs.images, strict=True):
            np.testing.assert_array_equal(one, other)
        picture, seen = builders.noise(40, 30, alpha=True), list[tuple[int, int]]()
        request = UpscaleRequest(scale=2)

        def progress(done: int, units: int) -> None:
            seen.append((done, units))

        large = [
            engine.upscale(superres, picture, request, progress, Cancel()).result(30).images[0]
            for engine in (here, apart)
        ]
        np.testing.assert_array_equal(*large)
        assert seen[0] == seen[-1] == (1, 1)
        assert {model.name for model in apart.loaded()} == {"sprite", "superres"}
        assert apart.device.provider == "CPUExecutionProvider"
    finally:
        here.close()


def test_previews_come_across(isolated: Callable[..., IsolatedEngine], sprite: ModelFolder) -> None:
    seen = []
    request = GenerateRequest(prompt="red dragon", steps=4)
    isolated().generate(
        sprite,
        request,
        lambda done, units: None,
        Cancel(),
        lambda index, make: seen.append((index, make().shape)),
    ).result(30)
    assert seen[0] == (0, (32, 32, 4))


def test_a_model_that_is_refused_fails_its_call_alone(
    isolated: Callable[..., IsolatedEngine], sprite: ModelFolder, tmp_path: Path
) -> None:
    net = builders.superres_onnx(white_fails=True)
    fragile = read_folder(builders.make_superres_folder(tmp_path, onnx_bytes=net))
    engine, white = isolated(), np.full((8, 8, 4), 255, np.uint8)
    with pytest.raises(EngineError, match="failed"):
        engine.upscale(fragile, white, UpscaleRequest(), lambda done, units: None, Cancel()).result(
            30
        )
    assert generating(engine, sprite).result(30).images
    assert engine.restarts == 0


@pytest.mark.parametrize("fault", ["segv", "exit", "oom"])
def test_a_death_ends_the_job_that_caused_it_and_no_other(
    isolated: Callable[..., IsolatedEngine], sprite: ModelFolder, fault: str
) -> None:
    engine = isolated(msgspec.structs.replace(OPTIONS, fault=f"{fault}@666"))
    before = [generating(engine, sprite, seed=seed, steps=50) for seed in range(4)]
    poison = generating(engine, sprite, seed=666)
    after = [generating(engine, sprite, seed=seed) for seed in range(4, 8)]
    with pytest.raises(PoisonousJob, match="twice"):
        poison.result(60)
    assert [len(future.result(60).images) for future in [*before, *after]] == [1] * 8
    assert generating(engine, sprite).result(60).images
    assert engine.restarts == 2


def test_a_process_that_is_killed_once_costs_nobody_anything(
    isolated: Callable[..., IsolatedEngine], sprite: ModelFolder
) -> None:
    engine = isolated()
    expected = generating(engine, sprite, seed=5).result(30).images[0]
    running = [generating(engine, sprite, seed=5, steps=4) for _ in range(8)]
    child().kill()
    for future in running:
        np.testing.assert_array_equal(future.result(60).images[0], expected)
    assert generating(engine, sprite, seed=5).result(60).images


def test_a_process_that_hangs_is_killed(
    isolated: Callable[..., IsolatedEngine], sprite: ModelFolder
) -> None:
    engine = isolated(msgspec.structs.replace(OPTIONS, fault="hang@666"), hang_seconds=2.0)
    generating(engine, sprite).result(30)
    with pytest.raises(PoisonousJob):
        generating(engine, sprite, seed=666).result(60)
    assert generating(engine, sprite).result(60).images


def test_cancelling_reaches_the_process(
    isolated: Callable[..., IsolatedEngine], tmp_path: Path
) -> None:
    net = builders.slow_velocity_onnx()
    slow = read_folder(builders.make_sprite_folder(tmp_path, onnx_bytes=net))
    engine, cancel = isolated(), Cancel()
    future = generating(engine, slow, builders.SLOW, cancel, steps=5000)
    other = generating(engine, slow)
    cancel.cancel()
    with pytest.raises(Cancelled):
        future.result(30)
    assert other.result(30).images


def test_closing_ends_the_process(sprite: ModelFolder) -> None:
    engine = IsolatedEngine(OPTIONS)
    engine.start()
    generating(engine, sprite).result(30)
    process = child()
    engine.close()
    assert not process.is_running()
    with pytest.raises(EngineError, match="closed"):
        generating(engine, sprite).result(1)


def test_the_process_has_no_secrets(
    isolated: Callable[..., IsolatedEngine], sprite: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFANA_API_KEY", "hush")
    generating(isolated(), sprite).result(30)
    assert "hush" not in str(child().environ())
    assert child().environ()["MALLOC_ARENA_MAX"] == "2"


def test_a_run_that_does_not_end_is_ended(endless: ModelFolder) -> None:
    engine = Engine(EngineOptions(device="cpu", workers=2, run_seconds=0.5))
    engine.start()
    try:
        with pytest.raises(EngineError, match=r"longer than 0\.5 s"):
            generating(engine, endless, builders.SLOW).result(30)
        assert generating(engine, endless).result(30).images
    finally:
        engine.close()


def test_closing_ends_a_run_in_flight(endless: ModelFolder) -> None:
    engine = Engine(EngineOptions(device="cpu", workers=2, run_seconds=3600.0))
    engine.start()
    engine.load(endless).result(30)
    found = generating(engine, endless, builders.SLOW)
    assert engine.place is not None
    while not engine.place.sessions.deadline._running:
        assert not found.done()
    engine.close()
    assert not engine.threads
    with pytest.raises(Cancelled):
        found.result(1)


async def test_a_server_with_isolated_inference_survives_it(
    process: Callable[..., Process],
) -> None:
    server = process(engine="isolated", fault="segv@666", metrics_interval=1)
    server.start()
    async with connected(server.address) as api:
        assert (await api.generate(seed=1))["status"] == "succeeded"
        job = await api.submit(seed=666)
        failed = await api.until(job["id"])
        assert (failed["status"], failed["error"]["code"]) == ("failed", "poisonous_job")
        assert (await api.generate(seed=1))["status"] == "succeeded"
        ready = await api.get("/api/v1/monitoring/health/ready")
        assert ready["checks"]["workers"]["reason"] == "1 of 1 answer"
        await eventually(
            lambda: api.bytes("/metrics"),
            lambda said: b'gfedge_worker_restarts_total{worker="isolated"} 2.0' in said,
        )
    assert server.stop() == 0


@pytest.fixture(params=["in the server", "apart"])
def faulty(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Starts an engine of either kind in which something goes wrong at the picture of seed 666."""
    made: list[Any] = []

    def start(fault: str, **more: Any) -> Any:
        options = msgspec.structs.replace(OPTIONS, fault=f"{fault}@666", **more)
        made.append(IsolatedEngine(options) if request.param == "apart" else Engine(options))
        made[-1].start()
        return made[-1]

    yield start
    for engine in made:
        engine.close()


def test_what_a_graph_raises_ends_its_job_alone(
    faulty: Callable[..., Any], sprite: ModelFolder
) -> None:
    engine = faulty("raise")
    others = [generating(engine, sprite, seed=seed, steps=20) for seed in range(6)]
    with pytest.raises(EngineError, match="as was asked for"):
        generating(engine, sprite, seed=666, steps=20).result(60)
    assert all(future.result(60).images for future in others)


def test_a_batch_without_room_is_made_again_smaller(
    faulty: Callable[..., Any], sprite: ModelFolder
) -> None:
    engine = faulty("memory")
    expected = generating(engine, sprite, seed=665).result(60).images
    many = generating(engine, sprite, seed=664, n=6).result(60)  # among them 666
    assert len(many.images) == 6
    np.testing.assert_array_equal(many.images[1], expected[0])


def test_a_lost_device_is_told_and_jobs_fail(
    faulty: Callable[..., Any], sprite: ModelFolder
) -> None:
    engine = faulty("lost")
    with pytest.raises(EngineError, match="unspecified launch failure"):
        generating(engine, sprite, seed=666).result(30)
    assert "the GPU was lost" in engine.device.note
    assert engine.device.lost


def test_where_it_is_set_the_cpu_takes_over_from_a_lost_device(
    faulty: Callable[..., Any], sprite: ModelFolder
) -> None:
    engine = faulty("lost", cpu_fallback=True)
    with pytest.raises(EngineError):
        generating(engine, sprite, seed=666).result(30)
    others = [generating(engine, sprite, seed=seed) for seed in range(6)]
    assert all(future.result(30).images for future in others)
    assert "running on CPU" in engine.device.note
    assert engine.device.lost
