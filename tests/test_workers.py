"""Several workers behind one engine: who gets what, what a death says, which files travel. The workers are processes here."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import builders
import numpy as np
import psutil
import pytest

from gfedge.inference import messages, supervised
from gfedge.inference.calls import Call, Calls, Worker
from gfedge.inference.child import Child
from gfedge.inference.cluster import ray_problem
from gfedge.inference.device import on_cpu
from gfedge.inference.engine import Engine
from gfedge.inference.evidence import CRASH, KILL
from gfedge.inference.folder import read_folder
from gfedge.inference.isolated import KEPT
from gfedge.inference.node_files import NodeFiles
from gfedge.inference.places import places
from gfedge.inference.supervised import SupervisedEngine
from gfedge.inference.types import (
    Cancel,
    Cancelled,
    EngineError,
    EngineOptions,
    GenerateRequest,
    LoadedModel,
    ModelFolder,
    ModelRefused,
    PoisonousJob,
    Result,
    UpscaleRequest,
)

OPTIONS = EngineOptions(device="cpu", workers=1)
NAMES = ("east", "west")
NUMBERS = itertools.count(1)


# -- who gets what ------------------------------------------------------------------------------


def a_worker(calls: Calls, number: int, *loaded: str, threads: int = 1) -> Worker:
    worker = Worker(
        number=number,
        name=f"w{number}",
        device=on_cpu(""),
        surroundings={"threads": str(threads)},
        loaded=[
            LoadedModel(name="m", version="1", digest=d, load_seconds=0, memory_bytes=0, busy=False)
            for d in loaded
        ],
    )
    calls.workers[number] = worker
    return worker


def a_call(calls: Calls, digest: str = "", evidence: int = 0, only: int | None = None) -> Call:
    model = ModelFolder(
        name="m", version="1", kind="superres", path=Path(), digest=digest, files={}
    )
    call = Call(
        id=next(NUMBERS),
        order=messages.Upscale(0, model if digest else None, UpscaleRequest()),
        future=Future(),
        cancel=Cancel(),
        evidence=evidence,
        only=only,
    )
    calls.all[call.id] = call
    return call


def assigned(calls: Calls) -> list[tuple[int, int]]:
    return [(call.id, call.at.number) for call in calls.assign() if call.at]


def test_calls_go_to_who_has_the_least_to_do_for_its_threads() -> None:
    calls = Calls()
    a_worker(calls, 1)
    a_worker(calls, 2, threads=3)
    for _ in range(8):
        a_call(calls)
    numbers = [number for _, number in assigned(calls)]
    assert (numbers.count(1), numbers.count(2)) == (2, 6)
    assert assigned(calls) == []


def test_a_worker_that_has_the_model_is_taken_unless_it_has_much_more_to_do() -> None:
    calls = Calls()
    a_worker(calls, 1)
    a_worker(calls, 2, "abc")
    for _ in range(4):
        a_call(calls, "abc")
    assert [number for _, number in assigned(calls)] == [2, 2, 1, 2]


def test_nothing_is_given_where_nobody_is() -> None:
    calls = Calls()
    a_call(calls)
    assert assigned(calls) == []


def test_a_call_under_suspicion_has_one_worker_by_itself_while_the_others_go_on() -> None:
    calls = Calls()
    one, two = a_worker(calls, 1), a_worker(calls, 2)
    first, second = a_call(calls), a_call(calls)
    assert assigned(calls) == [(first.id, 1), (second.id, 2)]
    suspects = [a_call(calls, evidence=CRASH), a_call(calls, evidence=CRASH)]
    other = a_call(calls)
    assert assigned(calls) == [(other.id, 2)]  # 1 is kept free for the suspects
    calls.over(first)
    assert assigned(calls) == [(suspects[0].id, 1)]
    more = a_call(calls)
    assert assigned(calls) == [(more.id, 2)]
    calls.over(suspects[0])
    assert assigned(calls) == [(suspects[1].id, 1)]
    calls.over(suspects[1])
    last = a_call(calls)
    assert assigned(calls) == [(last.id, 1)]
    assert (len(one.calls), len(two.calls)) == (1, 3)


def test_the_end_of_a_process_weighs_five_times_that_of_a_machine() -> None:
    calls = Calls()
    call = a_call(calls)
    for number in range(1, 10):
        worker = a_worker(calls, number)
        assert assigned(calls) == [(call.id, number)]
        assert calls.lose(worker, KILL) == []
        assert (call.at, call.alone) == (None, number >= 5)
    worker = a_worker(calls, 10)
    assigned(calls)
    assert calls.lose(worker, KILL) == [call]
    crashed = a_call(calls)
    for number in (11, 12):
        worker = a_worker(calls, number)
        assigned(calls)
        assert calls.lose(worker, CRASH) == ([] if number == 11 else [crashed])
    assert not calls.all


def test_a_call_for_one_worker_ends_with_it() -> None:
    calls = Calls()
    worker = a_worker(calls, 1)
    a_worker(calls, 2)
    sent, waits = a_call(calls, only=1), a_call(calls)
    assert (sent.id, 1) in assigned(calls)
    assert waits.at is not None
    assert calls.lose(worker, KILL) == [sent]


# -- where workers are --------------------------------------------------------------------------


def node(name: str, cpus: int, gpus: int = 0, *, number: str = "", alive: bool = True) -> Any:
    resources = {"CPU": float(cpus), "GPU": float(gpus), "memory": 1e9}
    resources = {what: count for what, count in resources.items() if count}
    return {
        "NodeID": number or name * 8, "NodeName": name, "Alive": alive, "Resources": resources
    }  # fmt: skip


def test_each_gpu_has_a_worker_and_then_cores_have_none() -> None:
    found = places([node("a", 8, 2), node("b", 64), node("c", 1, 1)], EngineOptions(), 0)
    assert list(found) == ["a/gpu0", "a/gpu1", "c/gpu0"]
    assert {(place.gpus, place.cpus, place.threads) for place in found.values()} == {(1, 1, 1)}


def test_without_gpus_each_node_with_cores_has_as_many_as_are_set() -> None:
    nodes = [node("a", 8), node("head", 0), node("b", 2), node("gone", 8, alive=False)]
    assert {name: place.threads for name, place in places(nodes, EngineOptions(), 0).items()} == {
        "a/0": 8,
        "b/0": 2,
    }
    three = places(nodes, EngineOptions(workers=5), 3)
    assert list(three) == ["a/0", "a/1", "a/2", "b/0", "b/1"]
    assert {(place.cpus, place.threads) for place in three.values()} == {(2, 5), (1, 5)}


def test_the_device_that_is_set_is_the_one_that_is_used() -> None:
    nodes = [node("a", 8, 2), node("b", 4)]
    assert list(places(nodes, EngineOptions(device="cpu"), 0)) == ["a/0", "b/0"]
    assert places([node("b", 4)], EngineOptions(device="cuda"), 0) == {}


def test_nodes_of_one_name_are_told_apart() -> None:
    nodes = [node("10.0.0.1", 1, number="aaaaaaaa"), node("10.0.0.1", 1, number="bbbbbbbb")]
    assert list(places(nodes, EngineOptions(), 0)) == ["10.0.0.1~aaaaaa/0", "10.0.0.1~bbbbbb/0"]


def test_a_folder_called_ray_is_not_ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ray").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    assert "pip install 'gfedge[ray]'" in ray_problem()


# -- files of models ----------------------------------------------------------------------------


@pytest.fixture
def sprite(tmp_path: Path) -> ModelFolder:
    return read_folder(builders.make_sprite_folder(tmp_path / "models"))


def content(model: ModelFolder, name: str) -> Any:
    return np.frombuffer((model.path / name).read_bytes(), np.uint8)


def test_a_node_keeps_each_file_once_and_checks_what_it_gets(
    tmp_path: Path, sprite: ModelFolder
) -> None:
    files = NodeFiles(tmp_path / "cache")
    assert files.missing(sprite) == ["model.onnx", "vocab.json"]
    assert files.wanted(sprite, files.missing(sprite)) == ["model.onnx", "vocab.json"]
    assert files.wanted(sprite, files.missing(sprite)) == []
    with pytest.raises(ModelRefused, match="another digest"):
        files.put(sprite.files["model.onnx"], np.zeros(9, np.uint8))
    assert files.missing(sprite) == ["model.onnx", "vocab.json"]
    for name in sprite.files:
        files.put(sprite.files[name], content(sprite, name))
    assert files.missing(sprite) == []
    here = files.folder(sprite)
    files.folder(sprite)
    assert (here.path / "model.onnx").read_bytes() == (sprite.path / "model.onnx").read_bytes()
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_a_file_that_was_damaged_on_the_node_is_missing(
    tmp_path: Path, sprite: ModelFolder
) -> None:
    files = NodeFiles(tmp_path / "cache")
    for name in sprite.files:
        files.put(sprite.files[name], content(sprite, name))
    (tmp_path / "cache" / sprite.files["model.onnx"]).write_bytes(b"something else")
    assert NodeFiles(tmp_path / "cache").missing(sprite) == ["model.onnx"]


def test_what_nobody_asked_for_in_a_month_goes(tmp_path: Path, sprite: ModelFolder) -> None:
    files = NodeFiles(tmp_path / "cache")
    for name in sprite.files:
        files.put(sprite.files[name], content(sprite, name))
    files.folder(sprite)
    for path in (tmp_path / "cache").iterdir():
        os.utime(path, (0, 0))
    NodeFiles(tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


# -- several workers ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Below it, what each worker keeps."""
    return tmp_path_factory.mktemp("nodes")


@pytest.fixture(scope="module")
def shared(nodes: Path) -> Iterator[SupervisedEngine]:
    begin = messages.Begin(EngineOptions(device="cpu", workers=1, fault="segv@666"))
    child = Child(
        module="hub_without_ray",
        begin=messages.Connect(",".join(NAMES), 0, begin),
        name="hub",
        kept=KEPT,
        added={"PYTHONPATH": str(Path(__file__).parent), "HUB_CACHE": str(nodes)},
        weight=KILL,
    )
    engine = SupervisedEngine(child)
    engine.start()
    yield engine
    engine.close()
    assert not list(messages.SHARED.glob(f"{messages.PREFIX}{os.getpid()}-*"))


@pytest.fixture
def cluster(shared: SupervisedEngine) -> SupervisedEngine:
    """An engine with a worker for each of NAMES, which have none of its files; its call of seed 666 ends one."""
    up(shared)
    return shared


def restarts(engine: SupervisedEngine) -> int:
    return sum(worker.restarts for worker in engine.workers())


def until(what: Callable[[], Any]) -> None:
    """Looks until it is so."""
    never, give_up = threading.Event(), 600
    while not what():
        give_up -= 1
        assert give_up, "it does not come to that"
        never.wait(0.05)


def up(engine: SupervisedEngine) -> None:
    until(lambda: [w.name for w in engine.workers() if w.up] == list(NAMES))


def children(name: str) -> list[psutil.Process]:
    """Processes below this one that run a module."""
    return [
        one
        for one in psutil.Process().children(recursive=True)
        if one.status() != psutil.STATUS_ZOMBIE and name in one.cmdline()
    ]


@pytest.fixture
def unseen(tmp_path: Path) -> ModelFolder:
    """A model whose files no worker has."""
    words = {**builders.VOCABULARY, "title": tmp_path.name}
    builders.make_folder(
        tmp_path, "new", "1", builders.SPRITE,
        {"model.onnx": builders.velocity_onnx(), "vocab.json": json.dumps(words).encode()},
    )  # fmt: skip
    return read_folder(tmp_path / "new" / "1")


def generating(
    engine: Any, model: ModelFolder, cancel: Cancel | None = None, **more: Any
) -> Future[Result]:
    request = GenerateRequest(**{"prompt": "red dragon", "steps": 4, **more})
    return engine.generate(model, request, lambda done, units: None, cancel or Cancel())


def test_all_have_a_model_that_only_the_server_had_and_the_same_bytes(
    cluster: SupervisedEngine, sprite: ModelFolder, nodes: Path, tmp_path: Path
) -> None:
    engine, here = cluster, Engine(OPTIONS)
    here.start()
    try:
        assert engine.load(sprite).result(30) > 0
        assert [[m.digest for m in w.loaded] for w in engine.workers()] == [[sprite.digest]] * 2
        for name in NAMES:
            assert (nodes / name / sprite.files["model.onnx"]).exists()
        expected = [generating(here, sprite, seed=s).result(30).images[0] for s in range(8)]
        found = [generating(engine, sprite, seed=s) for s in range(8)]
        for future, image in zip(found, expected, strict=True):
            np.testing.assert_array_equal(future.result(30).images[0], image)
        assert {future.result().ran_on["worker"] for future in found} == set(NAMES)
        assert sum(worker.calls_total for worker in engine.workers()) == 8
        assert engine.device.note == "2 workers: running on CPU, as set"
        picture = builders.noise(40, 30, alpha=True)
        enlarged = read_folder(builders.make_superres_folder(tmp_path / "models"))
        large = [
            one.upscale(enlarged, picture, UpscaleRequest(), lambda *a: None, Cancel()).result(30)
            for one in (here, engine)
        ]
        np.testing.assert_array_equal(large[0].images[0], large[1].images[0])
    finally:
        here.close()


def test_one_that_is_killed_costs_nobody_anything(
    cluster: SupervisedEngine, sprite: ModelFolder
) -> None:
    engine, before = cluster, restarts(cluster)
    expected = generating(engine, sprite, seed=5).result(30).images[0]
    running = [generating(engine, sprite, seed=5, steps=4) for _ in range(16)]
    children("gfedge.inference.worker")[0].kill()
    for future in running:
        np.testing.assert_array_equal(future.result(60).images[0], expected)
    up(engine)
    until(lambda: restarts(engine) == before + 1)
    assert engine.failure == ""


def test_a_poisonous_call_ends_two_processes_and_no_more(
    cluster: SupervisedEngine, sprite: ModelFolder
) -> None:
    engine, before_it = cluster, restarts(cluster)
    before = [generating(engine, sprite, seed=seed, steps=50) for seed in range(6)]
    poison = generating(engine, sprite, seed=666)
    after = [generating(engine, sprite, seed=seed) for seed in range(6, 12)]
    with pytest.raises(PoisonousJob, match="twice"):
        poison.result(60)
    assert [len(future.result(60).images) for future in [*before, *after]] == [1] * 12
    up(engine)
    assert restarts(engine) == before_it + 2


def test_cancelling_reaches_who_runs_it(cluster: SupervisedEngine, tmp_path: Path) -> None:
    net = builders.slow_velocity_onnx()
    slow = read_folder(builders.make_sprite_folder(tmp_path / "slow", onnx_bytes=net))
    engine, cancel, moved = cluster, Cancel(), threading.Event()
    request = GenerateRequest(prompt=builders.SLOW, steps=5000)
    future = engine.generate(slow, request, lambda done, units: moved.set(), cancel)
    assert moved.wait(30)
    cancel.cancel()
    with pytest.raises(Cancelled):
        future.result(30)
    assert generating(engine, slow).result(30).images


def test_a_hub_that_is_gone_is_told_and_what_waits_runs_when_it_is_back(
    cluster: SupervisedEngine, sprite: ModelFolder
) -> None:
    engine = cluster
    generating(engine, sprite).result(30)
    (hub,) = children("hub_without_ray")
    hub.kill()
    assert generating(engine, sprite).result(60).images
    assert engine.restarts == 1
    assert engine.failure == ""


def test_a_file_that_the_server_has_lost_fails_its_call(
    cluster: SupervisedEngine, unseen: ModelFolder
) -> None:
    engine, sprite = cluster, unseen
    (sprite.path / "vocab.json").unlink()
    with pytest.raises(EngineError, match=r"vocab\.json cannot be read"):
        generating(engine, sprite).result(30)
    with pytest.raises(EngineError, match=r"vocab\.json cannot be read"):
        engine.load(sprite).result(30)


def test_a_file_that_changed_is_not_what_a_worker_gets(
    cluster: SupervisedEngine, unseen: ModelFolder
) -> None:
    engine, sprite = cluster, unseen
    (sprite.path / "vocab.json").write_bytes(b"{}")
    assert hashlib.sha256(b"{}").hexdigest() != sprite.files["vocab.json"]
    with pytest.raises(EngineError, match="a file of its model"):
        generating(engine, sprite).result(30)


def test_an_engine_without_any_worker_says_why_and_ends_what_waits_when_it_is_closed(
    sprite: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervised, "FAILING_SECONDS", 0.0)
    begin = messages.Begin(OPTIONS)
    ends_at_once = Child(module="gfedge.inference.evidence", begin=begin, name="none", kept=KEPT)
    engine = SupervisedEngine(ends_at_once)
    engine.start()
    until(lambda: "ended (exit code 0)" in engine.failure)
    assert engine.failure.startswith("no worker answers: ")
    waiting = [generating(engine, sprite), engine.load(sprite)]
    engine.close()
    for future in waiting:
        with pytest.raises(Cancelled):
            future.result(1)
    assert engine.workers() == []


def test_a_device_is_told_of_only_while_a_worker_is_there(
    cluster: SupervisedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervised, "FAILING_SECONDS", 0.0)
    assert "workers" in cluster.device.note
    for worker in list(cluster._calls.workers.values()):
        cluster._lose(worker, "it left", 0)
    assert cluster.failure
    assert cluster.device.note in cluster.failure
