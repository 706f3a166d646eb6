"""PromQL for the rest of the server: the engine in a few threads of its own, with a deadline for each query."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from aiohttp import web

from gfedge.promql.engine import Engine
from gfedge.promql.types import Limits, QueryError, Storage

THREADS = 4
"""Queries that run at the same time: a slow one does not hold up the others."""
WAITING = 200
"""Queries that may wait for a thread; more are refused."""

Cancelled = Callable[[], bool]
T = TypeVar("T")


class Queries:
    """Runs work on the engine off the event loop. Close it to end its threads."""

    def __init__(self, storage: Storage, limits: Limits | None = None) -> None:
        self.engine = Engine(storage, limits=limits or Limits())
        self._threads = ThreadPoolExecutor(THREADS, "promql")
        self._running = 0

    async def run(self, work: Callable[[Engine, Cancelled], T], gone: Cancelled | None = None) -> T:
        """What `work` returns; it hands its second argument to the engine, which stops where nobody waits any more.

        `gone` says so for those who do not cancel. Raises QueryError.
        """
        if self._running >= WAITING:
            raise QueryError("timeout", "too many queries are waiting")
        left = False

        def cancelled() -> bool:
            return left or (gone is not None and gone())

        self._running += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, work, self.engine, cancelled)
        finally:
            left = True
            self._running -= 1

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


QUERIES = web.AppKey("queries", Queries)
