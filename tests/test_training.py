"""Training on this machine: real trainers as child processes of a real server (tests/trainer.py)."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import builders
import psutil
import pytest
from aiohttp.test_utils import unused_port
from conftest import Api, Process, Serving, connected, eventually

from gfedge.cli import main
from gfedge.training.exported import dataset_of

JOBS = "/api/v1/ml-platform/training-jobs"
RUNS = "/api/v1/ml-platform/runs"
ENDED = ("succeeded", "failed", "cancelled")
TESTS = Path(__file__).parent
TOML = f"""
[entry_points.line]
title = "A line through points"
command = ["{sys.executable}", "{TESTS / "trainer.py"}", "--mode", "{{mode}}", "--steps={{steps}}", "--hold={{hold}}",
           "--export={{export_as}}"]
env = {{ PYTHONPATH = "{TESTS}", OF_THE_OPERATOR = "yes" }}
resume = ["--resume"]

[entry_points.line.params]
mode = {{ default = "fit", choices = ["fit", "stubborn", "hungry", "noisy", "spying", "broken", "abrupt"] }}
steps = {{ type = "int", default = 20, min = 1, max = 100000 }}
hold = {{ type = "int", default = 0 }}
rate = {{ type = "float", default = 0.5, min = 0, max = 1 }}
fast = {{ type = "bool", default = false }}
export_as = {{ default = "", pattern = "[a-z0-9]*", max_length = 10 }}
data = {{ type = "path", root = "{{root}}", default = "." }}

[entry_points.once]
command = ["{sys.executable}", "{TESTS / "trainer.py"}", "--hold=3"]
env = {{ PYTHONPATH = "{TESTS}" }}
"""

Training = Callable[..., Awaitable[Api]]


def declare(data: Path) -> None:
    (data / "sets").mkdir(parents=True, exist_ok=True)
    (data / "sets" / "one.npz").write_bytes(b"")
    (data / "training.toml").write_text(TOML.replace("{root}", str(data / "sets")))


@pytest.fixture
def training(serving: Serving, tmp_path: Path) -> Training:
    """Starts servers whose trainers reach them."""

    async def start(**settings: Any) -> Api:
        declare(tmp_path / "data")
        return await serving(
            **{"port": unused_port(), "train_grace": 0.5, "train_nice": 0, **settings}
        )

    return start


async def submit(api: Api, entry_point: str = "line", status: int = 202, **params: Any) -> Any:
    body = {"entry_point": entry_point, "params": params}
    return await api.call("POST", JOBS, status, json=body)


async def until(api: Api, job_id: str, *states: str) -> Any:
    wanted = states or ENDED
    return await eventually(
        lambda: api.get(f"{JOBS}/{job_id}"), lambda job: job["state"] in (*wanted, *ENDED)
    )


async def until_log(api: Api, job_id: str, text: str) -> str:
    async def log() -> str:
        return (await api.bytes(f"{JOBS}/{job_id}/log")).decode()

    found: str = await eventually(log, lambda said: text in said)
    return found


async def curve(api: Api, run_id: str) -> tuple[list[int], list[float]]:
    found = await api.get(f"{RUNS}/{run_id}/metrics/loss")
    return found["steps"], found["values"]


# -- a whole job --------------------------------------------------------------------------------


async def test_a_job_trains_reports_and_is_recorded_as_a_run(training: Training) -> None:
    api = await training()
    made = await submit(api, steps=30)
    assert (made["state"], made["attempt"]) == ("queued", 0)
    assert made["secret"] == ""
    job = await until(api, made["id"])
    assert (job["state"], job["error"], job["exit_code"]) == ("succeeded", None, 0)
    assert job["progress_ratio"] == 1
    assert job["progress"]["step"] == 30
    assert job["metrics"]["loss"] < 0.1
    assert job["log_tail"] == ["fitted [2.68 0.99]"]
    run = await api.get(f"{RUNS}/{job['run_id']}")
    assert (run["status"], run["kind"], run["params"]["steps"]) == ("finished", "training", "30")
    assert run["tags"]["training_job"] == job["id"]
    assert run["source"]["entry_point"] == "line"
    steps, values = await curve(api, job["run_id"])
    assert steps == list(range(1, 31))
    assert values[-1] < values[0]
    weights = json.loads(await api.bytes(f"{RUNS}/{job['run_id']}/artifacts/weights.json"))
    assert abs(weights[0] - 3) < 0.5
    listed = await api.get(JOBS, entry_point="line", state="succeeded", experiment="line")
    assert [one["id"] for one in listed["jobs"]] == [job["id"]]
    assert (await api.get(JOBS, state="active"))["jobs"] == []


async def test_an_idempotency_key_makes_one_job(training: Training) -> None:
    api = await training()
    body, headers = {"entry_point": "line"}, {"Idempotency-Key": "once"}
    first, second = [
        await api.call("POST", JOBS, 202, json=body, headers=headers) for _ in range(2)
    ]
    assert first["id"] == second["id"]
    other = {"json": {"entry_point": "line", "params": {"steps": 2}}, "headers": headers}
    await api.refused("POST", JOBS, 409, "idempotency_key_reused", **other)
    await until(api, first["id"])


async def test_listings_have_pages_and_filters(training: Training) -> None:
    api = await training()
    ids = [(await submit(api, steps=2))["id"] for _ in range(3)]
    for job_id in ids:
        await until(api, job_id)
    assert [one["id"] for one in await api.pages(JOBS, "jobs", 2)] == ids[::-1]
    assert (await api.get(JOBS, backend="external"))["jobs"] == []
    assert (await api.get(JOBS, experiment="nowhere"))["jobs"] == []
    problem = await api.refused("GET", f"{JOBS}?state=happy", 422, "invalid")
    assert "succeeded" in problem["detail"]


# -- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "field", "says"),
    [
        ({"stepz": 3}, "params.stepz", "did you mean 'steps'"),
        ({"steps": 0}, "params.steps", "from 1 to 100000"),
        ({"steps": "3"}, "params.steps", "a whole number"),
        ({"steps": True}, "params.steps", "a whole number"),
        ({"steps": 3.5}, "params.steps", "a whole number"),
        ({"rate": 1.5}, "params.rate", "out of its range"),
        ({"fast": 1}, "params.fast", "true or false"),
        ({"mode": "other"}, "params.mode", "one of fit"),
        ({"export_as": "--resume"}, "params.export_as", "may not begin with `-`"),
        ({"export_as": "a b"}, "params.export_as", "does not match"),
        ({"export_as": "a" * 11}, "params.export_as", "longer than 10"),
        ({"data": "../../etc/passwd"}, "params.data", "leads out"),
        ({"data": "/etc/passwd"}, "params.data", "leads out"),
        ({"data": "two.npz"}, "params.data", "is not in"),
        ({"data": "a\0b"}, "params.data", ""),
    ],
)
async def test_parameters_are_checked_before_anything_is_made(
    training: Training, params: dict[str, Any], field: str, says: str
) -> None:
    api = await training()
    body = {"entry_point": "line", "params": params}
    problem = await api.refused("POST", JOBS, 422, "bad_param", json=body)
    assert problem["field"] == field
    assert says in problem["detail"]
    assert (await api.get(JOBS))["jobs"] == []


async def test_only_what_is_declared_can_be_started(training: Training) -> None:
    api = await training()
    body = {"entry_point": "lime"}
    problem = await api.refused("POST", JOBS, 422, "unknown_entry_point", json=body)
    assert "did you mean 'line'" in problem["detail"]
    body = {"entry_point": "line", "command": ["sh", "-c", "id"]}
    await api.refused("POST", JOBS, 422, "invalid", json=body)
    await api.refused("POST", JOBS, 503, "vastai_not_configured", json={"backend": "vastai"})


async def test_the_sprite_trainer_says_what_it_needs(training: Training, tmp_path: Path) -> None:
    api = await training(train_python="/nowhere/python")
    (tmp_path / "data" / "datasets").mkdir()
    (tmp_path / "data" / "datasets" / "train.npz").write_bytes(b"")
    body = {"entry_point": "sprites", "params": {"data": "train.npz"}}
    problem = await api.refused("POST", JOBS, 503, "trainer_not_installed", json=body)
    assert "train_python" in problem["detail"]
    listed = (await api.get(f"{JOBS}/entry-points"))["entry_points"]
    assert [(one["name"], bool(one["problem"])) for one in listed] == [
        ("sprites", True),
        ("evaluate", True),
        ("line", False),
        ("once", False),
    ]
    assert listed[2]["params"]["steps"]["max"] == 100000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[entry_points.x\n", "training.toml"),
        ("[entry_points.x]\ncomand = ['true']\n", "comand"),
        ("[entry_points.x]\ntitle = 'none'\n", "needs a `command`"),
        ("[entry_points.x]\ncommand = ['true', '{steps}']\n", "{steps}"),
        ("[entry_points.x]\ncommand = ['true']\nexport = '../out'\n", "`export`"),
        ("[entry_points.'a b']\ncommand = ['true']\n", "its name"),
        ("[entry_points.x]\ncommand=['true']\nparams.n={type='int',default=9,max=3}\n", "default"),
        ("[entry_points.x]\ncommand=['true']\nparams.d={type='path'}\n", "root"),
    ],
)
async def test_a_wrong_declaration_is_told_to_who_asks(
    training: Training, tmp_path: Path, text: str, says: str
) -> None:
    api = await training()
    (tmp_path / "data" / "training.toml").write_text(text)
    problem = await api.refused("GET", f"{JOBS}/entry-points", 503, "training_toml_invalid")
    assert says in problem["detail"]


async def test_a_program_that_is_not_there_fails_the_job(
    training: Training, tmp_path: Path
) -> None:
    api = await training()
    text = '[entry_points.gone]\ncommand = ["/nowhere/at-all"]\n'
    (tmp_path / "data" / "training.toml").write_text(text)
    job = await until(api, (await submit(api, "gone"))["id"])
    assert (job["state"], job["error"]["code"]) == ("failed", "not_started")
    assert "/nowhere/at-all" in job["error"]["detail"]


# -- what a trainer gets, and how it may end ----------------------------------------------------


async def test_a_trainer_gets_no_secrets_of_the_server(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "for nobody else")
    monkeypatch.setenv("GFEDGE_VAST_KEY", "nor this")
    api = await training(train_gpu_memory=1 << 30, train_nice=10)
    job = await until(api, (await submit(api, mode="spying", data="one.npz"))["id"])
    assert job["state"] == "succeeded", job
    first, *rest = job["log_tail"]
    found = json.loads(first)
    assert not {"AWS_SECRET_ACCESS_KEY", "GFEDGE_VAST_KEY"} & set(found["environ"])
    assert found["environ"]["OF_THE_OPERATOR"] == "yes"
    assert found["environ"]["GFEDGE_JOB_GPU_MEMORY"] == str(1 << 30)
    assert json.loads(found["environ"]["GFEDGE_JOB_PARAMS"])["data"].endswith("/sets/one.npz")
    assert found["cwd"].endswith(job["id"])
    assert rest == ["stdin: ''", "nice: 10 leader: True"]


@pytest.mark.parametrize(
    ("mode", "says"),
    [("broken", "ValueError: the data are not there"), ("abrupt", "exit code 3: about to die")],
)
async def test_a_trainer_that_fails_says_why(training: Training, mode: str, says: str) -> None:
    api = await training()
    job = await until(api, (await submit(api, mode=mode))["id"])
    assert (job["state"], job["error"]["code"]) == ("failed", "training_failed")
    assert says in job["error"]["detail"]
    assert (await api.get(f"{RUNS}/{job['run_id']}"))["status"] == "failed"


async def test_too_much_memory_ends_a_trainer(training: Training) -> None:
    api = await training(train_memory=200 << 20)
    job = await until(api, (await submit(api, mode="hungry"))["id"])
    assert (job["state"], job["error"]["code"]) == ("failed", "memory_limit")


async def test_too_much_time_ends_a_trainer(training: Training) -> None:
    api = await training(train_max_seconds=1)
    job = await until(api, (await submit(api, mode="stubborn"))["id"])
    assert (job["state"], job["error"]["code"]) == ("failed", "time_limit")


async def test_cancel_ends_every_process_of_a_job(training: Training, tmp_path: Path) -> None:
    api = await training()
    made = await submit(api, mode="stubborn")
    job = await eventually(
        lambda: api.get(f"{JOBS}/{made['id']}"), lambda job: job["progress"]["step"] == 1
    )
    pids = tmp_path / "data" / "training" / job["id"] / "checkpoints" / "pids"
    children = [psutil.Process(int(pid)) for pid in pids.read_text().split()]
    assert job["usage"]["processes"] >= 1
    cancelling = await api.call("POST", f"{JOBS}/{job['id']}/cancel")
    assert cancelling["cancel_requested_at"] is not None
    ended = await until(api, job["id"])
    assert (ended["state"], ended["exit_code"]) == ("cancelled", -signal.SIGKILL)
    _, alive = psutil.wait_procs(children, 10)
    assert not alive
    assert (await api.get(f"{RUNS}/{job['run_id']}"))["status"] == "killed"
    await api.refused("DELETE", f"{JOBS}/{job['id']}", 409, "training_job_ended")


async def test_jobs_wait_for_their_turn_and_a_waiting_one_is_cancelled_at_once(
    training: Training, tmp_path: Path
) -> None:
    api = await training()
    first, second, third = [await submit(api, hold=3) for _ in range(3)]
    await until_log(api, first["id"], "holding")
    assert (await api.get(f"{JOBS}/{third['id']}"))["queue_position"] == 2
    cancelled = await api.call("DELETE", f"{JOBS}/{second['id']}")
    assert (cancelled["state"], cancelled["attempt"]) == ("cancelled", 0)
    assert (await api.get(f"{JOBS}/{third['id']}"))["queue_position"] == 1
    for job in (first, third):
        await until_log(api, job["id"], "holding")
        (tmp_path / "data" / "training" / job["id"] / "checkpoints" / "go").touch()
        assert (await until(api, job["id"]))["state"] == "succeeded"


async def test_training_pauses_while_ai_jobs_wait(training: Training, tmp_path: Path) -> None:
    api = await training(max_running=1, train_pause_queue=2)
    job = await submit(api, hold=3)
    await until_log(api, job["id"], "holding")
    slow = [await api.submit(f"red {builders.SLOW}", steps=100, seed=n) for n in range(4)]
    paused = await until(api, job["id"], "paused")
    assert "AI jobs wait" in paused["reason"]
    (child,) = [p for p in psutil.Process().children() if "trainer.py" in " ".join(p.cmdline())]
    assert child.status() == psutil.STATUS_STOPPED
    await api.cancel(*slow)
    assert (await until(api, job["id"], "running"))["state"] == "running"
    (tmp_path / "data" / "training" / job["id"] / "checkpoints" / "go").touch()
    assert (await until(api, job["id"]))["state"] == "succeeded"


# -- the log ------------------------------------------------------------------------------------


async def test_a_log_is_followed_to_its_end(training: Training, tmp_path: Path) -> None:
    api = await training()
    job = await submit(api, hold=3)
    await until_log(api, job["id"], "holding")
    async with api.http.request("GET", f"{JOBS}/{job['id']}/log?follow=true") as response:
        assert response.content_type == "text/plain"
        assert await response.content.readline() == b"holding at step 3\n"
        (tmp_path / "data" / "training" / job["id"] / "checkpoints" / "go").touch()
        assert (await response.read()).startswith(b"fitted [")


async def test_a_log_is_read_in_parts(training: Training) -> None:
    api = await training()
    job = await until(api, (await submit(api, mode="noisy", steps=20))["id"])
    path = f"{JOBS}/{job['id']}/log"
    whole = await api.bytes(path)
    assert whole.endswith(b"the last line\n")
    assert await api.bytes(f"{path}?offset=10&limit=5") == whole[10:15]
    assert await api.bytes(f"{path}?offset=-14") == b"the last line\n"
    async with api.http.request("GET", path, headers={"Range": "bytes=5-9"}) as response:
        assert response.status == 206
        assert response.headers["Content-Range"] == f"bytes 5-9/{len(whole)}"
        assert await response.read() == whole[5:10]
    far = {"Range": f"bytes={len(whole)}-"}
    await api.refused("GET", path, 416, "range_not_satisfiable", headers=far)


async def test_a_log_is_bounded_and_keeps_its_end(training: Training, tmp_path: Path) -> None:
    api = await training(train_max_log=20_000)
    job = await until(api, (await submit(api, mode="noisy", steps=5000))["id"])
    assert job["log_tail"][-1] == "the last line"
    folder = tmp_path / "data" / "training" / job["id"]
    assert (folder / "log.base").exists()
    async with api.http.request("GET", f"{JOBS}/{job['id']}/log") as response:
        first, end = int(response.headers["X-Log-Offset"]), int(response.headers["X-Log-End"])
        text = await response.read()
    assert first > 0
    assert end - first == len(text)
    assert text.startswith(b"line ")


# -- restarts -----------------------------------------------------------------------------------


async def holding(server: Process, **params: Any) -> tuple[Any, psutil.Process]:
    """A job in the middle of its training, and its process."""
    async with connected(server.address) as api:
        job = await submit(api, **params)
        await until_log(api, job["id"], "holding")
        found = await eventually(
            lambda: api.get(f"{JOBS}/{job['id']}"), lambda job: job["progress"]["step"] == 12
        )
        await api.get(f"{RUNS}/{found['run_id']}")
    (child,) = trainers(server)
    return found, child


def trainers(server: Process) -> list[psutil.Process]:
    """Trainers that a server started; it has children of other kinds too."""
    children = psutil.Process(server.process.pid).children()  # type: ignore[union-attr]
    return [one for one in children if "trainer.py" in " ".join(one.cmdline())]


async def test_kill_9_of_the_server_and_what_becomes_of_its_jobs(
    process: Callable[..., Process],
) -> None:
    """One goes on from its checkpoint, one cannot, one was cancelled, one was waiting; no process is left over."""
    server = process(train_nice=0, train_grace=0.3, train_max_running=3)
    declare(server.data)
    server.start()
    job, _ = await holding(server, steps=30, hold=12)
    async with connected(server.address) as api:
        once, stubborn = await submit(api, "once"), await submit(api, mode="stubborn")
        waiting = await submit(api, steps=30)
        await until_log(api, once["id"], "holding")
        await eventually(
            lambda: api.get(f"{JOBS}/{stubborn['id']}"), lambda job: job["progress"]["step"] == 1
        )
        children = [
            one for leader in trainers(server) for one in (leader, *leader.children(recursive=True))
        ]
        await api.call("DELETE", f"{JOBS}/{stubborn['id']}")
    server.kill()
    orphans = [child for child in children if child.is_running()]
    assert len(orphans) >= 3
    server.start()
    async with connected(server.address) as api:
        await until_log(api, job["id"], "resumed at step 10")
        (server.data / "training" / job["id"] / "checkpoints" / "go").touch()
        ended = await until(api, job["id"])
        assert (ended["state"], ended["attempt"]) == ("succeeded", 2), ended
        assert ended["log_tail"][-1] == "fitted [2.68 0.99]"
        failed = await until(api, once["id"])
        assert (failed["state"], failed["error"]["code"]) == ("failed", "interrupted")
        assert "declares no `resume`" in failed["error"]["detail"]
        assert (await until(api, stubborn["id"]))["state"] == "cancelled"
        whole = await until(api, waiting["id"])
        assert (whole["state"], whole["attempt"]) == ("succeeded", 1)
        steps, values = await curve(api, job["run_id"])
        assert steps == list(range(1, 31))
        assert values == (await curve(api, whole["run_id"]))[1]
    _, alive = psutil.wait_procs(orphans, 10)
    assert not alive
    assert server.stop() == 0


async def test_sigterm_interrupts_and_the_next_start_goes_on(
    process: Callable[..., Process],
) -> None:
    server = process(train_nice=0, train_grace=30, shutdown_grace=30)
    declare(server.data)
    server.start()
    job, child = await holding(server, steps=30, hold=12)
    child.suspend()
    assert server.stop() == 0
    assert not child.is_running()
    server.start()
    (server.data / "training" / job["id"] / "checkpoints" / "go").touch()
    async with connected(server.address) as api:
        ended = await until(api, job["id"])
    assert (ended["state"], ended["attempt"]) == ("succeeded", 2), ended
    assert ended["log_tail"][-1] == "fitted [2.68 0.99]"
    assert server.stop() == 0


async def test_lineage_leads_from_a_job_to_its_data_and_its_run(training: Training) -> None:
    api = await training()
    datasets = [{"name": "points", "digest": "sha256:ab12", "source": "made up"}]
    body = {"entry_point": "line", "params": {"steps": 3}, "datasets": datasets}
    job = await until(api, (await api.call("POST", JOBS, 202, json=body))["id"])
    up = await api.get(f"/api/v1/ml-platform/lineage/training_job/{job['id']}", direction="up")
    assert {"dataset", "training_job"} <= {node["kind"] for node in up["nodes"]}
    down = await api.get(f"/api/v1/ml-platform/lineage/training_job/{job['id']}", direction="down")
    assert job["run_id"] in [node["id"] for node in down["nodes"]]
    run = await api.get(f"{RUNS}/{job['run_id']}")
    assert [one["name"] for one in run["inputs"]] == ["points"]


# -- the command line ---------------------------------------------------------------------------


async def test_the_command_line_starts_follows_lists_and_cancels(
    training: Training, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    api = await training()
    server = ["--server", str(api.http.make_url("/"))]

    async def gfedge(*arguments: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(main, ["train", *server, *arguments])
        said = capfdbinary.readouterr()
        return code, said.out.decode(), said.err.decode()

    code, out, _ = await gfedge("entry-points")
    assert code == 0
    assert "steps=int  (default 20)" in out
    code, out, err = await gfedge("start", "line", "-p", "steps=30", "--follow")
    assert (code, "fitted [2.68 0.99]" in out) == (0, True), err
    job_id = out.split()[0]
    assert f"{job_id} succeeded" in err
    code, out, _ = await gfedge("list")
    assert out.split()[:3] == [job_id, "succeeded", "100%"]
    code, out, _ = await gfedge("log", job_id)
    assert out == "fitted [2.68 0.99]\n"
    code, _, err = await gfedge("start", "line", "-p", "steps=many")
    assert (code, "a whole number" in err) == (1, True)
    code, _, err = await gfedge("cancel", job_id)
    assert (code, "has succeeded already" in err) == (1, True)
    code, out, err = await gfedge("start", "line", "-p", "mode=broken", "--follow")
    assert (code, "ValueError" in err) == (1, True)


# -- models -------------------------------------------------------------------------------------


async def test_an_exported_model_becomes_a_version_in_dev_with_its_lineage(
    training: Training,
) -> None:
    api = await training()
    body = {
        "entry_point": "line",
        "params": {"steps": 5, "export_as": "1"},
        "datasets": [{"name": "points", "digest": "sha256:ab12"}],
    }
    job = await until(api, (await api.call("POST", JOBS, 202, json=body))["id"])
    assert (job["state"], job["model"]) == ("succeeded", "line@1"), job
    found = await api.get("/api/v1/ml-platform/models/line")
    (version,) = found["versions"]
    assert (version["stage"], version["source_run"]) == ("dev", job["run_id"])
    listed = await api.get(f"{RUNS}/{job['run_id']}/artifacts?path=model")
    assert {one["name"] for one in listed["artifacts"]} == {"model.onnx", "model.toml"}
    up = await api.get("/api/v1/ml-platform/lineage/model_version/line@1", direction="up")
    assert {"run", "training_job", "dataset"} <= {node["kind"] for node in up["nodes"]}
    again = await until(api, (await api.call("POST", JOBS, 202, json=body))["id"])
    assert (again["state"], again["model"]) == ("succeeded", "line@1")


async def test_a_model_tells_what_it_was_trained_on_where_nobody_else_did(
    training: Training,
) -> None:
    api = await training()
    job = await until(api, (await submit(api, steps=5, export_as="1"))["id"])
    assert (job["state"], job["model"]) == ("succeeded", "line@1"), job
    (read,) = (await api.get(f"{RUNS}/{job['run_id']}"))["inputs"]
    assert (read["name"], read["digest"], read["context"]) == (
        "superres-test-data", "sha256:cd34", "training",
    )  # fmt: skip
    (found,) = (await api.get("/api/v1/ml-platform/datasets", digest="sha256:cd34"))["datasets"]
    assert found["profile"] == {"licence": "CC0-1.0", "source": "nowhere"}
    for kind, name in (("model_version", "line@1"), ("training_job", job["id"])):
        up = await api.get(f"/api/v1/ml-platform/lineage/{kind}/{name}", direction="up")
        assert found["id"] in [n["id"] for n in up["nodes"] if n["kind"] == "dataset"], kind


@pytest.mark.parametrize(
    "text", ["", "[dataset", "dataset = 1", "[dataset]\nname = 'a'", "[dataset]\nname = 1\ndigest = 2"]
)  # fmt: skip
def test_a_set_without_a_digest_is_no_dataset(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.toml").write_text(text)
    assert dataset_of(tmp_path / "model.toml") is None


async def test_a_model_that_is_none_fails_the_job_and_says_why(
    training: Training, tmp_path: Path
) -> None:
    api = await training()
    code = "import os, pathlib; p = pathlib.Path(os.environ['GFEDGE_JOB_EXPORT']); "
    code += "(p / 'model.toml').write_text('name = 1')"
    text = f'[entry_points.bad]\ncommand = ["{sys.executable}", "-c", "{code}"]\n'
    (tmp_path / "data" / "training.toml").write_text(text)
    job = await until(api, (await submit(api, "bad"))["id"])
    assert (job["state"], job["error"]["code"]) == ("failed", "model_refused")
    assert "the training succeeded, but" in job["error"]["detail"]
    assert job["run_id"] in job["error"]["detail"]
