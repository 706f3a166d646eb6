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
const api = (path, options = {}) => fetch(server + "/api/v1" + path, {
  ...options, headers: { "Authorization": "Bearer " + token, "Content-Type": "application/json", ...options.headers },
});
const found = {};
try {
  const job = await api("/ai/generate", {
    method: "POST", body: JSON.stringify({ prompt: "red dragon" }), headers: { "Prefer": "wait=30", "Idempotency-Key": "1" },
  });
  found.status = job.status;
  found.location = job.headers.get("Location");
  const made = await job.json();
  const picture = await api("/assets/" + made.outputs[0].sha256);
  found.picture = (await createImageBitmap(await picture.blob())).width;
  const { ticket } = await (await api("/auth/ws-ticket", { method: "POST" })).json();
  const address = server.replace("http", "ws") + "/api/v1/ml-platform/ws/ai-jobs";
  found.opened = await new Promise((resolve) => {
    const socket = new WebSocket(address, ["gfedge.v1", "ticket." + ticket]);
    socket.onmessage = (event) => resolve([socket.protocol, JSON.parse(event.data).type]);
    socket.onerror = () => resolve("refused");
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
        "status": 200,
        "location": seen.get("location"),
        "picture": 32,
        "opened": ["gfedge.v1", "snapshot"],
    }
    assert seen["location"].startswith("/api/v1/ml-platform/ai-jobs/")


async def test_a_page_of_another_origin_is_stopped_by_the_browser(tmp_path: Path) -> None:
    async with page() as (origin, found):
        client, admin = await start_lan(tmp_path)
        server = str(client.make_url("")).rstrip("/")
        seen = await visited(f"{origin}/#{server}%20{admin}", found, tmp_path / "browser")
        await client.close()
    assert seen == {"error": "TypeError: Failed to fetch"}
