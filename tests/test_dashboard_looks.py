"""Every page of the dashboard at two sizes: nothing serious for axe-core, nothing wider than the screen, and a picture of it.

The pictures go to the folder that GFEDGE_SCREENS names, to be looked at.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import browser
import pytest
import pytest_asyncio
from conftest import Process, connected, make_models
from playwright.async_api import Browser
from test_dashboard_files import tool
from test_training import declare

pytestmark = [browser.needed, pytest.mark.asyncio(loop_scope="module")]
SCREENS = tool("tools/screens.py")
TRAINING = "/api/v1/ml-platform/training-jobs"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on which a little of everything happened."""
    folder = tmp_path_factory.mktemp("looks")
    declare(folder / "data")
    process = Process(folder / "data", make_models(folder / "models"))
    process.start()
    asyncio.run(_fill(process.address))
    yield process.address
    process.kill()


async def _fill(address: str) -> None:
    async with connected(address) as api:
        job = await api.generate("gold sword", n=3)
        picture = await api.bytes(job["outputs"][0]["url"])
        await api.upscale(picture)
        await api.generate("red dragon", n=2)
        body = {"entry_point": "line", "params": {"steps": 5}}
        await api.call("POST", TRAINING, 202, json=body)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with browser.started() as found:
        yield found


@pytest.mark.parametrize("size", SCREENS.SIZES)
async def test_every_page_can_be_read_and_fits(
    chromium: Browser, server: str, size: str, tmp_path: Path
) -> None:
    folder = Path(os.environ.get("GFEDGE_SCREENS", tmp_path))
    wrong: dict[str, Any] = {}
    async with browser.tab(chromium, server, **SCREENS.SIZES[size]) as tab:
        for name, place in (await asyncio.to_thread(SCREENS.places, server)).items():
            await SCREENS.settled(tab.page, server, place)
            await tab.page.screenshot(path=folder / f"{name}-{size}.png")
            over = await tab.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            if found := [*await tab.serious(), *(["too wide"] if over > 0 else [])]:
                wrong[name] = found
    assert wrong == {}


@pytest.mark.parametrize("size", SCREENS.SIZES)
async def test_the_interface_can_be_read_and_fits(
    chromium: Browser, server: str, size: str
) -> None:
    async with browser.tab(chromium, server, **SCREENS.SIZES[size]) as tab:
        page = await tab.open("docs#post_generate")
        await page.get_by_role("link", name="Jobs", exact=True).click()
        await browser.expect(
            page.get_by_role("heading", name="Jobs", exact=True)
        ).to_be_in_viewport()
        assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
