"""Admission: whether a job is taken. Asked at the door, before its body is read, and again with what it would cost.

A refusal says when to come back, from the measured rate at which the queue moves. Who comes back at once all the same
is held for up to a second: fast refusals alone were measured to cost 60% of the work that gets done.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import psutil

from gfedge import errors
from gfedge.ai.turns import Turns
from gfedge.ai.types import Submission
from gfedge.settings import Settings

SHARE = 0.75
"""Of the queue that one token may fill."""
MEMORY_SHARE = 0.7
"""Of the machine's memory, or the cgroup's, past which no new work is taken."""
MEMORY_SECONDS = 0.25
"""How long a look at the memory is good."""
FREE_REFUSALS, DECAY_PER_SECOND = 5.0, 5.0
"""Refusals that are answered at once, and how fast they are forgotten."""
HOLD_SECONDS, MAX_HELD = 1.0, 1000
CGROUP = Path("/sys/fs/cgroup/memory.max")


class Drain:
    """How fast the queue moves: seconds from the end of a job to the next end, while others waited."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._seconds = 1.0
        self.measured = False

    def ended(self, waiting: int, now: float) -> None:
        if self._last is not None:
            self._seconds += 0.2 * (now - self._last - self._seconds)
            self.measured = True
        self._last = now if waiting else None

    def wait(self, waiting: int) -> float:
        """Seconds until so many jobs have started."""
        return waiting * self._seconds


class Hold:
    """How long a refusal is held back: longer for who is refused again and again."""

    def __init__(self) -> None:
        self._levels: dict[str, tuple[float, float]] = {}

    def seconds(self, requester: str, now: float) -> float:
        """Counts one refusal of a requester, and says how long its answer waits."""
        level, then = self._levels.get(requester, (0.0, now))
        level = max(0.0, level - (now - then) * DECAY_PER_SECOND) + 1
        if len(self._levels) > MAX_HELD:
            self._levels.clear()
        self._levels[requester] = (level, now)
        return min(HOLD_SECONDS, max(0.0, level - FREE_REFUSALS) / 20)


class Admission:
    """The one place where work is refused because there is too much of it."""

    def __init__(self, settings: Settings, turns: Turns, waiting: Callable[[], int]) -> None:
        self._settings = settings
        self._turns = turns
        self._waiting = waiting
        self._hold = Hold()
        self._held = 0
        self._memory = (0.0, 0)
        self._process = psutil.Process()
        self._most_memory = settings.max_memory or int(MEMORY_SHARE * _memory_of_machine())
        self.drain = Drain()

    def at_the_door(self, requester: str, *, by_token: bool, count: int = 1) -> None:
        """Refuses before the body is read: memory, the length of the queue, one token's share of it; or `count` jobs."""
        if (used := self._resident()) > self._most_memory:
            raise errors.Unavailable(
                f"the server holds {used >> 20} MiB of memory already (setting max_memory): try again later",
                code="memory_full",
                headers=self._later(),
            )
        waiting = self._waiting()
        if waiting + count > self._settings.max_queue:
            more = f", and {count} more are too many" if count > 1 else ""
            raise errors.TooBusy(
                f"{waiting} jobs are waiting already{more} (setting max_queue): try again later",
                headers=self._later(),
            )
        mine = self._turns.of(requester) if by_token else 0
        if mine >= max(1, int(SHARE * self._settings.max_queue)):
            raise errors.TooBusy(
                f"{mine} jobs of this token are waiting already: others need room too",
                code="share_exceeded",
                headers=self._later(),
            )

    def at_its_price(self, price: float, timeout: float | None) -> None:
        """Refuses what would cost too much on top of what waits, and what would start too late for its client."""
        queued, most = self._turns.price, self._settings.max_queued_megapixels
        if queued and queued + price > most:
            raise errors.TooBusy(
                f"work of {queued:.0f} megapixels x steps is waiting already, {most} is what is taken "
                f"(setting max_queued_megapixels), and this is {price:.1f} more: try again later",
                code="too_much_work",
                headers=self._later(),
            )
        wait = self.drain.wait(len(self._turns))
        if timeout is not None and self.drain.measured and wait > timeout:
            raise errors.TooBusy(
                f"this job would start in about {wait:.0f} s, later than its X-Request-Timeout of {timeout:g} s",
                code="too_late",
                headers=self._later(),
            )

    def all_of(self, batch: Sequence[Submission], timeout: float | None) -> None:
        """Refuses a batch of which not every job can be taken."""
        count, most = len(batch), self._settings.max_queue
        if count > most:
            raise errors.Invalid(
                f"prompts: {count} jobs are more than may ever wait here ({most}, setting max_queue)",
                code="batch_too_large",
                field="prompts",
            )
        self.at_the_door(batch[0].requester, by_token=False, count=count)
        self.at_its_price(sum(job.price for job in batch), timeout)

    @contextlib.asynccontextmanager
    async def held(self, requester: str) -> AsyncIterator[None]:
        """Around a check: holds the refusal of who was refused before and comes again."""
        try:
            yield
        except errors.ApiError:
            seconds = self._hold.seconds(requester, time.monotonic())
            if self._held < MAX_HELD:
                self._held += 1
                try:
                    await asyncio.sleep(seconds)
                finally:
                    self._held -= 1
            raise

    def _later(self) -> dict[str, str]:
        """Half of what waits has then gone."""
        seconds = self.drain.wait(self._waiting()) / 2
        return {"Retry-After": str(min(3600, max(1, math.ceil(seconds))))}

    def _resident(self) -> int:
        """Resident memory of the process in bytes."""
        now = time.monotonic()
        if now > self._memory[0] + MEMORY_SECONDS:
            self._memory = (now, int(self._process.memory_info().rss))
        return self._memory[1]


def _memory_of_machine() -> int:
    """Bytes of memory that this process may use: the machine's, or less where a cgroup says so."""
    total = int(psutil.virtual_memory().total)
    try:
        limit = CGROUP.read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total
