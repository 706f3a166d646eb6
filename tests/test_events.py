"""Live streams: snapshots and changes, resuming, filters, clients that are slow, wrong or sent away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient
from conftest import WS, Api, Serving, Socket, listening, said

from gfedge import events as hub
from gfedge import keys
from gfedge.events import Backlog, Events, Message, Subscription


def events_of(api: Api) -> Events:
    assert isinstance(api.http, TestClient)
    return api.http.server.app[keys.EVENTS]


async def numbers(ws: Socket, count: int) -> list[int]:
    return [(await said(ws))["data"]["n"] for _ in range(count)]


def publish(events: Events, *range_: int, topics: tuple[str, ...] = (), key: str = "") -> None:
    for n in range(*range_):
        events.publish("training-jobs", "job.metrics", {"n": n}, topics, key=key)


# -- what a client gets -------------------------------------------------------------------------


async def test_who_says_nothing_gets_the_snapshot_and_every_change(client: Api) -> None:
    events = events_of(client)
    async with listening(client) as ws:
        publish(events, 3)
        found = [await said(ws) for _ in range(3)]
    assert [one["data"]["n"] for one in found] == [0, 1, 2]
    assert found[0]["seq"] < found[1]["seq"] < found[2]["seq"]
    assert all(one["type"] == "job.metrics" for one in found)


async def test_a_snapshot_and_the_changes_after_it_have_no_gap_and_nothing_twice(
    client: Api,
) -> None:
    events, total, slow = events_of(client), 0, asyncio.Event()

    def step() -> None:
        nonlocal total
        total += 1
        events.publish("training-jobs", "step", {"n": total})

    async def snapshot(wanted: Subscription) -> dict[str, int]:
        for _ in range(5):  # things happen while the snapshot is read
            step()
            await asyncio.sleep(0)
        slow.set()
        return {"n": total}

    events.begin_with("training-jobs", snapshot)
    async with client.http.ws_connect(f"{WS}/training-jobs") as ws:
        await ws.send_json({})
        await slow.wait()
        for _ in range(5):
            step()
        first = await said(ws)
        assert first["type"] == "snapshot"
        assert await numbers(ws, total - first["data"]["n"]) == list(
            range(first["data"]["n"] + 1, total + 1)
        )


async def test_topics_and_types_choose_and_a_later_message_chooses_anew(client: Api) -> None:
    events = events_of(client)

    def happen() -> None:
        for job in "ab":
            events.publish("training-jobs", "job.metrics", {"n": job}, (f"job:{job}", "run:r"))
            events.publish("training-jobs", "job.log", {"n": job}, (f"job:{job}", "run:r"))

    async with listening(client, {"topics": ["job:a"]}) as ws:
        happen()
        assert [(await said(ws))["data"]["n"] for _ in range(2)] == ["a", "a"]
        await ws.send_json({"topics": ["job:b", "run:other"], "types": ["job.log"]})
        assert (await said(ws))["type"] == "snapshot"
        happen()
        events.publish("training-jobs", "job.log", {"n": "last"}, ("run:other",))
        found = [await said(ws), await said(ws)]
        assert [(one["type"], one["data"]["n"]) for one in found] == [
            ("job.log", "b"),
            ("job.log", "last"),
        ]


async def test_the_snapshot_hears_what_is_wanted(client: Api) -> None:
    async def snapshot(wanted: Subscription) -> list[str]:
        return wanted.topics

    events_of(client).begin_with("training-jobs", snapshot)
    async with client.http.ws_connect(f"{WS}/training-jobs") as ws:
        await ws.send_json({"topics": ["job:a"]})
        assert (await said(ws))["data"] == ["job:a"]


async def test_streams_do_not_mix(client: Api) -> None:
    events = events_of(client)
    async with listening(client) as one, listening(client, stream="experiments") as other:
        publish(events, 1)
        events.publish("experiments", "run.created", {"n": "run"})
        assert (await said(one))["data"] == {"n": 0}
        assert (await said(other))["data"] == {"n": "run"}


async def test_news_that_were_overtaken_are_left_out(client: Api) -> None:
    events = events_of(client)
    async with listening(client, {"interval": 0.2}) as ws:
        publish(events, 50, key="progress:a")  # in one go: nothing can be sent between them
        publish(events, 50, 52, key="progress:b")
        publish(events, 52, 54)
        assert await numbers(ws, 4) == [49, 51, 52, 53]


# -- coming back --------------------------------------------------------------------------------


async def test_a_client_that_comes_back_goes_on_where_it_was(client: Api) -> None:
    events = events_of(client)
    async with listening(client) as ws:
        publish(events, 2)
        last = [await said(ws), await said(ws)][1]["seq"]
    publish(events, 2, 5)
    async with client.http.ws_connect(f"{WS}/training-jobs") as ws:
        await ws.send_json({"since_seq": last})
        resumed = await said(ws)
        assert (resumed["type"], resumed["seq"], resumed["data"]) == (
            "resumed",
            last,
            {"missed": 3},
        )
        publish(events, 5, 6)
        assert await numbers(ws, 4) == [2, 3, 4, 5]


async def test_a_client_that_was_away_too_long_is_told_and_begins_again(client: Api) -> None:
    events = events_of(client)
    async with listening(client) as ws:
        publish(events, 1)
        last = (await said(ws))["seq"]
    publish(events, hub.KEPT_MESSAGES + 1)
    async with client.http.ws_connect(f"{WS}/training-jobs") as ws:
        await ws.send_json({"since_seq": last})
        gap = await said(ws)
        assert (gap["type"], gap["data"]) == ("gap", {"since_seq": last, "kept_from": last + 2})
        assert (await said(ws))["type"] == "snapshot"
        await ws.send_json({"since_seq": last + 1})
        assert (await said(ws))["data"] == {"missed": hub.KEPT_MESSAGES}


async def test_numbers_of_a_former_life_of_the_server_are_a_gap(serving: Serving) -> None:
    api = await serving()
    async with listening(api) as ws:
        publish(events_of(api), 1)
        last = (await said(ws))["seq"]
    api = await serving()
    for since in (last, last + 10**12):
        async with api.http.ws_connect(f"{WS}/training-jobs") as ws:
            await ws.send_json({"since_seq": since})
            assert [(await said(ws))["type"] for _ in range(2)] == ["gap", "snapshot"]


async def test_what_nobody_hears_is_counted_and_not_kept() -> None:
    events = Events(10)
    before = events._streams["alerts"].seq
    events.publish("alerts", "alert.firing", object())  # never encoded: it could not be
    stream = events._streams["alerts"]
    assert stream.seq == before + 1
    assert not events.listened("alerts")
    client = events.join("alerts")
    await stream.subscribe(client, Subscription(since_seq=before))
    assert b'"gap"' in (client.take() or b"")


# -- clients that are slow ----------------------------------------------------------------------


async def raw_client(api: Api) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client that shakes hands and then reads only when it is told to."""
    assert isinstance(api.http, TestClient)
    server = api.http.server
    reader, writer = await asyncio.open_connection(server.host, server.port, limit=2**10)
    writer.write(
        f"GET {WS}/training-jobs HTTP/1.1\r\nHost: {server.host}:{server.port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    await reader.readuntil(b'"snapshot"')
    return reader, writer


def sample(text: str) -> Callable[[Api], Any]:
    async def read(api: Api) -> float:
        lines = (await api.bytes("/metrics")).decode().splitlines()
        found = [line.rpartition(" ")[2] for line in lines if line.startswith(text + " ")]
        return float(found[0]) if found else 0.0

    return read


async def test_a_client_that_never_reads_is_closed_and_slows_nobody(client: Api) -> None:
    events = events_of(client)
    dropped = sample('gfedge_event_clients_dropped_total{stream="training-jobs"}')
    before = await dropped(client)
    pad = "x" * 20_000
    async with listening(client) as one, listening(client) as other:
        reader, writer = await raw_client(client)
        sent = 0
        while await dropped(client) == before:  # each message is read by the others before the next
            events.publish("training-jobs", "job.log", {"n": sent, "pad": pad})
            assert await numbers(one, 1) == await numbers(other, 1) == [sent]
            sent += 1
            assert sent < 10_000
        assert len(events._streams["training-jobs"].clients) == 2
        tail = b""
        while data := await reader.read(2**16):  # it wakes up: what was on its way, then the code
            tail = (tail + data)[-64:]
        assert (hub.FELL_BEHIND).to_bytes(2, "big") + b"fell behind" in tail
        writer.close()
        publish(events, 7, 8)
        assert await numbers(one, 1) == await numbers(other, 1) == [7]


async def test_a_slow_client_gets_the_code_4008(
    client: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = events_of(client)
    async with listening(client) as ws:
        publish(events, hub.WAITING_MESSAGES + 1)  # in one go: nothing can be sent between them
        message = await ws.receive(timeout=30)
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert (ws.close_code, message.extra) == (4008, "fell behind; resume with since_seq")


async def test_clients_are_counted_and_limited(serving: Serving) -> None:
    api = await serving(max_listeners=2)
    count = sample('gfedge_event_clients{stream="training-jobs"}')
    before = await count(api)
    async with listening(api), listening(api, stream="ai-jobs"):
        assert await count(api) == before + 1
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await api.http.ws_connect(f"{WS}/training-jobs")
        assert refused.value.status == 503
    async with listening(api):
        pass


# -- clients that are wrong ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code", "field"),
    [
        ("no json", "malformed_json", None),
        ("[]", "invalid", None),
        ('{"topic": []}', "invalid", "topic"),
        ('{"topics": "job:1"}', "invalid", "topics"),
        ('{"topics": ["job:1", "sprite"]}', "bad_topic", "topics[1]"),
        ('{"topics": ["metric:1"]}', "bad_topic", "topics[0]"),
        ('{"interval": -1}', "invalid", "interval"),
        ('{"since_seq": "x"}', "invalid", "since_seq"),
    ],
)
async def test_a_wrong_message_is_answered_and_it_goes_on(
    client: Api, text: str, code: str, field: str | None
) -> None:
    events = events_of(client)
    async with client.http.ws_connect(f"{WS}/training-jobs") as ws:
        await ws.send_str(text)  # as the first message, and as a later one
        for expected in ("snapshot", None):
            problem = (await said(ws, "error"))["data"]
            assert (problem["code"], problem.get("field")) == (code, field)
            assert problem["status"] in (400, 422)
            if expected:
                assert (await said(ws))["type"] == expected
                await ws.send_str(text)
        publish(events, 1)
        assert await numbers(ws, 1) == [0]


async def test_a_binary_message_is_answered(client: Api) -> None:
    async with listening(client) as ws:
        await ws.send_bytes(b"{}")
        assert (await said(ws))["data"]["code"] == "malformed_json"


async def test_a_huge_message_closes_with_1009(client: Api) -> None:
    async with listening(client) as ws:
        await ws.send_str(" " * (64 << 10) + "{}")
        await ws.receive(timeout=30)
        assert ws.close_code == 1009


async def test_a_plain_get_is_told_what_this_is(client: Api) -> None:
    problem = await client.refused("GET", f"{WS}/ai-jobs", 426, "upgrade_required")
    assert "ws://" in problem["detail"]


async def test_pages_of_other_sites_may_not_listen(client: Api) -> None:
    for origin in ("https://evil.example", "null"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.http.ws_connect(f"{WS}/ai-jobs", origin=origin)
        assert refused.value.status == 403
    assert isinstance(client.http, TestClient)
    own = f"http://{client.http.host}:{client.http.port}"
    async with client.http.ws_connect(f"{WS}/ai-jobs", origin=own) as ws:
        assert (await said(ws))["type"] == "snapshot"


async def test_a_snapshot_that_fails_closes_with_1011(
    client: Api, caplog: pytest.LogCaptureFixture
) -> None:
    async def snapshot(wanted: Subscription) -> None:
        raise RuntimeError("nobody foresaw this")

    events_of(client).begin_with("training-jobs", snapshot)
    async with client.http.ws_connect(f"{WS}/training-jobs") as ws:
        await ws.receive(timeout=30)
        assert ws.close_code == 1011
    assert "nobody foresaw this" in caplog.text


# -- the end ------------------------------------------------------------------------------------


async def test_a_stopping_server_says_what_waits_and_closes_with_1001(client: Api) -> None:
    events = events_of(client)
    async with listening(client) as ws:
        publish(events, 100)
        events.close()
        assert await numbers(ws, 100) == list(range(100))
        await ws.receive(timeout=30)
        assert ws.close_code == 1001
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.http.ws_connect(f"{WS}/training-jobs")
        assert refused.value.status == 503


# -- rules --------------------------------------------------------------------------------------


def message(n: int, key: str = "", size: int = 1) -> Message:
    return Message(n, "t", (), key, b"x" * size)


def test_a_backlog_keeps_order_and_drops_what_was_overtaken() -> None:
    backlog = Backlog(3, 100)
    for n, key in enumerate(["a", "", "b", "a", ""], 1):
        backlog.add(message(n, key))
    assert [m.seq for m in backlog.after(0)] == [2, 3, 4, 5]
    assert backlog.over
    assert backlog.pop().seq == 2
    assert not backlog.over
    assert [m.seq for m in backlog.after(3)] == [4, 5]


def test_a_backlog_is_bounded_in_bytes_but_takes_any_single_message() -> None:
    backlog = Backlog(10, 100)
    backlog.add(message(1, "a", 1000))
    assert not backlog.over
    backlog.add(message(2, "a", 50))
    backlog.add(message(3, "", 50))
    assert not backlog.over
    backlog.add(message(4, "", 1))
    assert backlog.over
