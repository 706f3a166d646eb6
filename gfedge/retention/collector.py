"""Collections: first a plan of what may go, then the rows in small commits, then the files that nothing names any more.

Rows go before files, so a crash in between leaves files without a row, which the next collection takes. The plan is read
in one go; a commit leaves out of it what something new has come to need meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from gfedge.db import Cursor, Database, new_id
from gfedge.retention import store, sweep
from gfedge.retention.types import (
    MOST_LISTED,
    Candidate,
    CollectionRow,
    Kept,
    Policy,
    Report,
)

RUNS_A_COMMIT = 500
"""Runs removed in one commit: the commits of jobs go on in between."""
DAY = 86_400.0


class Memory(msgspec.Struct, kw_only=True):
    """What a running server knows besides its database: what it uses, and whom to tell of what went."""

    assets_in_use: Callable[[], list[str]] = list
    forget: Callable[[list[Candidate], list[str], list[str]], None] = (
        lambda gone, experiments, assets: None
    )


class Plan(msgspec.Struct, kw_only=True):
    """What may go, as of one moment."""

    runs: list[Candidate] = msgspec.field(default_factory=list)
    kept: list[Kept] = msgspec.field(default_factory=list)
    experiments: list[str] = msgspec.field(default_factory=list)
    assets: list[tuple[str, int]] = msgspec.field(default_factory=list)
    artifacts: list[tuple[str, int]] = msgspec.field(default_factory=list)


class Collector:
    """Makes one collection at a time."""

    def __init__(self, db: Database, data: Path, memory: Memory | None = None) -> None:
        self._db = db
        self._assets = data / "assets"
        self._artifacts = data / "artifacts"
        self._trainings = data / "training"
        self._memory = memory or Memory()
        self._turn = asyncio.Lock()

    async def collect(self, policy: Policy, *, dry_run: bool, by: str) -> Report:
        """Removes what the policy lets go and nothing needs, and files that nothing names; or only tells of them."""
        async with self._turn:
            now = time.time()
            report = Report(
                id=new_id(), dry_run=dry_run, by=by, policy=policy, started_at=now, finished_at=None
            )
            in_use = [*self._memory.assets_in_use(), *await self._lately_used(now)]
            planned = await self._db.read(plan, policy, now, in_use)
            report.kept = planned.kept[:MOST_LISTED]
            if dry_run:
                _tell(planned, report)
            else:
                await self._remove(planned, now, in_use, report)
            await self._sweep(now, planned, report)
            await self._sweep_trainings(now, report)
            report.finished_at = time.time()
            if not dry_run:
                await self._db.write(store.complete, _row(report))
            return report

    async def _lately_used(self, now: float) -> list[str]:
        """Assets that were made or asked for a moment ago: a job that comes may name them."""
        since = now - store.GRACE_SECONDS
        return await asyncio.to_thread(
            lambda: [f.name for f in sweep.stored(self._assets) if f.whole and f.used_at >= since]
        )

    async def _remove(self, planned: Plan, now: float, in_use: list[str], report: Report) -> None:
        await self._db.insert(_row(report))
        gone: list[Candidate] = []
        for at in range(0, len(planned.runs), RUNS_A_COMMIT):
            chunk = planned.runs[at : at + RUNS_A_COMMIT]
            gone += await self._db.write(store.remove_runs, chunk, now, in_use)
        if planned.experiments:
            await self._db.write(store.remove_experiments, planned.experiments)
        _count_rows(gone, planned.experiments, report)
        self._memory.forget(gone, planned.experiments, [sha256 for sha256, _ in planned.assets])

    async def _sweep_trainings(self, now: float, report: Report) -> None:
        """What ended trainings left where they worked: its model is stored with its run."""
        days = report.policy.restore_days
        ended = await self._db.read(store.ended_trainings, now - days * DAY)
        reason = f"its training ended more than {days:g} days ago; its log stays"
        await asyncio.to_thread(sweep.sweep_trainings, self._trainings, ended, report, reason)

    async def _sweep(self, now: float, planned: Plan, report: Report) -> None:
        """Looks at the files after what is in use was asked for again: what came meanwhile is among it, or new."""
        before = now - store.GRACE_SECONDS
        assets = await self._db.read(store.known_assets) | set(self._memory.assets_in_use())
        artifacts = await self._db.read(store.known_artifacts)
        for root, kind, known, let_go in (
            (self._assets, "asset", assets, planned.assets),
            (self._artifacts, "artifact", artifacts, planned.artifacts),
        ):
            reasons = {sha256: "only what was removed named it" for sha256, _ in let_go}
            # Those that a dry run speaks of by their rows are not counted again by their files.
            named = known | set(reasons) if report.dry_run else known
            await asyncio.to_thread(
                sweep.sweep, root, kind, named.__contains__, before, report, reasons
            )


def plan(cursor: Cursor, policy: Policy, now: float, in_use: list[str]) -> Plan:
    """What may go: candidates of the policy, less those that something which stays came from."""
    restorable = now - policy.restore_days * DAY
    found = {c.run_id: c for c in store.deleted_runs(cursor, restorable)}
    found = {c.run_id: c for c in store.expired_jobs(cursor, policy, now)} | found
    needs = store.needed(cursor, list(found.values()), in_use) if found else {}
    runs = [c for c in found.values() if c.run_id not in needs]
    gone = [c.run_id for c in runs]
    return Plan(
        runs=runs,
        kept=[Kept(kind=_kind(found[run]), id=_id(found[run]), reason=needs[run]) for run in needs],
        experiments=store.empty_experiments(cursor, restorable, gone),
        assets=store.assets_of(cursor, [c.job_id for c in runs if c.job_id], in_use),
        artifacts=store.artifacts_of(cursor, gone),
    )


def _tell(planned: Plan, report: Report) -> None:
    _count_rows(planned.runs, planned.experiments, report)
    for kind, files in (("asset", planned.assets), ("artifact", planned.artifacts)):
        for sha256, size in files:
            report.add(kind, sha256, size, "only what is removed names it")


def _count_rows(runs: Iterable[Candidate], experiments: Iterable[str], report: Report) -> None:
    for candidate in runs:
        report.add(_kind(candidate), _id(candidate), 0, candidate.reason)
    for experiment_id in experiments:
        report.add("experiment", experiment_id, 0, "deleted, and no run is left in it")


def _kind(candidate: Candidate) -> str:
    return "job" if candidate.job_id else "run"


def _id(candidate: Candidate) -> str:
    return candidate.job_id or candidate.run_id


def _row(report: Report) -> CollectionRow:
    return CollectionRow(
        id=report.id, started_at=report.started_at, finished_at=report.finished_at, report=report
    )
