"""The pages Monitoring, System and Experiments in a real browser, on a real server."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import browser
import builders
import pytest
import pytest_asyncio
from browser import Tab, expect
from conftest import Process, connected, make_models
from playwright.async_api import Browser

pytestmark = [browser.needed, pytest.mark.asyncio(loop_scope="module")]


RULES = """
groups:
  - name: mine
    interval: 1s
    rules:
      - alert: Always
        expr: vector(1) > 0
        labels: {severity: critical}
        annotations: {summary: 'it is {{ $value }}'}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("pages")
    rules = folder / "rules.yml"
    rules.write_text(RULES)
    settings = {"metrics_interval": 1, "rule_files": rules, "shipped_rules": "false"}
    process = Process(folder / "data", make_models(folder / "models"), **settings)
    process.start()
    yield process
    process.kill()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with browser.started() as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def tab(server: Process, chromium: Browser) -> AsyncIterator[Tab]:
    async with browser.tab(chromium, server.address) as found:
        yield found


# Monitoring


BOARD: dict[str, Any] = {
    "title": "Of a Grafana",
    "refresh": "1s",
    "templating": {
        "list": [
            {
                "name": "mode",
                "type": "query",
                "query": "label_values(gfedge_host_cpu_seconds_total, mode)",
                "multi": True,
                "includeAll": True,
            },
            {"name": "word", "type": "custom", "query": "one, two"},
        ]
    },
    "panels": [
        {
            "id": 1,
            "type": "text",
            "title": "Note",
            "gridPos": {"x": 0, "y": 0, "w": 8, "h": 4},
            "options": {"content": "# Hello\nThe word is **$word**, <b>plain</b>."},
        },
        {"id": 2, "type": "row", "title": "Below", "gridPos": {"x": 0, "y": 4, "w": 24, "h": 1}},
        {
            "id": 3,
            "type": "bargauge",
            "title": "Seconds",
            "gridPos": {"x": 0, "y": 5, "w": 12, "h": 6},
            "targets": [
                {
                    "refId": "A",
                    "expr": 'sum by (mode) (gfedge_host_cpu_seconds_total{mode=~"$mode"})',
                    "legendFormat": "mode {{mode}}",
                }
            ],
            "fieldConfig": {
                "defaults": {"unit": "s"},
                "overrides": [
                    {
                        "matcher": {"id": "byName", "options": "mode system"},
                        "properties": [
                            {"id": "displayName", "value": "${__field.labels.mode}: the kernel"}
                        ],
                    },
                    {
                        "matcher": {"id": "byRegexp", "options": "/KERNEL|system/i"},
                        "properties": [
                            {"id": "unit", "value": "watt"},
                            {"id": "max", "value": 9e9},
                        ],
                    },
                    {
                        "matcher": {"id": "byName", "options": "mode iowait"},
                        "properties": [{"id": "custom.hideFrom", "value": {"viz": True}}],
                    },
                ],
            },
        },
        {
            "id": 4,
            "type": "stat",
            "title": "Wrong",
            "gridPos": {"x": 12, "y": 5, "w": 6, "h": 6},
            "targets": [{"refId": "A", "expr": "sum("}],
        },
        {
            "id": 5,
            "type": "news",
            "title": "News",
            "gridPos": {"x": 18, "y": 5, "w": 6, "h": 6},
        },
        {
            "id": 6,
            "type": "table",
            "title": "Builds",
            "gridPos": {"x": 0, "y": 11, "w": 24, "h": 6},
            "targets": [{"refId": "A", "expr": "gfedge_build_info", "instant": True}],
        },
    ],
}


async def test_any_dashboard_of_a_grafana_is_drawn_from_its_file(tab: Tab) -> None:
    page = await tab.open("#/monitoring")
    file: Any = {"name": "board.json", "mimeType": "application/json"}
    await page.get_by_label("Open a dashboard of Grafana").set_input_files(
        {**file, "buffer": json.dumps(BOARD).encode()}
    )
    await expect(page.get_by_role("meter", name="mode user")).to_be_visible()
    kernel = page.get_by_role("meter", name="system: the kernel")
    await expect(kernel).to_contain_text(" W")
    await expect(kernel).to_have_attribute("aria-valuemax", "9000000000")
    await expect(page.get_by_role("meter", name="mode user")).not_to_contain_text(" W")
    await expect(page.get_by_role("meter", name="mode iowait")).to_have_count(0)
    await expect(page.get_by_label("Note")).to_contain_text("The word is one, <b>plain</b>.")
    await page.get_by_label("word").select_option("two")
    await expect(page.get_by_label("Note")).to_contain_text("The word is two")
    await expect(
        page.get_by_label("Builds").get_by_role("columnheader", name="version")
    ).to_be_visible()
    await expect(page.get_by_label("News")).to_contain_text("“news” is not drawn here")
    await expect(page.get_by_label("Wrong").get_by_role("alert")).to_be_visible()
    await page.get_by_role("listbox", name="mode").select_option(["idle"])
    await expect(page.get_by_role("meter", name="mode user")).to_have_count(0)
    await page.get_by_role("button", name="Below").click()
    await expect(page.get_by_label("Seconds")).to_have_count(0)
    tab.wrong = [text for text in tab.wrong if "400" not in text]  # of the wrong expression
    assert await tab.serious() == []


async def test_a_promql_expression_is_completed_and_drawn(tab: Tab) -> None:
    page = await tab.open("#/monitoring/explore?from=now-5m&refresh=1s")
    field = page.get_by_label("PromQL", exact=True)
    await field.press_sequentially("rat")
    await expect(page.get_by_role("option", name="rate()").first).to_be_visible()
    await field.press("Enter")
    await expect(field).to_have_value("rate()")
    await field.press_sequentially("gfedge_http_requests_to")
    await expect(page.get_by_role("option", name="gfedge_http_requests_total")).to_be_visible()
    assert await tab.serious() == []
    await field.press("Enter")
    await field.press_sequentially("{met")
    await page.get_by_role("option", name="method").click()
    await field.press_sequentially('="')
    await page.get_by_role("option", name="GET").click()
    await field.press_sequentially("}[1")
    await page.get_by_role("option", name="1m]").click()
    await expect(field).to_have_value('rate(gfedge_http_requests_total{method="GET"}[1m])')
    await field.press("Enter")
    await expect(page.get_by_role("img").locator("canvas")).to_be_visible()
    await expect(page.get_by_role("cell", name="GET").first).to_be_visible()
    assert await tab.serious() == []
    await field.fill("sum(")
    await page.get_by_role("button", name="Draw").click()
    await expect(page.get_by_role("alert")).to_contain_text("parse error")
    tab.wrong = [text for text in tab.wrong if "400" not in text]


async def test_no_gpu_is_no_failure(tab: Tab) -> None:
    page = await tab.open("#/monitoring/gpus")
    await expect(page.get_by_role("heading", name="No GPU answers")).to_be_visible()
    assert await tab.serious() == []


async def test_a_dashboard_of_the_server_is_drawn(tab: Tab) -> None:
    page = await tab.open("#/monitoring")
    await expect(page.get_by_role("link", name="gfedge: GPUs")).to_be_visible()
    assert await tab.serious() == []
    await page.get_by_role("link", name="gfedge: platform").click()
    await expect(page.get_by_role("meter")).to_have_count(3)
    lines = page.get_by_role("img", name="Memory of the process: resident")
    await expect(lines.locator("canvas")).to_be_visible()
    await page.get_by_role("combobox", name="Time").select_option("last 5 minutes")
    await expect(page).to_have_url(re.compile("from=now-5m"))
    await expect(page.get_by_label("Up for")).to_contain_text(re.compile(r"\d (ms|s|min)"))
    assert await tab.serious() == []


async def test_an_alert_fires_is_acknowledged_and_silenced(tab: Tab) -> None:
    page = await tab.open("#/monitoring/alerts")
    now = page.get_by_label("Alerts now")
    await expect(now.get_by_text("it is 1")).to_be_visible()
    await expect(page.get_by_label("History", exact=True)).to_contain_text("Always")
    assert await tab.serious() == []
    await now.get_by_role("button", name="Acknowledge…").click()
    await page.get_by_label("What you do about it").fill("I turn it off")
    await page.get_by_role("button", name="Acknowledge", exact=True).click()
    await expect(now.get_by_text("“I turn it off”")).to_be_visible()
    await now.get_by_role("button", name="Silence…").click()
    await page.get_by_label("Why").fill("known")
    assert await tab.serious() == []
    await page.get_by_role("button", name="Silence", exact=True).click()
    await expect(now.get_by_text("silenced", exact=True)).to_be_visible()
    silences = page.get_by_label("Silences")
    await expect(silences).to_contain_text('alertname="Always"')
    await silences.get_by_role("button", name="End it").click()
    await expect(now.get_by_text("silenced", exact=True)).to_have_count(0)
    await expect(page.get_by_label("Rules").get_by_role("link", name="vector(1)")).to_be_visible()
    assert await tab.serious() == []


# System


async def test_the_server_says_how_it_is_and_how_it_is_set(tab: Tab) -> None:
    page = await tab.open("#/system")
    await expect(page.get_by_role("heading", name="Ready for work")).to_be_visible()
    await expect(page.get_by_label("Health", exact=True)).to_contain_text("sprite@1")
    await expect(page.get_by_label("Models in memory")).to_contain_text("superres@1")
    assert await tab.serious() == []
    await page.get_by_role("link", name="Settings").click()
    await page.get_by_label("Search").fill("metrics_interval")
    setting = page.get_by_label("Settings", exact=True).get_by_role("listitem")
    await expect(setting).to_have_count(1)
    await expect(setting).to_contain_text("default 5")
    assert await tab.serious() == []


async def test_storage_is_told_backed_up_and_verified(tab: Tab) -> None:
    page = await tab.open("#/system/storage")
    await page.get_by_role("button", name="What would a collection free?").click()
    await expect(page.get_by_label("Collection").get_by_role("status")).to_contain_text(
        "would free"
    )
    await page.get_by_role("button", name="Back up now").click()
    await expect(page.get_by_label("Backups").get_by_role("listitem")).to_have_count(1)
    await page.get_by_role("button", name="Verify").click()
    await expect(page.get_by_label("Verification").get_by_role("status")).to_contain_text("sound")
    assert await tab.serious() == []


async def test_a_token_is_made_revoked_and_both_are_in_the_audit_log(tab: Tab) -> None:
    page = await tab.open("#/system/tokens")
    await page.get_by_label("For whom or what").fill("unreal-plugin")
    await page.get_by_role("button", name="Make a token").click()
    text = await page.get_by_label("Token", exact=True).input_value()
    assert text.startswith("gfe_")
    await page.get_by_role("button", name="Done").click()
    row = page.get_by_role("row", name="unreal-plugin")
    await expect(row).to_contain_text("valid")
    assert await tab.serious() == []
    await row.get_by_role("button", name="Revoke").click()
    await page.get_by_role("button", name="Revoke it").click()
    await expect(row).to_contain_text("revoked")
    await page.get_by_role("link", name="Audit log").click()
    await expect(page.get_by_role("cell", name="token.revoke")).to_be_visible()
    assert await tab.serious() == []


# Experiments

EXPERIMENTS = "/api/v1/ml-platform/experiments"
RUNS = "/api/v1/ml-platform/runs"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dragon_eyes(server: Process) -> None:
    """An experiment with 210 runs of different params, of which the first two have curves and the first a picture."""
    async with connected(server.address) as api:
        headline = {"metric": "loss", "goal": "min"}
        body = {"name": "dragon eyes", "headline": headline}
        experiment = (await api.call("POST", EXPERIMENTS, 201, json=body))["id"]

        async def one(index: int) -> None:
            params = {"lr": "0.001" if index % 2 else "0.003", "width": str(32 + index)}
            path = f"{EXPERIMENTS}/{experiment}/runs"
            body = {"name": f"try {index}", "params": params}
            run = (await api.call("POST", path, 201, json=body))["id"]
            points = [
                {"key": "loss", "value": 1 / (step + 1 + index), "step": step}
                for step in range(20 if index < 2 else 1)
            ]
            await api.call("POST", f"{RUNS}/{run}/log", json={"metrics": points})
            if index == 0:
                for name in ("eyes.png", "samples/first.png"):
                    where, picture = f"{RUNS}/{run}/artifacts/{name}", builders.png_file(16, 16)
                    await api.call("PUT", where, 201, data=picture)

        await asyncio.gather(*(one(index) for index in range(210)))
    return str(experiment)


@pytest.mark.usefixtures("dragon_eyes")
async def test_runs_are_filtered_sorted_and_compared(tab: Tab) -> None:
    page = await tab.open("#/experiments")
    await page.get_by_role("link", name="dragon eyes").click()
    runs = page.get_by_role("list", name="Runs").get_by_role("listitem")
    await expect(runs.first).to_be_visible()
    assert await runs.count() < 100  # windowed
    assert await tab.serious() == []
    await page.mouse.wheel(0, 9000)
    await expect(page.get_by_text("210 runs", exact=True)).to_be_visible()  # the second page too
    field = page.get_by_label("Filter", exact=True).and_(page.get_by_role("textbox"))
    await field.press_sequentially("params.w")
    await page.get_by_role("option", name="params.width").click()
    await field.press_sequentially(" in ('32', '33', '34")
    await field.press_sequentially("') and metrics.lo")
    await field.press("Enter")
    await field.press_sequentially(" > 0")
    await field.press("Escape")
    await field.press("Enter")
    await expect(runs).to_have_count(3)
    await page.get_by_role("button", name="loss", exact=True).click()
    await expect(runs.first).to_contain_text("try 1")
    await page.get_by_text("Columns", exact=True).click()
    await page.get_by_label("status", exact=True).uncheck()
    await expect(page.get_by_role("button", name="status")).to_have_count(0)
    await page.get_by_text("Columns", exact=True).click()
    await page.get_by_label("Compare try 0").check()
    await page.get_by_label("Compare try 1").check()
    assert await tab.serious() == []
    await page.get_by_role("link", name="Compare 2").click()
    await expect(page.get_by_role("img", name="loss: try")).to_be_visible()
    await expect(page.get_by_role("row", name="width 3")).to_contain_text("33")
    await page.get_by_label("log axis").check()
    await page.get_by_label("Smoothing").fill("0.8")
    await expect(page.get_by_role("img", name="(raw)")).to_be_visible()
    assert await tab.serious() == []
    await page.get_by_role("link", name="try 0").click()
    await expect(page.get_by_role("img", name="eyes.png")).to_be_visible()
    await expect(page.get_by_role("img", name="first.png")).to_be_visible()
    assert await tab.serious() == []


@pytest.mark.usefixtures("dragon_eyes")
async def test_params_are_drawn_against_a_metric_and_a_wrong_filter_says_where(tab: Tab) -> None:
    page = await tab.open("#/experiments/dragon%20eyes/chart")
    await expect(
        page.get_by_role("img", name="metrics.loss by params.").locator("canvas")
    ).to_be_visible()
    await page.get_by_label("Across").select_option("params.width")
    await expect(page.get_by_role("img", name="metrics.loss by params.width")).to_be_visible()
    await page.get_by_role("button", name="Load the rest").click()
    await expect(page.get_by_text("of 210 runs")).to_be_visible()
    await expect(page.get_by_role("img", name="Parallel").locator("canvas")).to_be_visible()
    assert await tab.serious() == []
    await page.get_by_label("Filter", exact=True).and_(page.get_by_role("textbox")).fill("loss <")
    await page.get_by_role("button", name="Filter").click()
    await expect(page.get_by_role("alert")).to_contain_text("filter, character")
    tab.wrong = [text for text in tab.wrong if "422" not in text]


async def test_alerts_go_on_after_the_server_was_killed(tab: Tab, server: Process) -> None:
    page = await tab.open("#/monitoring/alerts")
    now = page.get_by_label("Alerts now")
    await expect(now.get_by_text("it is 1")).to_be_visible()
    server.kill()
    await expect(page.get_by_text("This page goes on by itself")).to_be_visible()
    server.start()
    await expect(page.get_by_text("Connected", exact=True)).to_be_visible()
    await expect(now.get_by_text("it is 1")).to_be_visible()
    await expect(page.locator(".failure")).to_have_count(0)
    tab.wrong = [text for text in tab.wrong if "WebSocket" not in text and "ERR_" not in text]
