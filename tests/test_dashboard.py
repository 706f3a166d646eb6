"""The dashboard in a real browser, on a real server: what a person does, and what they then see."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import browser
import pytest
import pytest_asyncio
from browser import Tab, expect
from conftest import Process, make_models
from playwright.async_api import Browser

pytestmark = [browser.needed, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("dashboard")
    process = Process(folder / "data", make_models(folder / "models"))
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


async def test_a_prompt_becomes_a_picture_in_the_gallery(tab: Tab) -> None:
    page = await tab.open()
    await page.get_by_label("Prompt", exact=True).fill("a blue potion")
    await page.get_by_label("Pictures", exact=True).first.fill("2")
    await page.get_by_role("button", name="Generate").click()
    made = page.get_by_role("button", name="a blue potion").locator("img")
    await expect(made).to_have_count(2)
    await made.first.evaluate("(image) => image.decode()")
    assert await made.first.evaluate("(image) => image.naturalWidth") == 32
    assert await tab.serious() == []
