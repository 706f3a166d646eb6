"""The plainest server: an aiohttp handler that gives the picture to a pool of threads."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

import recipe
from aiohttp import web

NET, POOL = recipe.session(), ThreadPoolExecutor(recipe.THREADS)


async def upscale(request: web.Request) -> web.Response:
    data = await request.read()
    made = await asyncio.get_running_loop().run_in_executor(POOL, recipe.upscale, NET, data)
    return web.Response(body=made, content_type="image/png")


async def health(request: web.Request) -> web.Response:
    return web.Response()


app = web.Application()
app.add_routes([web.get("/health", health), web.post("/upscale", upscale)])
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
