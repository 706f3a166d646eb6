"""The collector of a running server: it knows what memory holds, and tells memory what went."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from gfedge import keys
from gfedge.ai.routes import QUEUE
from gfedge.assets.routes import ASSETS
from gfedge.retention.collector import Collector, Memory
from gfedge.retention.routes import COLLECTOR
from gfedge.retention.types import Candidate, Policy
from gfedge.tasks import Tasks
from gfedge.tracking.routes import EXPERIMENTS, RUNS


async def collections(app: web.Application) -> AsyncIterator[None]:
    """Collects when asked, and by itself where a time is set."""
    settings, tasks = app[keys.SETTINGS], Tasks()

    def forget(gone: list[Candidate], experiments: list[str], pictures: list[str]) -> None:
        app[QUEUE].forget([candidate.job_id for candidate in gone if candidate.job_id])
        app[RUNS].forget([candidate.run_id for candidate in gone])
        app[EXPERIMENTS].forget(experiments)
        app[ASSETS].forget(pictures)

    memory = Memory(assets_in_use=app[QUEUE].assets_in_use, forget=forget)
    collector = app[COLLECTOR] = Collector(app[keys.DB], settings.data, memory)

    async def collect() -> None:
        await collector.collect(Policy.of(settings), dry_run=False, by="the server")

    if settings.gc_hours:
        tasks.every("collect", settings.gc_hours * 3600, collect)
    yield
    await tasks.stop()
