"""Too much work: who is next, what is refused and how, and what becomes of jobs that nobody wants any more."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from builders import SLOW, png_file
from conftest import Api, Serving, eventually
from hypothesis import given
from hypothesis import strategies as st

from gfedge import errors
from gfedge.ai.admission import Admission, Drain, Hold
from gfedge.ai.live import Live
from gfedge.ai.turns import Turns
from gfedge.ai.types import PRIORITIES, Submission
from gfedge.settings import Settings

GENERATE = "/api/v1/ai/generate"
SUPERRES = "/api/v1/ai/superres"


def waiting(
    name: str, requester: str = "a", priority: str = "interactive", price: float = 1
) -> Live:
    job = SimpleNamespace(id=name, requester=requester, priority=priority, price=price)
    nobody = cast(Any, None)
    return Live(cast(Submission, job), nobody, nobody)


def lined_up(*jobs: Live) -> Turns:
    turns = Turns()
    for live in jobs:
        turns.add(live)
    return turns


def taken(turns: Turns) -> list[str]:
    return [turns.take().id for _ in range(len(turns))]


def test_requesters_take_turns() -> None:
    flood = [waiting(f"flood{n}", "loud") for n in range(4)]
    turns = lined_up(*flood, waiting("quiet0", "quiet"), waiting("quiet1", "quiet"))
    assert taken(turns) == ["flood0", "quiet0", "flood1", "quiet1", "flood2", "flood3"]


def test_who_had_a_turn_goes_behind_who_comes_new() -> None:
    turns = lined_up(*(waiting(f"flood{n}", "loud") for n in range(3)))
    assert turns.take().id == "flood0"
    turns.add(waiting("quiet", "quiet"))
    assert taken(turns) == ["flood1", "quiet", "flood2"]


def test_batches_wait_for_people() -> None:
    turns = lined_up(waiting("b0", priority="batch"), waiting("i0"), waiting("i1"))
    assert taken(turns) == ["i0", "i1", "b0"]


jobs = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(PRIORITIES)), max_size=12)


@given(jobs, st.integers(0, 11))
def test_the_order_that_is_shown_is_the_order_that_comes(
    asked: list[tuple[str, str]], removed: int
) -> None:
    turns = lined_up(*(waiting(str(n), *who) for n, who in enumerate(asked)))
    if removed < len(asked):
        assert turns.remove(str(removed)) is not None
        assert turns.remove(str(removed)) is None
    shown = [live.id for live in turns]
    assert [turns.position(name) for name in shown] == list(range(1, len(shown) + 1))
    assert turns.price == len(shown)
    assert taken(turns) == shown
    assert turns.price == 0


def admission(turns: Turns, **settings: Any) -> Admission:
    return Admission(Settings(**{"max_queue": 8, **settings}), turns, lambda: len(turns))


def refused(check: Any) -> errors.ApiError:
    with pytest.raises(errors.ApiError) as refusal:
        check()
    assert int(refusal.value.headers["Retry-After"]) >= 1
    return refusal.value


def test_one_token_takes_three_quarters_at_most() -> None:
    turns = lined_up(*(waiting(str(n), "loud") for n in range(6)))
    door = admission(turns)
    assert refused(lambda: door.at_the_door("loud", by_token=True)).code == "share_exceeded"
    door.at_the_door("quiet", by_token=True)
    door.at_the_door("loud", by_token=False)
    turns.add(waiting("6", "quiet"))
    turns.add(waiting("7", "quiet"))
    assert refused(lambda: door.at_the_door("third", by_token=True)).code == "queue_full"


def test_memory_that_is_full_refuses_work() -> None:
    door = admission(lined_up(), max_memory=1 << 20)
    refusal = refused(lambda: door.at_the_door("a", by_token=False))
    assert (refusal.status, refusal.code) == (503, "memory_full")


def test_work_is_counted_in_megapixels_and_a_lone_job_is_always_taken() -> None:
    turns = lined_up()
    door = admission(turns, max_queued_megapixels=10)
    door.at_its_price(waiting("x", price=50).submission.price, None)
    turns.add(waiting("0", price=9))
    door.at_its_price(waiting("x", price=1).submission.price, None)
    refusal = refused(lambda: door.at_its_price(waiting("x", price=2).submission.price, None))
    assert refusal.code == "too_much_work"


def test_a_job_that_would_start_too_late_is_refused_at_once() -> None:
    turns = lined_up(*(waiting(str(n)) for n in range(5)))
    door = admission(turns)
    for second in range(20):
        door.drain.ended(5, 2.0 * second)
    assert refused(lambda: door.at_its_price(waiting("x").submission.price, 9.0)).code == "too_late"
    door.at_its_price(waiting("x").submission.price, 11.0)


def test_retry_after_follows_the_rate_that_was_measured() -> None:
    drain = Drain()
    for number in range(100):
        drain.ended(1, 0.1 * number)
    assert drain.wait(50) == pytest.approx(5, rel=0.01)
    drain.ended(0, 10.0)
    drain.ended(1, 5000.0)  # nothing waited in between: that was no work
    assert drain.wait(50) == pytest.approx(5, rel=0.01)


def test_only_who_comes_again_and_again_is_held() -> None:
    hold = Hold()
    assert [hold.seconds("polite", 1.0 * second) for second in range(10)] == [0.0] * 10
    hot = [hold.seconds("hot", 0.001 * number) for number in range(100)]
    assert hot[:5] == [0.0] * 5
    assert hot == sorted(hot)
    assert hot[-1] == 1.0
    assert hold.seconds("hot", 60.0) == 0.0
    assert hold.seconds("polite", 60.0) == 0.0


async def blocked(serving: Serving, **settings: Any) -> tuple[Api, Any]:
    """A server whose only place is taken by a long job."""
    client = await serving(max_running=1, **settings)
    long = await client.submit(SLOW, steps=100)
    await client.until(long["id"], "running")
    return client, long


async def test_a_job_whose_time_is_over_is_dropped_before_it_runs(serving: Serving) -> None:
    client, long = await blocked(serving)
    headers = {"X-Request-Timeout": "0.01"}
    job = await client.call("POST", GENERATE, 202, json={"prompt": "orc"}, headers=headers)
    picture = {"X-Request-Timeout": "0.01", "Prefer": "wait=60", "Accept": "image/png"}
    asked = asyncio.ensure_future(
        client.refused("POST", GENERATE, 504, "expired", json={"prompt": "elf"}, headers=picture)
    )
    await eventually(lambda: client.get("/health"), lambda seen: seen["jobs"]["queued"] == 2)
    await asyncio.sleep(0.02)
    await client.cancel(long)
    found = await client.until(job["id"])
    assert (found["status"], found["error"]["code"], found["started_at"]) == (
        "failed",
        "expired",
        None,
    )
    await asked


async def test_a_waiting_client_that_hangs_up_takes_its_job_along(serving: Serving) -> None:
    client, long = await blocked(serving)
    headers = {"Prefer": "wait=60"}
    asked = asyncio.ensure_future(
        client.call("POST", GENERATE, json={"prompt": "orc"}, headers=headers)
    )
    await eventually(lambda: client.get("/health"), lambda seen: seen["jobs"]["queued"] == 1)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    (job,) = (await client.get("/api/v1/ml-platform/ai-jobs", status="queued"))["jobs"]
    await client.cancel(long)
    # It was listed meanwhile, which made it durable: it runs.
    assert (await client.until(job["id"]))["status"] == "succeeded"


async def test_a_job_that_nobody_heard_of_goes_with_its_client(serving: Serving) -> None:
    client, long = await blocked(serving)
    headers = {"Prefer": "wait=60"}
    asked = asyncio.ensure_future(
        client.call("POST", GENERATE, json={"prompt": "orc"}, headers=headers)
    )
    await eventually(lambda: client.get("/health"), lambda seen: seen["jobs"]["queued"] == 1)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await client.cancel(long)
    found = await eventually(
        lambda: client.get("/api/v1/ml-platform/ai-jobs", kind="generate"),
        lambda seen: all(job["finished_at"] for job in seen["jobs"]),
    )
    assert sorted(job["status"] for job in found["jobs"]) == ["cancelled", "cancelled"]


async def test_batches_let_interactive_jobs_pass(serving: Serving) -> None:
    client, long = await blocked(serving)
    batch = await client.call(
        "POST", GENERATE, 202, json={"prompt": "orc"}, headers={"Priority": "u=6, i"}
    )
    mine = await client.submit("elf")
    assert (await client.job(batch["id"]))["queue_position"] == 2
    assert (await client.job(mine["id"]))["queue_position"] == 1
    await client.cancel(long)
    done = [await client.until(job["id"]) for job in (batch, mine)]
    assert done[1]["started_at"] <= done[0]["started_at"]


async def test_too_much_work_is_refused_with_when_to_come_back(serving: Serving) -> None:
    client, _ = await blocked(serving, max_queued_megapixels=1)
    await client.upscale(png_file(height=200, width=200), status=202, scale=4)
    async with client.http.post(
        f"{SUPERRES}?scale=4",
        data=png_file(height=200, width=200, seed=2),
        headers={"Content-Type": "image/png"},
    ) as answer:
        assert (answer.status, (await answer.json())["code"]) == (429, "too_much_work")
        assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("text", ["0", "-1", "1e9", "soon", "", "100000"])
async def test_a_timeout_that_is_none_is_refused(client: Api, text: str) -> None:
    headers = {"X-Request-Timeout": text}
    await client.refused(
        "POST", GENERATE, 400, "bad_timeout", json={"prompt": "orc"}, headers=headers
    )
