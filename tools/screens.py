"""Pictures of every page of the dashboard, in two sizes, light and dark; the README's are made by it too.

    python tools/screens.py http://127.0.0.1:8000 build/screens      # of a server on which something happened

Playwright drives the Chromium that is installed. `tests/test_dashboard_looks.py` makes the same pictures.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
import urllib.request
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright, expect

SIZES: dict[str, dict[str, Any]] = {
    "wide": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "light"},
    "narrow": {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"},
}
ML = "/api/v1/ml-platform"
APP = Path(__file__).parents[1] / "gfedge/dashboard/web/app.js"
SEEN = """Promise.all([...document.images].filter((image) => !image.complete && image.getBoundingClientRect().top < innerHeight)
  .map((image) => new Promise((done) => { image.onload = image.onerror = done; })))"""
"""Waits for the pictures that are in sight; the policy forbids Playwright's own waiting, which needs eval."""
_page = re.compile(r'\{ name: "([\w-]+)", title: "[^"]+", load: [^}]*\) \}')


def places(server: str) -> dict[str, str]:
    """Name -> address of every page, and of one thing of each kind that has a page of its own."""

    def ask(path: str) -> Any:
        with urllib.request.urlopen(f"{server}{path}", timeout=30) as answer:
            return json.load(answer)

    found = {name: f"#/{name}" for name in _page.findall(APP.read_text("utf-8"))}
    jobs = ask(f"{ML}/ai-jobs?limit=1&status=succeeded")["jobs"]
    trained = ask(f"{ML}/training-jobs?limit=1")["jobs"]
    models = ask(f"{ML}/models")["models"]
    if jobs:
        found["job"] = f"#/jobs/{jobs[0]['id']}"
        found["asset"] = f"#/assets/{jobs[0]['outputs'][0]['sha256']}"
    if jobs and "experiments" in found:
        found["run"] = f"#/runs/{jobs[0]['run_id']}"
        found["experiment"] = f"#/experiments/{jobs[0]['experiment_id']}"
    if trained:
        found["training-job"] = f"#/training/{trained[0]['id']}"
    if models:
        version = models[0]["versions"][0]
        found["version"] = f"#/models/{version['name']}/{version['version']}"
        found["lineage"] = f"#/lineage/model_version/{version['id']}"
    return found


async def settled(page: Page, server: str, place: str) -> None:
    """Opens a place and waits until nothing in it loads any more."""
    await page.goto(f"{server}/{place}")
    await page.locator("main h1, main h2").first.wait_for()
    await expect(page.locator(".spinner")).to_have_count(0)
    await page.evaluate(SEEN)


async def shoot(browser: Browser, server: str, folder: Path) -> None:
    found = await asyncio.to_thread(places, server)
    for size, options in SIZES.items():
        page = await browser.new_page(**options)
        for name, place in found.items():
            await settled(page, server, place)
            await page.screenshot(path=folder / f"{name}-{size}.png")
        await page.close()


async def main(server: str, folder: str) -> None:
    async with async_playwright() as playwright:
        program = shutil.which("chromium") or shutil.which("google-chrome")
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        await shoot(browser, server.rstrip("/"), Path(folder))
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
