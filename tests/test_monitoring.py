"""Health, status, values, PromQL for frontends, the live stream, dashboards, a Grafana and another Prometheus."""

from __future__ import annotations

import asyncio
import io
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from conftest import Api, Process, Serving, eventually

from gfedge.cli import main
from gfedge.inference.device import on_cpu
from gfedge.monitoring import health, serving
from gfedge.monitoring.boards import shipped
from gfedge.monitoring.moments import duration, moment
from gfedge.monitoring.routes import HISTORY
from gfedge.monitoring.vitals import VITALS
from gfedge.promql.parser import parse

BASE = "/api/v1/monitoring"
NOW = 1_790_000_000_000


async def tick(api: Api, seconds: float = 5.0) -> int:
    """One more sample, as of some seconds after the latest."""
    history = api.http.server.app[HISTORY]  # type: ignore[union-attr]
    await eventually(lambda: asyncio.sleep(0, history.memory.last), bool)
    at = int(history.memory.last + seconds * 1000)
    await history.tick(at)
    return at


# -- health and status --------------------------------------------------------------------------


async def test_a_server_is_alive_before_it_is_ready(client: Api) -> None:
    assert await client.get(f"{BASE}/health") == {"status": "ok"}

    async def look() -> Any:
        async with client.http.get(f"{BASE}/health/ready") as response:
            return response.status, await response.json()

    _, found = await eventually(look, lambda answer: answer[0] == 200)
    assert found["status"] == "ready"
    assert set(found["checks"]) == {"models", "provider", "database", "files", "disk", "gpu"}
    assert all(check["ok"] and check["reason"] for check in found["checks"].values())


async def test_what_is_missing_is_said(
    serving: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    port = unused_port()
    api = await serving(port=port, min_free_disk=1 << 60, models=Path("/nowhere"))

    async def look() -> Any:
        async with api.http.get(f"{BASE}/health/ready") as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "5")
            return (await response.json())["checks"]

    checks = await eventually(look, lambda found: "no model" in found["models"]["reason"])
    assert not checks["models"]["ok"]
    assert not checks["disk"]["ok"]
    assert "min_free_disk" in checks["disk"]["reason"]
    assert checks["database"]["ok"]
    assert await asyncio.to_thread(main, ["doctor", "--server", f"http://127.0.0.1:{port}"]) == 1
    assert re.search(
        "^broken +server .* runs no jobs now: .*min_free_disk",
        capsys.readouterr().out,
        re.MULTILINE,
    )


async def test_the_status_tells_of_everything(client: Api) -> None:
    await client.generate()
    await tick(client)
    found = await client.get(f"{BASE}/status")
    assert found["status"] == "ok"
    assert found["provider"] == "CPUExecutionProvider"
    assert {model["name"] for model in found["models"]} >= {"sprite"}
    assert found["model_states"]["sprite@1"] == "ready"
    assert found["queue"] == {"queued": 0, "running": 0}
    assert found["storage"]["database_bytes"] > 0
    assert found["history"]["series"] > 100
    assert found["rates"].keys() == {"jobs_per_minute", "job_failure_ratio", "requests_per_second"}


async def test_one_answer_holds_what_a_first_screen_shows(client: Api) -> None:
    before = (await client.get(f"{BASE}/dashboard-data"))["quick_stats"]
    await client.generate()
    await tick(client)
    found = await client.get(f"{BASE}/dashboard-data")
    assert found.keys() == {"system_status", "metrics", "alerts", "quick_stats"}
    assert found["metrics"].keys() == {vital.name for vital in VITALS}
    assert found["metrics"]["memory_used_ratio"]["value"] < 1
    assert found["quick_stats"]["jobs_succeeded"] == before["jobs_succeeded"] + 1
    assert found["alerts"] == {"firing": 0, "pending": 0, "active": []}


# -- values and PromQL --------------------------------------------------------------------------


async def test_values_are_asked_for_by_name_or_expression(client: Api) -> None:
    await tick(client)
    found = await client.get(
        f"{BASE}/metrics/instant", names="cpu_ratio, gfedge_disk_free_bytes", query="1 + 1"
    )
    by_name = {value["name"]: value for value in found["values"]}
    assert list(by_name) == ["cpu_ratio", "gfedge_disk_free_bytes", "1 + 1"]
    assert by_name["1 + 1"]["value"] == 2
    assert by_name["cpu_ratio"]["unit"] == "ratio"
    assert by_name["gfedge_disk_free_bytes"]["unit"] == "bytes"
    assert by_name["gfedge_disk_free_bytes"]["series"][0]["labels"]["job"] == "gfedge"
    many = (await client.get(f"{BASE}/metrics/instant", query="gfedge_host_cpu_seconds_total"))[
        "values"
    ][0]
    assert many["value"] is None
    assert len(many["series"]) > 2
    past = await client.get(f"{BASE}/metrics/instant", query="gfedge_jobs_queued", time="now-1d")
    assert past["values"][0]["series"] == []


async def test_every_vital_value_is_promql_that_has_a_meaning() -> None:
    assert len({vital.name for vital in VITALS}) == len(VITALS)
    for vital in VITALS:
        parse(vital.query)


async def test_promql_answers_as_prometheus_does(client: Api) -> None:
    at = await tick(client)
    path = f"{BASE}/metrics/prometheus"
    found = await client.get(path, query="gfedge_jobs_queued * NaN", time=at / 1000)
    assert (found["resultType"], found["source"]) == ("vector", "internal")
    assert found["result"][0]["value"] == [at / 1000, "NaN"]
    found = await client.get(
        path, query="gfedge_jobs_queued", start=at / 1000, end=at / 1000 + 60, step="15s"
    )
    assert [point[0] - at / 1000 for point in found["result"][0]["values"]] == [0, 15, 30, 45, 60]
    assert (await client.get(path, query="3"))["result"][1] == "3"
    assert (await client.get(path, query="'x'"))["resultType"] == "string"
    raw = await client.get(path, query="gfedge_jobs_queued[1m]", time=at / 1000)
    assert (raw["resultType"], raw["result"][0]["values"][-1]) == ("matrix", [at / 1000, "0"])


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ({"query": "sum("}, "bad_query", "query"),
        ({"query": "1", "time": "yesterday"}, "bad_time", "time"),
        ({"query": "1", "end": "now"}, "bad_time", "start"),
        ({"query": "1", "start": "now", "end": "now-1h"}, "bad_time", "end"),
        ({"query": "1", "start": "now-1h", "time": "now"}, "bad_time", "time"),
        ({"query": "1", "start": "now-1h", "step": "soon"}, "bad_duration", "step"),
        ({"query": "1", "start": "now-30d", "step": "1s"}, "too_many_points", "step"),
        ({"query": "1", "start": "0", "end": "inf"}, "bad_time", "end"),
        ({"query": ""}, "invalid", "query"),
        ({"query": "1", "source": "elsewhere"}, "invalid", "source"),
    ],
)
async def test_what_cannot_be_answered_is_refused(
    client: Api, query: dict[str, str], code: str, field: str
) -> None:
    problem = await client.refused("GET", f"{BASE}/metrics/prometheus", 422, code, params=query)
    assert problem["field"] == field


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("now-6h", NOW - 6 * 3_600_000),
        ("now+1m", NOW + 60_000),
        ("1790000000.5", 1_790_000_000_500),
        ("1790000000500", 1_790_000_000_500),
        ("2026-01-31T12:00:00Z", 1_769_860_800_000),
        ("2026-01-31T13:00:00+01:00", 1_769_860_800_000),
    ],
)
def test_times_are_written_in_several_ways(text: str, expected: int) -> None:
    assert moment(text, NOW, "time") == expected


def test_durations_are_written_in_several_ways() -> None:
    assert [duration(text, "step") for text in ("15", "15s", "1m30s", "0.5", "250ms", "1d")] == [
        15_000,
        15_000,
        90_000,
        500,
        250,
        86_400_000,
    ]


# -- the stream ---------------------------------------------------------------------------------


async def receive(ws: Any) -> Any:
    return json.loads((await ws.receive(timeout=20)).data)


async def test_a_socket_without_a_word_gives_useful_values_at_once(client: Api) -> None:
    await tick(client)
    async with client.http.ws_connect(f"{BASE}/ws/metrics") as ws:
        first = await receive(ws)
        assert first["type"] == "snapshot"
        values = {value["name"]: value for value in first["data"]["values"]}
        assert values["memory_used_ratio"]["value"] > 0
        at = await tick(client)
        message = await receive(ws)
        assert (message["type"], message["data"]["at"]) == ("values", at / 1000)


async def test_a_socket_gives_what_is_chosen(client: Api) -> None:
    await tick(client)
    async with client.http.ws_connect(f"{BASE}/ws/metrics") as ws:
        topics = ["metric:cpu_ratio", "metric:sum(gfedge_jobs_queued) + 40"]
        await ws.send_json({"topics": topics})
        first = await receive(ws)
        assert [value["name"] for value in first["data"]["values"]] == [t[7:] for t in topics]
        await tick(client)
        found = [await receive(ws), await receive(ws)]
        assert {message["type"] for message in found} == {"value"}
        values = {message["data"]["name"]: message["data"]["value"] for message in found}
        assert values["sum(gfedge_jobs_queued) + 40"] == 40
        await ws.send_json({"topics": ["metric:sum("]})
        refused = await receive(ws)
        assert (refused["type"], refused["data"]["code"]) == ("error", "bad_query")


async def test_what_one_client_chose_does_not_reach_the_others(client: Api) -> None:
    await tick(client)
    path = f"{BASE}/ws/metrics"
    async with client.http.ws_connect(path) as one, client.http.ws_connect(path) as other:
        await one.send_json({"topics": ["metric:cpu_ratio"]})
        await other.send_json({})
        assert [(await receive(ws))["type"] for ws in (one, other)] == ["snapshot", "snapshot"]
        for _ in range(2):
            await tick(client)
        assert [(await receive(other))["type"] for _ in range(2)] == ["values", "values"]
        assert [(await receive(one))["type"] for _ in range(2)] == ["value", "value"]


# -- dashboards ---------------------------------------------------------------------------------


@pytest.mark.parametrize("uid", shipped())
def test_a_dashboard_is_what_grafana_takes(uid: str) -> None:
    board = shipped()[uid]
    assert board["schemaVersion"] == 39
    assert board["uid"] == uid
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells
        for target in panel["targets"]:
            parse(re.sub(r"\$__\w+", "5m", target["expr"]))


async def test_every_panel_of_every_dashboard_is_evaluated(client: Api) -> None:
    await client.generate()
    for _ in range(3):
        await tick(client, 15)
    listed = (await client.get(f"{BASE}/dashboards"))["dashboards"]
    assert {board["uid"] for board in listed} == set(shipped())
    for board in listed:
        assert await client.get(board["url"]) == shipped()[board["uid"]]
        query = {"from": "now-10m", "to": "now+2m"}
        found = await client.get(f"{board['url']}/data", **query)
        assert len(found["panels"]) == len(shipped()[board["uid"]]["panels"])
        for panel in found["panels"]:
            for target in panel["targets"]:
                assert not target["error"], target
                for series in target["series"]:
                    assert len(series["values"]) == len(found["times"])
    lines = [target for panel in found["panels"] for target in panel["targets"] if target["series"]]
    assert len(lines) > 15
    await client.refused("GET", f"{BASE}/dashboards/nothing", 404, "dashboard_not_found")


async def test_one_download_sets_a_grafana_up(client: Api) -> None:
    found = yaml.safe_load(await client.bytes(f"{BASE}/grafana/provisioning.yaml"))
    (source,) = found["datasources"]
    assert source["url"].endswith("/prometheus")
    assert source["type"] == "prometheus"
    data = await client.bytes(f"{BASE}/grafana/provisioning.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        names = tar.getnames()
        assert {f"dashboards/gfedge/{uid}.json" for uid in shipped()} < set(names)
        (provider,) = yaml.safe_load(tar.extractfile("dashboards/gfedge.yaml"))["providers"]  # type: ignore[arg-type]
        assert provider["options"]["path"].endswith("provisioning/dashboards/gfedge")


# -- others: a Grafana, a Prometheus ------------------------------------------------------------

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def other(**handlers: Handler) -> AsyncIterator[tuple[str, list[web.Request]]]:
    """Another server, which is not ours: its address, and the requests that it got."""
    seen: list[web.Request] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        name = request.path.strip("/").replace("/", "_")
        return await handlers[name](request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/"), seen


async def search(request: web.Request) -> web.Response:
    found = [{"uid": "abc", "title": "Ours", "url": "/d/abc/our-board", "tags": ["x"], "id": 3}]
    return web.json_response(found)


async def theirs(request: web.Request) -> web.Response:
    return web.json_response({"meta": {}, "dashboard": {"uid": "abc", "panels": []}})


async def test_the_dashboards_of_a_grafana_are_listed_and_its_key_stays_here(
    serving: Serving,
) -> None:
    async with other(api_search=search, api_dashboards_uid_abc=theirs) as (url, seen):
        api = await serving(grafana_url=url, grafana_api_key="secret-token")
        text = (await api.bytes(f"{BASE}/dashboards")).decode()
        assert "secret-token" not in text
        found = json.loads(text)
        assert found["grafana"] == {"status": "ok", "url": url, "detail": ""}
        board = found["dashboards"][-1]
        assert board["url"] == f"{url}/d/abc/our-board"
        assert board["embed_url"].startswith(f"{url}/d/abc/our-board?")
        assert "panelId={panel}" in board["panel_embed_url"]
        assert await api.get(f"{BASE}/dashboards/abc") == {"uid": "abc", "panels": []}
        assert {request.headers["Authorization"] for request in seen} == {"Bearer secret-token"}


async def test_a_grafana_that_is_down_is_a_degraded_part(serving: Serving) -> None:
    api = await serving(grafana_url="http://127.0.0.1:1", grafana_api_key="k")
    found = await api.get(f"{BASE}/dashboards")
    assert len(found["dashboards"]) == len(shipped())
    assert found["grafana"]["status"] == "unreachable"
    assert "127.0.0.1:1" in found["grafana"]["detail"]
    await api.refused("GET", f"{BASE}/dashboards/abc", 404, "dashboard_not_found")


async def refusing(request: web.Request) -> web.Response:
    return web.json_response({"message": "Unauthorized"}, status=401)


async def test_a_grafana_that_refuses_the_key_is_said_to(serving: Serving) -> None:
    async with other(api_search=refusing) as (url, _):
        api = await serving(grafana_url=url, grafana_api_key="wrong")
        assert "GRAFANA_API_KEY" in (await api.get(f"{BASE}/dashboards"))["grafana"]["detail"]


async def their_query(request: web.Request) -> web.Response:
    if request.query["query"] == "bad(":
        return web.json_response(
            {"status": "error", "errorType": "bad_data", "error": "no"}, status=400
        )
    if request.query["query"] == "elsewhere":
        raise web.HTTPFound("http://127.0.0.1:1/")
    result = [{"metric": {"job": "theirs"}, "value": [1.5, "42"]}]
    return web.json_response(
        {"status": "success", "data": {"resultType": "vector", "result": result}}
    )


async def test_another_prometheus_is_asked_where_one_is_set(serving: Serving) -> None:
    async with other(api_v1_query=their_query) as (url, seen):
        api = await serving(prometheus_url=url)
        path = f"{BASE}/metrics/prometheus"
        headers = {"Authorization": "Bearer mine", "Cookie": "a=b", "X-Other": "c"}
        found = await api.call(
            "GET", path, params={"query": "up", "source": "external"}, headers=headers
        )
        assert found["result"] == [{"metric": {"job": "theirs"}, "value": [1.5, "42"]}]
        assert found["source"] == "external"
        assert seen[-1].method == "GET"
        assert not {"Authorization", "Cookie", "X-Other"} & seen[-1].headers.keys()
        instant = await api.get(f"{BASE}/metrics/instant", query="up", source="external")
        assert instant["values"][0]["value"] == 42
        asked = {"source": "external", "query": "bad("}
        await api.refused("GET", path, 422, "bad_query", params=asked)
        asked["query"] = "elsewhere"
        await api.refused("GET", path, 503, "target_failed", params=asked)


async def test_no_other_prometheus_is_a_clear_refusal(client: Api) -> None:
    for path in ("metrics/prometheus", "metrics/instant"):
        query = {"query": "up", "source": "external"}
        await client.refused("GET", f"{BASE}/{path}", 409, "no_external_prometheus", params=query)


# -- a real Prometheus --------------------------------------------------------------------------

SCRAPE = """
scrape_configs:
- job_name: gfedge
  scrape_interval: 1s
  static_configs:
  - targets: ['{}']
"""


@pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed")
async def test_a_real_prometheus_scrapes_the_server(
    tmp_path: Path, process: Callable[..., Process], unused_tcp_port: int
) -> None:
    address = process().start()
    (tmp_path / "prometheus.yml").write_text(SCRAPE.format(address.partition("://")[2]))
    command = [
        "prometheus",
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/tsdb",
        f"--web.listen-address=127.0.0.1:{unused_tcp_port}",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as theirs:  # noqa: ASYNC220
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{unused_tcp_port}") as http:

                async def up() -> Any:
                    try:
                        async with http.get(
                            "/api/v1/query?query=gfedge_host_memory_bytes"
                        ) as response:
                            return (await response.json())["data"]["result"]
                    except aiohttp.ClientError:
                        return []

                assert await eventually(up, bool)
                async with http.get("/api/v1/targets") as response:
                    (target,) = (await response.json())["data"]["activeTargets"]
                    assert (target["health"], target["lastError"]) == ("up", "")
        finally:
            theirs.terminate()


def test_folders_that_are_still_read_are_not_called_empty() -> None:
    empty = serving.Serving(
        versions=list, loaded=list, device=lambda: None, jobs=dict, failure=lambda: ""
    )
    assert health.models(empty) == health.Check(ok=False, reason="they are read")
    looked = msgspec.structs.replace(empty, device=lambda: on_cpu("as set"))
    assert health.models(looked).reason.startswith("no model is here")
