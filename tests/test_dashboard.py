"""The dashboard in a real browser, on a real server: what a person does, and what they then see."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import browser
import builders
import pytest
import pytest_asyncio
from browser import Tab, expect
from conftest import Process, connected, make_models
from playwright.async_api import Browser
from test_registration import tar_of, upload

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


DROP = """(bytes) => {
  const files = new DataTransfer();
  files.items.add(new File([new Uint8Array(bytes)], "icon.png", { type: "image/png" }));
  return files;
}"""


async def test_a_dropped_picture_is_enlarged_and_leads_to_the_digest_of_its_model(tab: Tab) -> None:
    page = await tab.open()
    files = await page.evaluate_handle(DROP, list(builders.png_file(16, 16, seed=3)))
    well = page.get_by_text("Drop a PNG, JPEG or WebP here")
    await well.dispatch_event("drop", {"dataTransfer": files})
    await page.get_by_role("button", name="Enlarged ×4").first.click()
    await page.get_by_role("button", name="Before / after").click()
    await expect(page.get_by_role("slider", name="How much of before")).to_be_visible()
    assert await tab.serious() == []
    await page.get_by_role("link", name="Where it comes from").click()
    await page.get_by_role("button", name="Model version superres@1").press("Enter")
    chosen = page.get_by_label("The chosen node")
    async with connected(tab.server) as api:
        version = await api.get("/api/v1/ml-platform/models/superres/versions/1")
    await expect(chosen).to_contain_text(version["digest"])
    assert await tab.serious() == []
    await chosen.get_by_role("link", name="Open").click()
    await expect(page.get_by_role("heading", name="superres@1", exact=True)).to_be_visible()


async def test_any_picture_that_is_dropped_says_where_it_came_from(tab: Tab) -> None:
    async with connected(tab.server) as api:
        job = await api.generate("gold sword")
        made = await api.bytes(job["outputs"][0]["url"])
    page = await tab.open("#/jobs")
    files = await page.evaluate_handle(DROP, list(made))
    await page.locator("body").dispatch_event("dragenter", {"dataTransfer": files})
    await (
        page.get_by_text("Where does it come from?")
        .locator("..")
        .dispatch_event("drop", {"dataTransfer": files})
    )
    await expect(page.get_by_role("button", name="Job gold sword")).to_be_visible()
    await page.get_by_role("button", name="In words").click()
    await expect(page.get_by_text(f'ran generate "gold sword", seed {job["seed"]}')).to_be_visible()


async def test_a_version_is_promoted_with_its_gates_before_and_after(
    tab: Tab, tmp_path: Path
) -> None:
    async with connected(tab.server) as api:
        model = builders.superres_onnx() + b"\x32\x00"  # one more empty field: another digest
        folder = builders.make_superres_folder(tmp_path, version="2", onnx_bytes=model)
        await upload(api, tar_of(folder))
    page = await tab.open("#/models")
    await expect(page.get_by_label("Dev").get_by_text("superres@2")).to_be_visible()
    assert await tab.serious() == []
    await page.get_by_role("link", name="superres@2").click()
    await page.get_by_role("button", name="Promote…").click()
    await expect(page.get_by_text("All gates are passed.")).to_have_count(1)
    await page.get_by_label("Why").fill("sharper edges")
    assert await tab.serious() == []
    await page.get_by_role("button", name="Promote", exact=True).click()
    await expect(page.get_by_text("superres@2 is in staging")).to_be_visible()
    await expect(page.get_by_text("All gates are passed.")).to_have_count(2)
    await page.keyboard.press("Escape")
    history = page.get_by_label("History", exact=True).get_by_role("row", name="sharper edges")
    await expect(history).to_contain_text("dev → staging")
    assert await tab.serious() == []
