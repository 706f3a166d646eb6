"""A real browser for tests of pages: Debian's Chromium, driven by Playwright. Without one those tests are skipped."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needed = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 30_000
"""Milliseconds after which something that should be seen is said not to be there."""
AXE = Path(__file__).parent / "vendor/axe.min.js"
expect.set_options(timeout=PATIENCE)


@asynccontextmanager
async def started() -> AsyncIterator[Browser]:
    """A browser with an empty profile of its own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


class Tab:
    """A page of its own, and what went wrong in it: errors, and whatever the policy forbade."""

    def __init__(self, page: Page, server: str) -> None:
        self.page = page
        self.server = server
        self.wrong: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", self._said)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.wrong.append(message.text)

    async def open(self, path: str = "") -> Page:
        """Shows a place in the dashboard, as `#/jobs`."""
        await self.page.goto(f"{self.server}/{path}")
        return self.page

    async def serious(self) -> list[str]:
        """What axe-core finds serious, or worse, in the page as it is."""
        if not await self.page.evaluate("'axe' in window"):
            await self.page.evaluate(AXE.read_text("utf-8"))
        found: Any = await self.page.evaluate("axe.run({ resultTypes: ['violations'] })")
        return [
            f"{one['id']}: {node['html']} {node['failureSummary']}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]


@asynccontextmanager
async def tab(browser: Browser, server: str, **options: Any) -> AsyncIterator[Tab]:
    """A tab that fails the test if anything went wrong in it."""
    context = await browser.new_context(**options)
    one = Tab(await context.new_page(), server)
    yield one
    await context.close()
    assert one.wrong == []
