"""Who is next: jobs wait in a line for each requester, the lines take turns, and interactive jobs go before batches."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import islice

from gfedge.ai.live import Live
from gfedge.ai.types import PRIORITIES

Line = OrderedDict[str, Live]


class Turns:
    """The jobs that wait to be started."""

    def __init__(self) -> None:
        self._jobs: dict[str, Live] = {}
        self.price = 0.0
        """What all of them cost together, in megapixels x steps."""
        self._lines: dict[str, OrderedDict[str, Line]] = {
            name: OrderedDict() for name in PRIORITIES
        }

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Live]:
        """In the order in which they would start if no other came."""
        for lines in self._lines.values():
            waiting = [iter(line.values()) for line in lines.values()]
            while waiting:
                still = []
                for line in waiting:
                    if (live := next(line, None)) is not None:
                        yield live
                        still.append(line)
                waiting = still

    def first(self, count: int) -> list[Live]:
        """The next ones."""
        return list(islice(self, count))

    def add(self, live: Live) -> None:
        """At the end of its requester's line."""
        job = live.submission
        self._jobs[job.id] = live
        self.price += job.price
        self._lines[job.priority].setdefault(job.requester, OrderedDict())[job.id] = live

    def take(self) -> Live:
        """The next one; its requester's line goes behind those of the others. One must wait."""
        lines = next(lines for lines in self._lines.values() if lines)
        requester, line = lines.popitem(last=False)
        _, live = line.popitem(last=False)
        if line:
            lines[requester] = line
        self._forget(live)
        return live

    def remove(self, job_id: str) -> Live | None:
        """Takes a job out of its line; None where it does not wait."""
        if (live := self._jobs.get(job_id)) is None:
            return None
        self._forget(live)
        lines, requester = self._lines[live.submission.priority], live.submission.requester
        del lines[requester][job_id]
        if not lines[requester]:
            del lines[requester]
        return live

    def position(self, job_id: str) -> int | None:
        """1 for the next one; None where the job does not wait."""
        if job_id not in self._jobs:
            return None
        return next(number for number, live in enumerate(self, 1) if live.id == job_id)

    def of(self, requester: str) -> int:
        """How many jobs of a requester wait."""
        return sum(len(lines.get(requester, ())) for lines in self._lines.values())

    def _forget(self, live: Live) -> None:
        del self._jobs[live.id]
        self.price = self.price - live.submission.price if self._jobs else 0.0
