"""Canaries and shadows: a share of the traffic by job id, what versions showed, and when a canary loses its share.

Which jobs a canary takes depends on their ids alone, so it is the same after a restart. What the versions showed is in
memory; whoever runs the jobs tells it again at the start.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from gfedge import errors, metrics
from gfedge.inference.types import EngineError, ModelRefused
from gfedge.registry import labels, store
from gfedge.registry.policy import Watch
from gfedge.registry.registry import Registry
from gfedge.registry.traffic_types import Comparison, Traffic, VersionTraffic
from gfedge.registry.types import SYSTEM, Action, Canary, ModelVersionRow, Shadow, Stage
from gfedge.tasks import Tasks

log = logging.getLogger(__name__)

KEPT = 1000
"""Samples of a version that are kept."""
PARTS = 10_000


class Sample(NamedTuple):
    """One job: its time in the engine, and whether the version failed at it."""

    seconds: float
    failed: bool


class Shares:
    """How the traffic of models is shared between their versions."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._samples: dict[str, deque[Sample]] = {}
        self._judging: set[str] = set()
        self._tasks = Tasks()
        self.skipped: dict[str, int] = {}
        """Jobs by version that a shadow had no time for."""
        registry.share = self.share

    async def close(self) -> None:
        await self._tasks.stop()

    # The share of a canary

    def share(self, name: str, job_id: str) -> str:
        """The id of the version that a job of a model tries instead of the one in prod; empty for most."""
        canary = self._registry.settings(name).canary
        if canary is None or not job_id or not _takes(job_id, canary.percent):
            return ""
        return f"{name}@{canary.version}"

    def shadow(self, name: str) -> Shadow | None:
        return self._registry.settings(name).shadow

    def since(self) -> dict[str, float]:
        """When the canary or the shadow of each model began: from then on jobs are told of."""
        found: dict[str, float] = {}
        for name in self._registry.names():
            held = self._registry.settings(name)
            if (one := held.canary or held.shadow) is not None:
                found[name] = one.started_at
        return found

    # What versions show

    def observe(self, version: str, sample: Sample, *, judge: bool = True) -> None:
        """Takes up how a job of a version ended, where anybody wants to know."""
        name = version.partition("@")[0]
        held = self._registry.settings(name)
        if held.canary is None and held.shadow is None:
            return
        self._samples.setdefault(version, deque(maxlen=KEPT)).append(sample)
        if not judge or held.canary is None or name in self._judging:
            return
        if why := self._verdict(name, held.canary):
            self._judging.add(name)
            self._tasks.spawn(f"roll back {name}", self._roll_back(name, why))

    def _verdict(self, name: str, canary: Canary) -> dict[str, object]:
        serving = self._registry.resolve(name)
        old = self._samples.get(serving.id, ()) if serving is not None else ()
        new = self._samples.get(f"{name}@{canary.version}", ())
        return verdict(new, old, self._registry.policy(name).watch)

    async def _roll_back(self, name: str, why: dict[str, object]) -> None:
        try:
            held = self._registry.settings(name)
            if held.canary is None:
                return
            reason = (
                f"{why['figure']} of the canary is {why['value']:.4g}, above {why['bound']:.4g}"
            )
            log.warning("the canary %s@%s lost its traffic: %s", name, held.canary.version, reason)
            await self._end(name, "canary_rolled_back", SYSTEM, reason, why)
        finally:
            self._judging.discard(name)

    # What operators do

    async def start_canary(
        self, name: str, label: str, percent: float, by: str, reason: str
    ) -> None:
        row = await self._beside(name, label, ("staging",))
        canary = Canary(version=row.version, percent=percent, by=by, started_at=time.time())
        held = self._registry.settings(name)
        same = held.canary is not None and held.canary.version == row.version
        if same and held.canary is not None:
            canary = replace(canary, started_at=held.canary.started_at)
        else:
            self._forget(name)
        change = labels.change_of_model(
            name, "canary_started", by, reason, {"percent": percent}, row.version
        )
        await self._registry.commit([], replace(held, canary=canary), change)
        metrics.registry_events_total.labels(change.action).inc()

    async def start_shadow(self, name: str, label: str, by: str, reason: str) -> None:
        row = await self._beside(name, label, ("dev", "staging"))
        shadow = Shadow(version=row.version, by=by, started_at=time.time())
        held = self._registry.settings(name)
        change = labels.change_of_model(name, "shadow_started", by, reason, {}, row.version)
        await self._registry.commit([], replace(held, shadow=shadow), change)
        metrics.registry_events_total.labels(change.action).inc()

    async def stop_canary(self, name: str, by: str, reason: str) -> None:
        if self._registry.settings(name).canary is None:
            raise errors.NotFound(f"model {name!r} has no canary", code="no_canary")
        await self._end(name, "canary_stopped", by, reason, {})

    async def stop_shadow(self, name: str, by: str, reason: str) -> None:
        if self._registry.settings(name).shadow is None:
            raise errors.NotFound(f"model {name!r} has no shadow", code="no_shadow")
        await self._end(name, "shadow_stopped", by, reason, {})

    async def _end(
        self, name: str, action: Action, by: str, reason: str, details: dict[str, object]
    ) -> None:
        held = self._registry.settings(name)
        one = held.shadow if action == "shadow_stopped" else held.canary
        after = (
            replace(held, shadow=None) if action == "shadow_stopped" else replace(held, canary=None)
        )
        version = one.version if one is not None else ""
        change = labels.change_of_model(name, action, by, reason, details, version)
        await self._registry.commit([], after, change)
        metrics.registry_events_total.labels(action).inc()

    async def _beside(self, name: str, label: str, stages: Sequence[Stage]) -> ModelVersionRow:
        """A version that can run beside the one in prod, in memory; Conflict where it cannot."""
        row = self._registry.version(f"{name}@{label}")
        if row.stage not in stages:
            raise errors.Conflict(
                f"{row.id} is in {row.stage}: promote it to {stages[-1]} first", code="wrong_stage"
            )
        serving = self._registry.resolve(name)
        if serving is None or serving.stage != "prod":
            raise errors.Conflict(
                f"model {name!r} has no version in prod to stand beside", code="nothing_in_prod"
            )
        engine = self._registry.running()
        try:
            await asyncio.wrap_future(engine.load(self._registry.folder(row.id)))
        except (EngineError, ModelRefused) as error:
            raise errors.Conflict(str(error), code="load_failed") from None
        return row

    def _forget(self, name: str) -> None:
        for version in [v for v in self._samples if v.startswith(f"{name}@")]:
            del self._samples[version]

    # What is known

    async def report(self, name: str) -> Traffic:
        held, serving = self._registry.settings(name), self._registry.resolve(name)
        shown = dict.fromkeys(
            ([serving.version] if serving is not None else [])
            + ([held.canary.version] if held.canary is not None else [])
        )
        return Traffic(
            name=name,
            serving=serving.id if serving is not None else "",
            canary=held.canary,
            shadow=held.shadow,
            watch=self._registry.policy(name).watch,
            versions=[
                of_version(version, self._samples.get(f"{name}@{version}", ())) for version in shown
            ],
            comparison=await self._comparison(name, held.shadow),
        )

    async def _comparison(self, name: str, shadow: Shadow | None) -> Comparison | None:
        if shadow is None:
            return None
        found = await self._registry.db.read(store.comparison, name, shadow)
        return replace(found, skipped=self.skipped.get(f"{name}@{shadow.version}", 0))


def _takes(job_id: str, percent: float) -> bool:
    number = int.from_bytes(hashlib.sha256(job_id.encode()).digest()[:8], "big")
    return number % PARTS < percent * PARTS / 100


def verdict(new: Sequence[Sample], old: Sequence[Sample], watch: Watch) -> dict[str, object]:
    """The figure that a canary is too bad in, with its bound; empty where it is not, or not enough is known."""
    if len(new) < watch.min_samples:
        return {}
    known = len(old) >= watch.min_samples
    bound = max(watch.max_error_ratio, _error_ratio(old) if known else 0.0)
    if (ratio := _error_ratio(new)) > bound:
        return _too_bad("error_ratio", ratio, bound, new, old)
    after, before = _quantile(new, 0.95), _quantile(old, 0.95)
    if watch.max_latency_ratio is None or not known or after is None or not before:
        return {}
    if after / before > watch.max_latency_ratio:
        return _too_bad("latency_ratio", after / before, watch.max_latency_ratio, new, old)
    return {}


def of_version(version: str, samples: Sequence[Sample]) -> VersionTraffic:
    return VersionTraffic(
        version=version,
        jobs=len(samples),
        failed=sum(sample.failed for sample in samples),
        error_ratio=_error_ratio(samples),
        latency_p50_seconds=_quantile(samples, 0.5),
        latency_p95_seconds=_quantile(samples, 0.95),
    )


def _too_bad(
    figure: str, value: float, bound: float, new: Sequence[Sample], old: Sequence[Sample]
) -> dict[str, object]:
    return {
        "figure": figure,
        "value": value,
        "bound": bound,
        "samples": len(new),
        "prod_samples": len(old),
    }


def _error_ratio(samples: Sequence[Sample]) -> float:
    return sum(sample.failed for sample in samples) / len(samples) if samples else 0.0


def _quantile(samples: Sequence[Sample], share: float) -> float | None:
    """The smallest time that so many of the jobs that succeeded did not exceed."""
    times = sorted(sample.seconds for sample in samples if not sample.failed)
    return times[max(0, math.ceil(share * len(times)) - 1)] if times else None
