"""Trainers that report in: the plain HTTP, and `gfedge.report` as a training script uses it."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import builders
import pytest
from conftest import Api, Process, Serving, connected, eventually
from test_training import JOBS, RUNS, curve, until

from gfedge import report
from gfedge.training.live import Clock

TEXT = Path(report.__file__).read_text()


async def external(api: Api, **about: Any) -> tuple[Any, dict[str, str]]:
    """An external job, and the headers of its trainer."""
    job = await api.call("POST", JOBS, 202, json={"backend": "external", **about})
    return job, {"X-Job-Secret": job["secret"]}


async def tell(api: Api, job: Any, headers: dict[str, str], **body: Any) -> Any:
    return await api.call("POST", f"{JOBS}/{job['id']}/report", json=body, headers=headers)


def point(step: int, value: Any, key: str = "loss") -> dict[str, Any]:
    return {"key": key, "value": value, "step": step, "logged_at": 1.0 + step}


# -- plain HTTP ---------------------------------------------------------------------------------


async def test_a_trainer_elsewhere_reports_over_http(client: Api) -> None:
    job, headers = await external(
        client,
        name="far away",
        params={"lr": 0.1, "fast": True},
        source={"commit": "abc123", "entry_point": "train.py"},
        tags={"who": "me"},
    )
    assert (job["state"], job["attempt"]) == ("queued", 0)
    heard = await client.call("POST", f"{JOBS}/{job['id']}/heartbeat", headers=headers)
    assert heard == {"state": "running", "cancelled": False}
    points = [point(1, 0.5), point(2, "NaN"), point(3, 0.25, "accuracy")]
    progress = {"step": 2, "steps": 4, "epoch": 0.5, "epochs": 1}
    await tell(
        client,
        job,
        headers,
        metrics=points,
        progress=progress,
        log=["one", "two\x1b[2J"],
        tags={"x": "y"},
    )
    seen = await client.get(f"{JOBS}/{job['id']}")
    assert (seen["state"], seen["progress_ratio"]) == ("running", 0.5)
    assert seen["metrics"] == {"loss": "NaN", "accuracy": 0.25}
    assert seen["log_tail"] == ["one", "two [2J"]
    path = f"{JOBS}/{job['id']}/artifacts/weights/w.bin"
    await client.call("PUT", path, 201, data=b"weights", headers=headers)
    async with client.http.request("GET", path, headers=headers) as response:
        assert await response.read() == b"weights"
    finish = {"status": "succeeded"}
    await client.call("POST", f"{JOBS}/{job['id']}/finish", json=finish, headers=headers)
    ended = await client.get(f"{JOBS}/{job['id']}")
    assert (ended["state"], ended["attempt"], ended["model"]) == ("succeeded", 1, "")
    run = await client.get(f"{RUNS}/{job['run_id']}")
    assert (run["status"], run["params"]) == ("finished", {"lr": "0.1", "fast": "true"})
    assert run["source"]["commit"] == "abc123"
    assert run["tags"]["x"] == "y"
    late = {"json": {}, "headers": headers}
    await client.refused("POST", f"{JOBS}/{job['id']}/report", 409, "training_job_ended", **late)


async def test_a_trainer_that_reports_metrics_alone_is_at_their_last_step(client: Api) -> None:
    job, headers = await external(client)

    async def step(**body: Any) -> Any:
        await tell(client, job, headers, **body)
        return (await client.get(f"{JOBS}/{job['id']}"))["progress"]["step"]

    assert await step(metrics=[point(7, 0.5), point(9, 0.4), point(8, 0.45)]) == 9
    assert await step(metrics=[point(3, 0.1, "late")]) == 9
    assert (
        await step(progress={"step": 1, "steps": 5}) == 1
    )  # it counts epochs, and its word counts
    assert await step(metrics=[point(200, 0.3)]) == 1


async def test_a_failure_is_told_in_the_trainers_words(client: Api) -> None:
    job, headers = await external(client)
    finish = {"status": "failed", "error": "no space for the data"}
    await client.call("POST", f"{JOBS}/{job['id']}/finish", json=finish, headers=headers)
    ended = await client.get(f"{JOBS}/{job['id']}")
    assert (ended["state"], ended["error"]["detail"]) == ("failed", "no space for the data")


async def test_a_report_that_comes_twice_counts_once(client: Api) -> None:
    job, headers = await external(client)
    body = {"session": "s", "seq": 1, "metrics": [point(1, 0.5)], "log": ["once"]}
    for _ in range(2):
        await tell(client, job, headers, **body)
    assert (await client.get(f"{JOBS}/{job['id']}"))["log_tail"] == ["once"]
    assert (await curve(client, job["run_id"])) == ([1], [0.5])


async def test_only_the_jobs_own_secret_opens_it(client: Api) -> None:
    job, headers = await external(client)
    _, others = await external(client)
    for path in ("report", "heartbeat", "finish"):
        for wrong in ({}, others, {"X-Job-Secret": "gfjob_é"}, {"X-Job-Secret": "x" * 5000}):
            options = {"json": {}, "headers": wrong}
            url = f"{JOBS}/{job['id']}/{path}"
            await client.refused("POST", url, 403, "wrong_job_secret", **options)
    upload = {"data": b"x", "headers": others}
    url = f"{JOBS}/{job['id']}/artifacts/a"
    await client.refused("PUT", url, 403, "wrong_job_secret", **upload)
    await client.refused("GET", f"{JOBS}/{job['id']}/report.py", 403, "wrong_job_secret")
    unknown = {"json": {}, "headers": headers}
    await client.refused("POST", f"{JOBS}/none/report", 404, "training_job_not_found", **unknown)
    assert (await client.get(f"{JOBS}/{job['id']}"))["state"] == "queued"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"metrics": [{"key": "", "value": 1}]}, "metrics[0].key"),
        ({"metrics": [{"key": "a", "value": "x"}]}, "metrics[0].value"),
        ({"progress": {"step": -1}}, "progress.step"),
        ({"log": ["x" * 10_001]}, "log[0]"),
        ({"state": "succeeded"}, "state"),
        ({"seq": -1}, "seq"),
    ],
)
async def test_hostile_reports_are_refused(client: Api, body: dict[str, Any], field: str) -> None:
    job, headers = await external(client)
    url = f"{JOBS}/{job['id']}/report"
    problem = await client.refused("POST", url, 422, "invalid", json=body, headers=headers)
    assert problem.get("field", "") == field


async def test_no_upload_leaves_the_run(client: Api) -> None:
    job, headers = await external(client)
    for name in ("%2e%2e/x", "a/%2e%2e/%2e%2e/x", "%2fetc%2fpasswd", "a%00b"):
        url = f"{client.http.make_url('/')}".rstrip("/") + f"{JOBS}/{job['id']}/artifacts/{name}"
        raw = aiohttp.client.URL(url, encoded=True)
        async with client.http.session.put(raw, data=b"x", headers=headers) as response:
            assert response.status in (404, 405, 422), name


async def test_silence_is_noticed_and_coming_back_too(serving: Serving) -> None:
    api = await serving(train_lost_after=0.3)
    job, headers = await external(api)
    await tell(api, job, headers)
    lost = await until(api, job["id"], "lost")
    assert (lost["state"], "nothing was heard" in lost["reason"]) == ("lost", True)
    assert (await tell(api, job, headers))["state"] == "running"
    assert (await api.get(f"{JOBS}/{job['id']}"))["reason"] == "its trainer is back"


async def test_an_external_job_outlives_the_server(serving: Serving) -> None:
    api = await serving()
    job, headers = await external(api)
    await tell(api, job, headers, metrics=[point(1, 0.5)])
    api = await serving()
    await tell(api, job, headers, metrics=[point(2, 0.25)])
    assert await curve(api, job["run_id"]) == ([1, 2], [0.5, 0.25])


async def test_a_cancelled_trainer_is_told_to_stop(client: Api) -> None:
    job, headers = await external(client)
    assert not (await tell(client, job, headers))["cancelled"]
    ended = await client.call("DELETE", f"{JOBS}/{job['id']}")
    assert ended["state"] == "cancelled"
    assert (await tell(client, job, headers, log=["too late"])) == {
        "state": "cancelled",
        "cancelled": True,
    }
    assert (await client.get(f"{JOBS}/{job['id']}"))["log_tail"] == []


async def test_live_streams_tell_of_a_job(client: Api) -> None:
    async with client.http.ws_connect("/api/v1/ml-platform/ws/training-jobs") as ws:
        await ws.send_json({})
        assert (await ws.receive_json())["data"]["jobs"] == []
        job, headers = await external(client)
        await tell(client, job, headers, metrics=[point(1, 2)], progress={"step": 1}, log=["hi"])
        finish = {"status": "succeeded"}
        await client.call("POST", f"{JOBS}/{job['id']}/finish", json=finish, headers=headers)
        found: list[Any] = []
        while not found or found[-1]["type"] != "job.ended":
            found.append(await ws.receive_json(timeout=20))
    kinds = list(dict.fromkeys(one["type"] for one in found))
    assert kinds == [
        "job.created",
        "job.changed",
        "job.progress",
        "job.metrics",
        "job.log",
        "job.ended",
    ]
    assert found[-1]["data"]["state"] == "succeeded"


def test_the_time_left_leaves_pauses_out() -> None:
    clock = Clock()
    assert clock.left(0) is None
    clock.note(0.0, 100)
    clock.note(0.25, 110)
    assert clock.left(110) == pytest.approx(30)
    clock.stop(110)
    clock.start(1000)
    assert clock.left(1000) == pytest.approx(30)
    clock.note(0.5, 1010)
    assert clock.left(1012) == pytest.approx(18)


# -- gfedge.report ------------------------------------------------------------------------------


def address(api: Api) -> str:
    return str(api.http.make_url("/")).rstrip("/")


async def test_the_module_reports_a_training_anywhere(client: Api, tmp_path: Path) -> None:
    def train() -> str:
        about = {"name": "with the module", "experiment": "mine", "tags": {"a": "b"}}
        with report.start(address(client), params={"lr": 0.5}, strict=True, **about) as job:
            for step in range(1, 1201):
                job.metrics(step, loss=1 / step, odd=math.inf)
                job.progress(step, 1200, epoch=step / 600, epochs=2)
            job.log("first\nsecond")
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "sheet.txt").write_text("drawn")
            job.artifact(tmp_path / "out", "sheets")
            assert not job.cancelled
        return job.url

    url = await asyncio.to_thread(train)
    job = await client.get(url.removeprefix(address(client)))
    assert (job["state"], job["progress"]["epoch"]) == ("succeeded", 2)
    assert job["log_tail"] == ["first", "second"]
    assert job["metrics"]["odd"] == "Infinity"
    assert (await curve(client, job["run_id"]))[0] == list(range(1, 1201))
    drawn = await client.bytes(f"{RUNS}/{job['run_id']}/artifacts/sheets/sheet.txt")
    assert drawn == b"drawn"


async def test_an_exception_of_the_loop_fails_the_job_and_goes_on_its_way(client: Api) -> None:
    def train() -> str:
        job = report.start(address(client))
        with pytest.raises(ZeroDivisionError), job:
            job.metrics(1, loss=1 / (job.params.get("never", 0)))
        return job.url

    url = await asyncio.to_thread(train)
    job = await client.get(url.removeprefix(address(client)))
    assert (job["state"], job["error"]["detail"]) == (
        "failed",
        "ZeroDivisionError: division by zero",
    )


async def test_cancel_reaches_the_loop(client: Api) -> None:
    job = await asyncio.to_thread(report.start, address(client))
    await client.call("DELETE", job.url.removeprefix(address(client)))
    job.metrics(1, loss=1.0)
    await asyncio.to_thread(job.flush)
    assert job.cancelled
    await asyncio.to_thread(job.finish)


async def test_a_refusal_never_reaches_the_loop_unless_asked_for(
    client: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    def train(strict: bool) -> report.Job:
        with report.start(address(client), strict=strict) as job:
            job.metrics(1, {"": 1.0})
            job.flush()
            return job

    await asyncio.to_thread(train, False)
    assert "metrics[0].key" in capsys.readouterr().err
    with pytest.raises(report.ReportFailed, match=r"metrics\[0\].key"):
        await asyncio.to_thread(train, True)
    ended = (await client.get(JOBS))["jobs"]
    assert [job["state"] for job in ended] == ["failed", "succeeded"]


def test_run_by_hand_a_script_reports_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GFEDGE_JOB_URL", raising=False)
    with report.job(strict=True) as job:
        job.metrics(1, loss=0.5)
        job.progress(1, 2)
        job.artifact("nowhere")
        job.flush()
    assert not job.cancelled
    assert not job.resumed


def test_the_module_is_one_file_of_the_standard_library(tmp_path: Path) -> None:
    copy = tmp_path / "gfedge_report.py"
    copy.write_text(TEXT)
    code = "import gfedge_report; gfedge_report.job().metrics(1, loss=1)"
    subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path[:0] = ['.']; {code}"],
        cwd=tmp_path,
        check=True,
    )


async def test_the_server_hands_the_module_to_a_trainer(client: Api) -> None:
    job, headers = await external(client)
    async with client.http.request("GET", f"{JOBS}/{job['id']}/report.py", headers=headers) as got:
        assert await got.text() == TEXT


async def test_what_was_reported_while_the_server_was_away_arrives(
    process: Callable[..., Process],
) -> None:
    server = process()
    server.start()
    job = await asyncio.to_thread(report.start, server.address)
    job.metrics(1, loss=1.0)
    await asyncio.to_thread(job.flush)
    server.kill()
    job.metrics(2, loss=0.5)
    await eventually(lambda: asyncio.sleep(0, job.error), bool)
    await asyncio.to_thread(server.start)
    job.metrics(3, loss=0.25)
    await asyncio.to_thread(job.finish)
    assert job.error == ""
    async with connected(server.address) as api:
        ended = await api.get(job.url.removeprefix(server.address))
        assert ended["state"] == "succeeded"
        assert await curve(api, ended["run_id"]) == ([1, 2, 3], [1.0, 0.5, 0.25])
    assert json.dumps(ended)
    assert server.stop() == 0


async def test_a_model_from_elsewhere_is_registered_when_the_job_has_succeeded(
    client: Api, tmp_path: Path
) -> None:
    folder = builders.make_superres_folder(tmp_path / "made", "sharper", "1")

    def train() -> str:
        with report.start(address(client), model="clearer", strict=True) as job:
            job.metrics(1, psnr=31.5)
            job.model(folder)
        return job.url

    url = await asyncio.to_thread(train)
    job = await client.get(url.removeprefix(address(client)))
    assert (job["state"], job["model"]) == ("succeeded", "clearer@1"), job
    found = await client.get("/api/v1/ml-platform/models/clearer")
    assert found["versions"][0]["metrics"] == {"psnr": 31.5}
