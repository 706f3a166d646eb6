"""Idempotency keys: a retry with the key of an earlier request gets the earlier job, also after a restart."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Collection
from typing import NamedTuple

from gfedge import errors
from gfedge.ai.types import Submission

KEPT_SECONDS = 24 * 3600.0
"""How long a key is remembered."""
KEPT_KEYS = 1_000_000
"""And how many of them at most; the oldest go first."""


class Use(NamedTuple):
    """What a key was used for."""

    request_digest: str
    job_id: str
    created_at: float


class Kept(NamedTuple):
    """A use, and until when it is remembered, on a clock that nobody sets."""

    use: Use
    until: float


class Keys:
    """The keys of the last day, oldest first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def find(self, key: str | None, request_digest: str | None = None) -> str | None:
        """The job that a key was used for; Conflict where that was another request."""
        kept = self._kept.get(key or "")
        if kept is None or kept.until < time.monotonic():
            return None
        used = kept.use
        if request_digest not in (None, used.request_digest):
            raise errors.Conflict(
                f"this Idempotency-Key was used for another request (job {used.job_id}): use a new key",
                code="idempotency_key_reused",
            )
        return used.job_id

    def use(self, submission: Submission) -> None:
        if submission.idempotency_key:
            use = Use(submission.request_digest, submission.id, submission.created_at)
            self.load(submission.idempotency_key, use)

    def load(self, key: str, use: Use) -> None:
        now = time.monotonic()
        oldest = next(iter(self._kept.values()), None)
        while oldest and (len(self._kept) >= KEPT_KEYS or oldest.until < now):
            self._kept.popitem(last=False)
            oldest = next(iter(self._kept.values()), None)
        age = max(0.0, time.time() - use.created_at)
        self._kept[key] = Kept(use, now + KEPT_SECONDS - age)
        self._kept.move_to_end(key)

    def forget(self, submission: Submission) -> None:
        self._kept.pop(submission.idempotency_key or "", None)

    def forget_jobs(self, job_ids: Collection[str]) -> None:
        """The keys of jobs that were removed may be used again."""
        for key in [key for key, kept in self._kept.items() if kept.use.job_id in job_ids]:
            del self._kept[key]
