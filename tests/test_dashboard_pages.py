"""The pages Monitoring, System and Experiments in a real browser, on a real server."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import browser
import pytest
import pytest_asyncio
from browser import Tab, expect
from conftest import Process, make_models
from playwright.async_api import Browser

pytestmark = [browser.needed, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("pages")
    process = Process(folder / "data", make_models(folder / "models"), metrics_interval=1)
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
    page = await tab.open("#/monitoring/explore")
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
