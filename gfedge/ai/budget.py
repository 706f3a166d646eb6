"""A budget of memory that running jobs share: those that do not fit wait their turn, a huge one runs alone."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

LOOK_SECONDS = 0.1
"""How often one that waits looks whether it was cancelled."""


class Budget:
    """So many bytes, given out in the order of asking."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._used = 0
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    @asynccontextmanager
    async def hold(self, size: int, check: Callable[[], None]) -> AsyncIterator[None]:
        """Holds `size` bytes while the block runs; `check` may raise while it waits for them."""
        await self._acquire(size, check)
        try:
            yield
        finally:
            self._used -= size
            self._admit()

    async def _acquire(self, size: int, check: Callable[[], None]) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, size))
        self._admit()
        try:
            while not turn.done():
                await asyncio.wait([turn], timeout=LOOK_SECONDS)
                if not turn.done():
                    check()
        except BaseException:
            self._give_back(turn, size)
            raise

    def _admit(self) -> None:
        while self._waiting:
            turn, size = self._waiting[0]
            if self._used and self._used + size > self._size:
                return
            self._waiting.popleft()
            self._used += size
            turn.set_result(None)

    def _give_back(self, turn: asyncio.Future[None], size: int) -> None:
        """Whoever waits no longer leaves the row, or gives back what it was given in that moment."""
        if turn.done():
            self._used -= size
        else:
            self._waiting.remove((turn, size))
        self._admit()
