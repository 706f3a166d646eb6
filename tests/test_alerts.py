"""Alerts of a running server: evaluated at its ticks, shown, acknowledged, silenced, streamed, and back after a restart."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Api, Process, Serving, connected, eventually, said

from gfedge.alerts.routes import ALERTS
from gfedge.monitoring.memory import BLOCK_MS
from gfedge.monitoring.routes import HISTORY

BASE = "/api/v1/monitoring"
RULES = """
groups:
  - name: mine
    interval: 5s
    rules:
      - record: queue:twice
        expr: 2 * gfedge_jobs_queued
      - alert: Always
        expr: vector(1) > 0
        labels: {severity: critical}
        annotations: {summary: 'it is {{ $value }}'}
      - alert: AfterTheRecord
        expr: queue:twice == 0
        for: 1h
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yml"
    path.write_text(RULES)
    return path


def write(file: Path, text: str) -> None:
    file.write_text(text)


def app_of(api: Api) -> Any:
    return api.http.server.app  # type: ignore[union-attr]


async def tick(api: Api, seconds: float = 5.0) -> int:
    """One more sample some seconds after the latest, and the evaluations that it starts to their end."""
    history = app_of(api)[HISTORY]

    async def last() -> Any:
        return history.memory.last

    await eventually(last, bool)
    await evaluated(api)
    at = int(history.memory.last + seconds * 1000)
    await history.tick(at)
    await evaluated(api)
    return at


async def evaluated(api: Api) -> None:
    async def busy() -> bool:
        return any(group.runs for group in app_of(api)[ALERTS].ruler.groups)

    await eventually(busy, lambda runs: not runs)


async def started(serving: Serving, file: Path, **settings: Any) -> Api:
    api = await serving(
        rule_files=str(file), shipped_rules=False, metrics_interval=60.0, **settings
    )
    await tick(api)
    await tick(api)
    return api


async def active(api: Api, **query: Any) -> Any:
    return (await api.get(f"{BASE}/alerts", **query))["alerts"]


async def test_rules_are_evaluated_and_shown(serving: Serving, file: Path) -> None:
    api = await started(serving, file)
    firing, pending = await active(api)
    assert (firing["name"], firing["state"], firing["annotations"]) == (
        "Always",
        "firing",
        {"summary": "it is 1"},
    )
    assert (pending["name"], pending["state"]) == ("AfterTheRecord", "pending")
    assert [one["name"] for one in await active(api, match='{severity=~"crit.*"}')] == ["Always"]
    assert await active(api, state="firing", name="AfterTheRecord") == []
    (group,) = (await api.get(f"{BASE}/rules"))["groups"]
    assert [rule["health"] for rule in group["rules"]] == ["ok", "ok", "ok"]
    assert [rule["state"] for rule in group["rules"]] == ["", "firing", "pending"]
    assert (await api.get(f"{BASE}/dashboard-data"))["alerts"]["firing"] == 1
    (was,) = (await api.get(f"{BASE}/alerts/history"))["alerts"]
    assert was == await api.get(f"{BASE}/alerts/{firing['id']}")
    await api.refused("GET", f"{BASE}/alerts?match=%7B", 422, "bad_match")
    await api.refused("GET", f"{BASE}/alerts/nothing", 404, "alert_not_found")


async def test_a_first_screen_gets_the_first_of_many_alerts_and_their_number(
    serving: Serving, file: Path
) -> None:
    many = "".join(f"      - {{alert: N{n}, expr: vector(1)}}\n" for n in range(210))
    write(file, f"{RULES}{many}")
    api = await started(serving, file)
    found = (await api.get(f"{BASE}/dashboard-data"))["alerts"]
    assert (found["firing"], found["pending"], len(found["active"])) == (211, 1, 200)
    assert {one["state"] for one in found["active"]} == {"firing"}


async def test_prometheus_sees_them_too(serving: Serving, file: Path) -> None:
    api = await started(serving, file)
    at = app_of(api)[HISTORY].memory.last / 1000

    async def query(text: str) -> Any:
        found = await api.get("/prometheus/api/v1/query", query=text, time=at)
        return {
            tuple(sorted(one["metric"].items())): one["value"][1] for one in found["data"]["result"]
        }

    always = (
        ("__name__", "ALERTS"),
        ("alertname", "Always"),
        ("alertstate", "firing"),
        ("severity", "critical"),
    )
    assert await query('ALERTS{alertstate="firing"}') == {always: "1"}
    ((_, since),) = (await query('ALERTS_FOR_STATE{alertname="Always"}')).items()
    assert at - 11 <= int(since) <= at
    rules = (await api.get("/prometheus/api/v1/rules", type="alert"))["data"]["groups"][0]["rules"]
    assert [(rule["name"], rule["state"], rule["duration"]) for rule in rules] == [
        ("Always", "firing", 0),
        ("AfterTheRecord", "pending", 3600),
    ]
    alerts = (await api.get("/prometheus/api/v1/alerts"))["data"]["alerts"]
    assert {one["value"] for one in alerts} == {"1e+00", "0e+00"}


async def test_new_rules_without_a_restart(serving: Serving, file: Path) -> None:
    api = await started(serving, file)
    (firing, _) = await active(api)
    write(file, RULES.replace("for: 1h", "forr: 1h"))
    problem = await api.refused("POST", f"{BASE}/rules/reload", 409, "bad_rule_files")
    assert "mine.yml:14" in problem["detail"]
    assert len(await active(api)) == 2
    assert "mine.yml:14" in (await api.get(f"{BASE}/rules"))["faults"][0]
    info = await api.get("/prometheus/api/v1/status/runtimeinfo")
    assert info["data"]["reloadConfigSuccess"] is False
    write(file, RULES.replace("AfterTheRecord", "Other"))
    assert (await api.call("POST", f"{BASE}/rules/reload"))["faults"] == []
    assert [one["id"] for one in await active(api)] == [firing["id"]]
    await tick(api)
    assert [one["name"] for one in await active(api)] == ["Always", "Other"]
    at = app_of(api)[HISTORY].memory.last / 1000
    found = await api.get(
        "/prometheus/api/v1/query", query='ALERTS{alertname="AfterTheRecord"}', time=at
    )
    assert found["data"]["result"] == []
    records = (await api.get("/api/v1/admin/audit"))["records"]
    assert "rules.reload" in [one["action"] for one in records]


async def test_a_rule_that_is_removed_resolves_its_alerts(serving: Serving, file: Path) -> None:
    api = await started(serving, file)
    write(file, "groups: []")
    await api.call("POST", f"{BASE}/rules/reload")
    assert await active(api) == []
    (was,) = (await api.get(f"{BASE}/alerts/history", state="resolved"))["alerts"]
    assert was["name"] == "Always"


async def test_acknowledging_and_silencing(serving: Serving, file: Path) -> None:
    api = await started(serving, file)
    alert = (await active(api))[0]
    at = f"{BASE}/alerts/{alert['id']}"
    seen = await api.call("POST", f"{at}/acknowledge", json={"comment": "on it"})
    assert (seen["acknowledged_by"], seen["comment"]) == ("local", "on it")
    undone = await api.call("DELETE", f"{at}/acknowledge")
    assert undone["acknowledged_at"] is None
    silence = await api.call("POST", f"{at}/silence", 201, json={"duration_seconds": 60})
    assert silence["state"] == "active"
    assert (await active(api))[0]["silenced_by"] == [silence["id"]]
    ended = await api.call("DELETE", f"{BASE}/silences/{silence['id']}")
    assert ended["state"] == "expired"
    assert (await active(api))[0]["silenced_by"] == []
    assert (await api.get(f"{BASE}/silences"))["silences"] == [ended]


async def test_bounds_are_said_whole(client: Api) -> None:
    body = {"matchers": [{"name": "a", "value": "b"}], "duration_seconds": 0}
    problem = await client.refused("POST", f"{BASE}/silences", 422, "invalid", json=body)
    assert problem["detail"] == "duration_seconds: expected a number above 0 and at most 32000000"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"matchers": []}, "invalid"),
        ({"matchers": [{"name": "a", "value": "b"}]}, "invalid"),
        ({"matchers": [{"name": "a", "value": "b"}], "ends_at": 1.0}, "invalid"),
        (
            {"matchers": [{"name": "a", "op": "=~", "value": "("}], "duration_seconds": 9},
            "bad_regex",
        ),
        (
            {"matchers": [{"name": "a", "op": "=~", "value": ".*"}], "duration_seconds": 9},
            "matches_everything",
        ),
    ],
)
async def test_silences_that_are_none_are_refused(client: Api, body: Any, code: str) -> None:
    await client.refused("POST", f"{BASE}/silences", 422, code, json=body)


async def test_the_stream_begins_with_what_there_is_and_goes_on_with_changes(
    serving: Serving, file: Path
) -> None:
    api = await started(serving, file)
    async with api.http.ws_connect(f"{BASE}/ws/alerts") as ws:
        snapshot = await said(ws)
        assert snapshot["type"] == "snapshot"
        assert [one["name"] for one in snapshot["data"]["alerts"]] == ["Always", "AfterTheRecord"]
        body = {"matchers": [{"name": "alertname", "value": "Always"}], "duration_seconds": 60}
        made = await api.call("POST", f"{BASE}/silences", 201, json=body)
        assert (await said(ws, "silence.created"))["data"] == made
        write(file, "groups: []")
        await api.call("POST", f"{BASE}/rules/reload")
        assert (await said(ws, "alert.resolved"))["data"]["name"] == "Always"
        assert (await said(ws, "alert.dropped"))["data"]["name"] == "AfterTheRecord"


async def test_a_silence_that_runs_out_is_told(serving: Serving, file: Path) -> None:
    api = await started(serving, file)
    soon = {"matchers": [{"name": "alertname", "value": "Always"}], "duration_seconds": 0.01}
    async with api.http.ws_connect(f"{BASE}/ws/alerts") as ws:
        await said(ws, "snapshot")
        made = await api.call("POST", f"{BASE}/silences", 201, json=soon)

        async def state() -> Any:
            return (await api.get(f"{BASE}/silences/{made['id']}"))["state"]

        await eventually(state, lambda state: state == "expired")
        await tick(api)
        ended = await said(ws, "silence.ended")
        assert (ended["data"]["id"], ended["data"]["state"]) == (made["id"], "expired")


async def test_a_group_of_rules_has_metrics_while_it_is_there(serving: Serving, file: Path) -> None:
    api = await started(serving, file)
    text = (await api.bytes("/metrics")).decode()
    key = f'{{rule_group="{file};mine"}}'
    assert f"gfedge_rule_group_rules{key} 3.0" in text
    assert f"gfedge_rule_group_interval_seconds{key} 5.0" in text
    write(file, "groups: []")
    await api.call("POST", f"{BASE}/rules/reload")
    assert f"gfedge_rule_group_rules{key}" not in (await api.bytes("/metrics")).decode()


async def test_results_of_slow_rules_are_written_at_their_time_while_that_is_open(
    serving: Serving, file: Path
) -> None:
    api = await started(serving, file)
    history = app_of(api)[HISTORY]
    ruler = app_of(api)[ALERTS].ruler
    (group,) = ruler.groups
    late = (history.memory.last // BLOCK_MS + 1) * BLOCK_MS  # a block begins, and stays open
    for at in (late, late + 1000):
        await history.tick(at)
        await evaluated(api)
    await ruler.evaluate(group, late)
    assert [rule.health for rule in group.rules] == ["ok", "ok", "ok"]
    await history.tick(late + BLOCK_MS)
    await evaluated(api)
    await ruler.evaluate(group, late)
    assert "too late" in group.rules[0].error
    text = (await api.bytes("/metrics")).decode()
    assert f'gfedge_rule_evaluation_failures_total{{rule_group="{file};mine"}}' in text


async def test_alerts_acknowledgements_and_silences_survive_a_restart(
    serving: Serving, file: Path
) -> None:
    api = await started(serving, file)
    firing, waiting = await active(api)
    await api.call("POST", f"{BASE}/alerts/{firing['id']}/acknowledge", json={})
    await api.call("POST", f"{BASE}/alerts/{waiting['id']}/silence", 201, json={})
    api = await started(serving, file)
    again, pending = await active(api)
    assert (again["id"], again["acknowledged_by"]) == (firing["id"], "local")
    assert again["fired_at"] == firing["fired_at"]
    assert pending["id"] == waiting["id"]
    assert pending["active_at"] >= waiting["active_at"]
    assert len(pending["silenced_by"]) == 1


async def test_a_rule_that_cannot_be_evaluated_says_why_and_the_others_go_on(
    serving: Serving, file: Path
) -> None:
    write(
        file,
        RULES.replace("2 * gfedge_jobs_queued", "label_replace(up, 'instance', '$1', 'x', '(') "),
    )
    api = await started(serving, file)
    (group,) = (await api.get(f"{BASE}/rules"))["groups"]
    assert [rule["health"] for rule in group["rules"]] == ["err", "ok", "ok"]
    assert group["rules"][0]["last_error"]
    text = (await api.bytes("/metrics")).decode()
    assert f'gfedge_rule_evaluation_failures_total{{rule_group="{file};mine"}}' in text


async def test_sighup_reads_the_rules_again(process: Callable[..., Process], file: Path) -> None:
    server = process(rule_files=str(file), metrics_interval=1)
    address = server.start()
    async with connected(address) as api:
        write(file, RULES.replace("Always", "Renamed"))
        assert server.process is not None
        os.kill(server.process.pid, signal.SIGHUP)

        async def names() -> Any:
            groups = (await api.get(f"{BASE}/rules"))["groups"]
            return [rule["name"] for group in groups for rule in group["rules"]]

        found = await eventually(names, lambda names: "Renamed" in names)
        assert "GpuHot" in found
        assert "Always" not in found
