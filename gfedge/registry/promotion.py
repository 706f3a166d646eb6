"""Promotion and rollback: gates first, the version in memory beside the old one, then one commit that swaps them.

Jobs keep the version that they were acknowledged with, so those in flight end on the old one and no request fails: a
job that comes after the commit is given the new one. Where anything goes wrong before it, nothing has changed.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from gfedge import errors, metrics
from gfedge.db import new_id
from gfedge.inference.types import EngineError, ModelRefused
from gfedge.lineage.types import Node, edge
from gfedge.registry import gates
from gfedge.registry.gates import Candidate, GateFailed
from gfedge.registry.policy import PromoteBody, RegisteredModel
from gfedge.registry.registry import Registry
from gfedge.registry.types import (
    ChangeRow,
    GateResult,
    ModelVersionRow,
    Promotion,
    Stage,
)

NEXT: dict[Stage, Stage] = {"dev": "staging", "staging": "prod"}


class Promotions:
    """Brings versions from stage to stage, once the engine is there."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._swapping: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def promote(self, name: str, wanted: PromoteBody, by: str, *, admin: bool) -> Promotion:
        """Moves a version to the stage named or the next one; GateFailed where its gates refuse that."""
        row = self._registry.version(f"{name}@{wanted.version}" if wanted.version else name)
        stage = _target(row, wanted.stage)
        if wanted.force and not admin:
            raise errors.Forbidden("only an admin can force a promotion", code="not_admin")
        began = time.perf_counter()
        checked = await self._check(row, stage, by)
        asked = Promotion(
            id="",
            name=row.name,
            version=row.version,
            from_stage=row.stage,
            to_stage=stage,
            replaced="",
            by=by,
            reason=wanted.reason,
            forced=wanted.force and bool(gates.failed(checked)),
            dry_run=wanted.dry_run,
            passed=not gates.failed(checked),
            gates=checked,
            load_seconds=0.0,
        )
        if wanted.dry_run:
            return asked
        if not asked.passed and not wanted.force:
            metrics.registry_events_total.labels("refused").inc()
            raise _gate_failed(row, stage, checked)
        load_seconds = time.perf_counter() - began if stage == "prod" else 0.0
        async with self._swapping[row.name]:
            return await self._move(row, replace(asked, load_seconds=round(load_seconds, 4)))

    async def rollback(self, name: str, reason: str, by: str, details: dict[str, Any]) -> Promotion:
        """Puts the version that was in prod before there again; Conflict where there is none."""
        async with self._swapping[name]:
            present = self._in_prod(name)
            row = self._registry.before_prod(name)
            if present is None or row is None:
                raise errors.Conflict(
                    f"no version of {name} was in prod before that could serve again",
                    code="no_previous_version",
                )
            load_seconds = await self._load(row, present)
            change = _change(row, "prod", present, by, reason, [], forced=False)
            change = replace(change, action="rolled_back", details=details)
            await self._swap(
                [replace(row, stage="prod"), replace(present, stage="archived")], change
            )
            self._keep(present)
            return _promotion(change, load_seconds, row.stage)

    async def _check(self, row: ModelVersionRow, stage: Stage, by: str) -> list[GateResult]:
        conditions = self._registry.policy(row.name).gates(stage)
        if conditions is None:
            return []
        prod = self._in_prod(row.name)
        if not row.is_run_here:
            return gates.of_figures(row, prod, by, conditions)
        candidate = Candidate(
            row=row,
            folder=self._registry.folder(row.id),
            by=by,
            prod=prod,
            prod_folder=self._registry.here(prod.id) if prod is not None else None,
        )
        return await gates.check(self._registry.running(), candidate, conditions)

    async def _move(self, row: ModelVersionRow, asked: Promotion) -> Promotion:
        """Moves a version whose gates hold, if it still is where it was when they were tried."""
        if self._registry.version(f"{row.name}@{row.version}").stage != row.stage:
            raise errors.Conflict(
                f"{row.id} was moved meanwhile: look again", code="changed_meanwhile"
            )
        present = self._in_prod(row.name) if asked.to_stage == "prod" else None
        if asked.to_stage == "prod":
            await self._load(row, present)
        change = _change(
            row, asked.to_stage, present, asked.by, asked.reason, asked.gates, forced=asked.forced
        )
        rows = [replace(row, stage=asked.to_stage)]
        if present is not None:
            rows.append(replace(present, stage="archived"))
        await self._swap(rows, change)
        self._keep(present)
        return replace(asked, id=change.id, replaced=change.replaced)

    async def _swap(self, rows: Sequence[ModelVersionRow], change: ChangeRow) -> None:
        version: Node = ("model_version", rows[0].id)
        promotion: Node = ("promotion", change.id)
        told = edge(version, "promoted", promotion, change.changed_at)
        await self._registry.commit(rows, change, told, *self._ended(rows))
        metrics.registry_events_total.labels(change.action).inc()

    def _ended(self, rows: Sequence[ModelVersionRow]) -> list[RegisteredModel]:
        """What holds for the model without a canary or a shadow that is such no more; nothing where all goes on."""
        held = self._registry.settings(rows[0].name)
        gone = {row.version for row in rows if row.stage != "staging"}
        canary = None if held.canary and held.canary.version in gone else held.canary
        shadow = None if held.shadow and held.shadow.version in gone else held.shadow
        after = replace(held, canary=canary, shadow=shadow)
        return [after] if after != held else []

    async def _load(self, row: ModelVersionRow, present: ModelVersionRow | None) -> float:
        """Has a version in memory; Conflict where that fails, with the version in prod as it was."""
        if not row.is_run_here:
            if present is not None and present.is_run_here:
                raise errors.Conflict(
                    f"{row.id} is not run here, and {present.id} serves: it stays in prod",
                    code="not_run_here",
                )
            return 0.0
        folder = self._registry.folder(row.id)
        key = f"{folder.name}@{folder.version}"
        try:
            seconds = await asyncio.wrap_future(self._registry.running().load(folder))
        except (EngineError, ModelRefused) as error:
            self._registry.states[key] = f"failed: {error}"
            stays = f"; {present.id} goes on serving" if present is not None else ""
            raise errors.Conflict(f"{error}{stays}", code="load_failed") from None
        self._registry.states[key] = "ready"
        return seconds

    def _keep(self, row: ModelVersionRow | None) -> None:
        """Leaves the version that was replaced in memory for a while: a rollback then takes no time."""
        engine = self._registry.engine
        if row and engine and (folder := self._registry.here(row.id)) is not None:
            engine.keep(folder, self._registry.policy(row.name).keep_warm_seconds)

    def _in_prod(self, name: str) -> ModelVersionRow | None:
        return next((r for r in self._registry.versions(name) if r.stage == "prod"), None)


def _target(row: ModelVersionRow, stage: Stage | None) -> Stage:
    """The stage that a version goes to; Conflict where it cannot."""
    wanted = stage or NEXT.get(row.stage)
    if wanted is None:
        raise errors.Conflict(
            f"{row.id} is in {row.stage}, after which none comes: name a stage",
            code="no_next_stage",
        )
    if wanted == row.stage:
        raise errors.Conflict(f"{row.id} is in {wanted} already", code="already_there")
    if row.stage == "prod":
        raise errors.Conflict(
            f"{row.id} is in prod: promote another version there, or roll back",
            code="version_in_use",
        )
    return wanted


def _gate_failed(row: ModelVersionRow, stage: Stage, checked: list[GateResult]) -> GateFailed:
    names = ", ".join(gate.gate for gate in gates.failed(checked))
    return GateFailed(
        f"{row.id} does not come to {stage}: {names} failed; nothing changed", checked
    )


def _change(
    row: ModelVersionRow,
    stage: Stage,
    present: ModelVersionRow | None,
    by: str,
    reason: str,
    checked: list[GateResult],
    *,
    forced: bool,
) -> ChangeRow:
    return ChangeRow(
        id=new_id(),
        name=row.name,
        version=row.version,
        action="promoted",
        from_stage=row.stage,
        to_stage=stage,
        replaced=present.version if present is not None else "",
        by=by,
        reason=reason,
        forced=forced,
        gates=checked,
        changed_at=time.time(),
    )


def _promotion(change: ChangeRow, load_seconds: float, from_stage: Stage) -> Promotion:
    return Promotion(
        id=change.id,
        name=change.name,
        version=change.version,
        from_stage=from_stage,
        to_stage="prod",
        replaced=change.replaced,
        by=change.by,
        reason=change.reason,
        forced=False,
        dry_run=False,
        passed=True,
        gates=[],
        load_seconds=load_seconds,
    )
