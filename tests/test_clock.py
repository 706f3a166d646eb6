"""The machine's clock is set, forwards and back: nothing expires that should not, nothing fails, nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Callable

import builders
import pytest
from conftest import JOBS, Api, Serving, eventually
from test_training_reports import external

from gfedge.db import new_id

DAY = 86_400.0
SetBy = Callable[[float], None]


@pytest.fixture
def set_by(monkeypatch: pytest.MonkeyPatch) -> SetBy:
    """Sets the clock of the server, which runs in this process, so many seconds from the right time."""
    real, real_ns = time.time, time.time_ns

    def by(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: real() + seconds)
        monkeypatch.setattr(time, "time_ns", lambda: real_ns() + int(seconds * 1e9))

    return by


@pytest.mark.parametrize("jumps", [(DAY, 0.0), (-DAY, 0.0), (400 * DAY, -400 * DAY)])
async def test_jobs_go_on_and_keep_their_keys(
    client: Api, set_by: SetBy, jumps: tuple[float, ...]
) -> None:
    ids = []
    for jump in jumps:
        running = await client.submit(f"red {builders.SLOW}", steps=6)
        waiting = await client.call(
            "POST",
            "/api/v1/ai/generate",
            202,
            json={"prompt": "blue sword"},
            headers={"X-Request-Timeout": "3600", "Idempotency-Key": f"w{jump:g}"},
        )
        set_by(jump)
        again = await client.submit("blue sword", key=f"w{jump:g}")
        assert again["id"] == waiting["id"]
        for job in (running, waiting):
            assert (await client.until(job["id"]))["status"] == "succeeded"
            ids.append(job["id"])
        ended = await client.job(running["id"])
        assert all(seconds >= 0 for seconds in ended["timings"].values())
    listed = [job["id"] for job in (await client.get(JOBS))["jobs"]]
    assert listed == sorted(ids, reverse=True)


async def test_what_was_acknowledged_before_a_jump_is_there_after_a_restart(
    serving: Serving, set_by: SetBy
) -> None:
    client = await serving()
    done = [await client.generate(seed=1)]
    for jump in (DAY, -DAY, 0.0):
        set_by(jump)
        client = await serving()
        done.append(await client.generate(seed=1))
        listed = {job["id"] for job in (await client.get(JOBS))["jobs"]}
        assert listed == {job["id"] for job in done}
        assert (await client.get("/api/v1/monitoring/health/ready"))["status"] == "ready"


async def test_a_trainer_elsewhere_is_not_taken_for_silent(serving: Serving, set_by: SetBy) -> None:
    """Two trainers: the clock jumps between the signs of life of the one, and the other is silent in earnest."""
    client = await serving(train_lost_after=3)
    (heard, headers), (silent, its) = await external(client), await external(client)
    path = "/api/v1/ml-platform/training-jobs"
    await client.call("POST", f"{path}/{silent['id']}/heartbeat", headers=its)
    set_by(DAY)

    async def states() -> str:
        await client.call("POST", f"{path}/{heard['id']}/heartbeat", headers=headers)
        set_by(2 * DAY)
        found = [await client.get(f"{path}/{job['id']}") for job in (heard, silent)]
        assert found[0]["state"] == "running"
        return found[1]["state"]

    await eventually(states, lambda state: state == "lost")


def test_ids_stay_in_order(set_by: SetBy) -> None:
    made = []
    for jump in (0.0, DAY, -DAY, 0.0):
        set_by(jump)
        made += [new_id() for _ in range(10)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
