"""Jobs that were running when the server died: one of them may have ended it, and it must not do so for ever.

Which jobs run is noted in a small file that is mapped into memory: a note costs a store, no write and no fsync, and it
outlives the process. A death leaves its notes. One by a signal of the process's own (a fault in native code, which
Python's faulthandler writes down) weighs as much as five by a kill from outside, which mostly say nothing about a job.
Past the first five a job runs by itself and before all others; past ten it fails as poisonous.
"""

from __future__ import annotations

import faulthandler
import logging
import mmap
import struct
from collections import deque
from collections.abc import Collection
from pathlib import Path

from gfedge.ai.live import Live, Outcome
from gfedge.ai.types import JobError
from gfedge.inference.evidence import ALONE, CRASH, KILL, POISONOUS

log = logging.getLogger(__name__)

NOTE = struct.Struct("<36s?B26x")
"""A job's id, whether it runs, and its weight. One that is torn names no job, and is nothing."""
NOTES = 1024
TRACE = "crash.log"
"""Where a fault in native code is written down, in the data folder."""


def write_down_crashes(data: Path) -> None:
    """From now on a fault in native code leaves the stacks of all threads in the data folder."""
    try:
        file = (data / TRACE).open("ab")
    except OSError as error:
        log.warning("a crash would not be written down: %s", error)
    else:
        faulthandler.enable(file)


class Suspects:
    """The notes, and the jobs that must run by themselves."""

    def __init__(self, data: Path) -> None:
        self._path = data / "running"
        self._trace = data / TRACE
        self._map: mmap.mmap | None = None
        self._places: dict[str, int] = {}
        self._weights: dict[str, int] = {}
        self.waiting: deque[Live] = deque()
        """They go before all others."""
        self.one_runs = False

    def open(self, unfinished: Collection[str]) -> None:
        """Weighs the jobs that ran when the server died. Blocks: call it in a thread."""
        found = self._weighed(CRASH if self._crashed() else KILL)
        self._weights = {job_id: found[job_id] for job_id in unfinished if job_id in found}
        try:
            self._path.write_bytes(bytes(NOTE.size * NOTES))
            with self._path.open("r+b") as file:
                self._map = mmap.mmap(file.fileno(), 0)
        except OSError as error:
            log.warning("which jobs run is not noted: %s", error)
        for job_id in self._weights:
            self._note(job_id, runs=False)

    def close(self) -> None:
        """After an orderly stop nobody is blamed for it."""
        for job_id in list(self._places):
            self._note(job_id, runs=False)
        if self._map is not None:
            self._map.close()
            self._map = None

    def is_one(self, job_id: str) -> bool:
        """Whether the job has to run by itself."""
        return self._weights.get(job_id, 0) >= ALONE

    def began(self, job_id: str) -> None:
        self.one_runs = self.is_one(job_id)
        self._note(job_id, runs=True)

    def ended(self, job_id: str) -> None:
        self.one_runs = False
        self._weights.pop(job_id, None)
        if (place := self._places.pop(job_id, None)) is not None and self._map is not None:
            self._map[place : place + NOTE.size] = bytes(NOTE.size)

    def verdict(self, job_id: str) -> Outcome | None:
        """How a job ends that is not tried again; None for the others."""
        if self._weights.get(job_id, 0) < POISONOUS:
            return None
        text = f"the server died each time it ran this: it is not tried again ({self._trace.name} in its data folder may say why)"
        return Outcome(status="failed", error=JobError(code="poisonous_job", detail=text))

    # Inside

    def _note(self, job_id: str, *, runs: bool) -> None:
        if self._map is None:
            return
        if job_id not in self._places:
            taken = set(self._places.values())
            free = (place for place in range(0, len(self._map), NOTE.size) if place not in taken)
            if (place := next(free, None)) is None:
                return
            self._places[job_id] = place
        note = (job_id.encode(), runs, self._weights.get(job_id, 0))
        NOTE.pack_into(self._map, self._places[job_id], *note)

    def _weighed(self, death: int) -> dict[str, int]:
        """What the notes of the last life say, with its death added for those that ran."""
        try:
            notes = self._path.read_bytes()
        except OSError:
            return {}
        whole = notes[: len(notes) // NOTE.size * NOTE.size]
        found = {
            raw.decode("ascii", "replace"): min(255, weight + (death if runs else 0))
            for raw, runs, weight in NOTE.iter_unpack(whole)
            if raw[0]
        }
        return {job_id: weight for job_id, weight in found.items() if weight}

    def _crashed(self) -> bool:
        """Whether the last life ended by a fault of its own; what it left is kept beside."""
        try:
            if not self._trace.stat().st_size:
                return False
            kept = self._trace.with_name("crash.previous.log")
            self._trace.replace(kept)
        except OSError:
            return False
        log.error("the server died by a fault in native code: %s says where", kept)
        return True
