"""A real browser: a page of another origin uses the server with its token, and one that nobody allowed gets nowhere.

Needs Chromium; without one these tests are skipped.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from conftest import PATIENCE
from test_access import Lan, start_lan

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

FRONTEND = """<!doctype html><title>frontend</title><script type="module">
const [server, token] = decodeURIComponent(location.hash.slice(1)).split(" ");
const found = {};
try {
  const { connect } = await import(server + "/ui/gfedge.js");
  const api = connect({ server, token });
  const headers = { "Prefer": "wait=30", "Idempotency-Key": "1" };
  const made = await api.post("/ai/generate", {}, { prompt: "red dragon" }, { headers });
  found.status = made.status;
  const image = new Image();
  image.src = await api.picture(made.outputs[0].sha256);
  await image.decode();
  found.picture = image.naturalWidth;
  const answer = await api.fetch("GET", "/ml-platform/ai-jobs", { limit: 1 });
  found.link = answer.headers.has("Link") || (await answer.json()).jobs.length === 1;
  found.refused = await api.get("/ml-platform/ai-jobs/{id}", { id: "a b" }).catch((problem) => [problem.status, problem.code]);
  found.opened = await new Promise((resolve) => {
    const stream = api.stream("ai-jobs", {}, (message) => { stream.close(); resolve(message.type); });
  });
} catch (error) { found.error = String(error); }
await fetch("/done", { method: "POST", body: JSON.stringify(found) });
</script>"""


@asynccontextmanager
async def page() -> AsyncIterator[tuple[str, asyncio.Future[Any]]]:
    """Another origin: (its address, what its page will have found)."""
    found: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def show(request: web.Request) -> web.Response:
        return web.Response(text=FRONTEND, content_type="text/html")

    async def done(request: web.Request) -> web.Response:
        found.set_result(json.loads(await request.text()))
        return web.Response()

    app = web.Application()
    app.router.add_get("/", show)
    app.router.add_post("/done", done)
    async with TestServer(app) as server:
        yield f"http://localhost:{server.port}", found


async def visited(address: str, found: asyncio.Future[Any], folder: Path) -> Any:
    """What the page at an address found, in a browser of its own."""
    assert CHROMIUM is not None
    browser = await asyncio.create_subprocess_exec(
        CHROMIUM,
        *(
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-dev-shm-usage",
        ),
        *(f"--user-data-dir={folder}", "--remote-debugging-port=0", address),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        return await asyncio.wait_for(found, PATIENCE)
    finally:
        browser.terminate()
        await browser.wait()


async def test_a_page_of_an_allowed_origin_generates_shows_and_listens(tmp_path: Path) -> None:
    async with page() as (origin, found):
        client, admin = await start_lan(tmp_path, cors_origin=origin)
        token, _ = await Lan(client, admin).token("run")
        server = str(client.make_url("")).rstrip("/")
        seen = await visited(f"{origin}/#{server}%20{token}", found, tmp_path / "browser")
        await client.close()
    assert seen == {
        "status": "succeeded",
        "picture": 32,
        "link": True,
        "refused": [404, "job_not_found"],
        "opened": "snapshot",
    }


async def test_a_page_of_another_origin_is_stopped_by_the_browser(tmp_path: Path) -> None:
    async with page() as (origin, found):
        client, admin = await start_lan(tmp_path)
        server = str(client.make_url("")).rstrip("/")
        seen = await visited(f"{origin}/#{server}%20{admin}", found, tmp_path / "browser")
        await client.close()
    assert list(seen) == ["error"]
    assert seen["error"].startswith("TypeError: Failed to fetch")
