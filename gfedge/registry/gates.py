"""The gates of a promotion: each a figure, a bound, and whether it holds. Pure but for what `check` has run."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from gfedge import errors
from gfedge.inference.folder import read_folder
from gfedge.inference.types import EngineError, ModelFolder, ModelRefused
from gfedge.registry import trial
from gfedge.registry.evaluations import judge_of
from gfedge.registry.policy import Gates
from gfedge.registry.trial import Showing
from gfedge.registry.types import JUDGED, GateResult, ModelVersionRow

if TYPE_CHECKING:
    from gfedge.inference.types import Engine


JUDGE_NOISE = 0.02
"""What that may differ by between two evaluations of models that are equally good."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A version that is to be promoted, and what it would stand beside or replace."""

    row: ModelVersionRow
    folder: ModelFolder
    by: str
    prod: ModelVersionRow | None
    prod_folder: ModelFolder | None


async def check(engine: Engine, one: Candidate, gates: Gates) -> list[GateResult]:
    """Every gate. One that cannot be tried because the model does not answer is left out: that one failed already."""
    found = [await _digest(one), await _smoke(engine, one.folder)]
    found += metrics(one.row, gates)
    found += approver(one.row, one.by, gates)
    found += scored(one, gates)
    if not all(gate.passed for gate in found[:2]):
        return found
    return found + await _compared(engine, one, gates)


async def _digest(one: Candidate) -> GateResult:
    try:
        folder = await asyncio.to_thread(read_folder, one.folder.path)
        wrong = "" if folder.digest == one.row.digest else "the files changed since registration"
    except ModelRefused as error:
        wrong = str(error)
    return GateResult(gate="digest", passed=not wrong, note=wrong or one.row.digest)


async def _smoke(engine: Engine, folder: ModelFolder) -> GateResult:
    try:
        seconds = await trial.answer(engine, folder)
    except (EngineError, ModelRefused, ValueError, TimeoutError) as error:
        return GateResult(gate="answers", passed=False, note=_words(error))
    note = f"loaded and answered on {engine.device.provider}"
    return GateResult(gate="answers", passed=True, figure=round(seconds, 4), note=note)


async def _compared(engine: Engine, one: Candidate, gates: Gates) -> list[GateResult]:
    if not gates.golden and gates.max_latency_ratio is None:
        return []
    if one.prod is None or one.prod_folder is None or one.prod.id == one.row.id:
        note = "no other version is in prod: there is nothing to compare with"
        return [GateResult(gate="compared with prod", passed=True, note=note)]
    rounds = trial.ROUNDS if gates.max_latency_ratio is not None else 1
    try:
        new, old = await trial.compare(engine, [one.folder, one.prod_folder], rounds)
    except (EngineError, ModelRefused, ValueError, TimeoutError) as error:
        return [GateResult(gate="compared with prod", passed=False, note=_words(error))]
    found = list(quality(one.row.kind, new, old, gates)) if gates.golden else []
    if gates.max_latency_ratio is not None:
        found.append(latency(new, old, gates.max_latency_ratio))
    return found


def of_figures(
    row: ModelVersionRow, prod: ModelVersionRow | None, by: str, gates: Gates
) -> list[GateResult]:
    """The gates of a version that is not run here: what is known of it, not what it would answer."""
    found = [*metrics(row, gates), *approver(row, by, gates)]
    return [*found, score(row, prod, gates)] if gates.score else found


def metrics(row: ModelVersionRow, gates: Gates) -> Iterator[GateResult]:
    for name, bound in gates.metrics.items():
        value = row.metrics.get(name)
        for limit, inside in (
            (bound.min, value is not None and bound.min is not None and value >= bound.min),
            (bound.max, value is not None and bound.max is not None and value <= bound.max),
        ):
            if limit is not None:
                word = "at least" if limit is bound.min else "at most"
                note = (
                    f"{word} {limit:g}" if value is not None else "the version has no such metric"
                )
                yield GateResult(
                    gate=f"metric {name}", passed=inside, figure=value, bound=limit, note=note
                )
        if bound.min is None and bound.max is None:
            yield GateResult(gate=f"metric {name}", passed=value is not None, figure=value)


def approver(row: ModelVersionRow, by: str, gates: Gates) -> Iterator[GateResult]:
    if gates.other_approver:
        note = f"registered by {row.author}, promoted by {by}"
        yield GateResult(gate="other approver", passed=by != row.author, note=note)


def scored(one: Candidate, gates: Gates) -> list[GateResult]:
    """The score that the policy names; else, for prod, the judge's, or why it says nothing: no one has to have a judge."""
    if gates.score and gates.score != JUDGED:
        return [score(one.row, one.prod, gates)]
    replaces = one.prod is not None and one.prod.id != one.row.id
    if not gates.score and not (gates.golden and replaces and one.row.kind == "generate"):
        return []
    loss = gates.max_score_loss if gates.score else max(gates.max_score_loss, JUDGE_NOISE)
    held = score(
        one.row, one.prod, msgspec.structs.replace(gates, score=JUDGED, max_score_loss=loss)
    )
    judges = {judge_of(one.row, one.folder), judge_of(one.prod, one.prod_folder)} - {""}
    if held.bound is not None and len(judges) > 1:
        other = one.prod.id if one.prod else "prod"
        note = (
            f"not compared: {other} in prod has its score of another judge: one has to look at both "
            f"(`gfedge evaluate {other} --judge {one.row.id}`)"
        )
        return [msgspec.structs.replace(held, passed=not gates.score, bound=None, note=note)]
    if held.figure is None and not gates.score:
        note = f"not evaluated: the version has no judge_score (`gfedge evaluate {one.row.id}` gives it one)"
        return [msgspec.structs.replace(held, passed=True, note=note)]
    return [held]


def score(row: ModelVersionRow, prod: ModelVersionRow | None, gates: Gates) -> GateResult:
    """The evaluation score that the policy names, against the one of the version in prod."""
    name = f"score {gates.score}"
    value = row.metrics.get(gates.score)
    other = prod.metrics.get(gates.score) if prod is not None else None
    if value is None:
        return GateResult(gate=name, passed=False, note="the version has no such metric")
    if other is None:
        return GateResult(
            gate=name, passed=True, figure=value, note="not compared: prod has no such metric"
        )
    sign = 1.0 if gates.score_higher_is_better else -1.0
    bound = other - sign * gates.max_score_loss
    note = f"{other:g} in prod"
    return GateResult(
        gate=name, passed=sign * value >= sign * bound, figure=value, bound=bound, note=note
    )


def quality(kind: str, new: Showing, old: Showing, gates: Gates) -> Iterator[GateResult]:
    """Not worse than the version in prod on the golden inputs, but for the tolerance."""
    if kind == "superres":
        yield _not_below("golden psnr", new.psnr, old.psnr, gates.max_psnr_loss)
        yield _not_below("golden ssim", new.ssim, old.ssim, gates.max_ssim_loss)
    else:
        yield _not_below("golden drawn", new.drawn, old.drawn, gates.max_drawn_loss)


def latency(new: Showing, old: Showing, most: float) -> GateResult:
    ratio = new.seconds / old.seconds if old.seconds else math.inf
    note = f"{new.seconds:.4f} s, {old.seconds:.4f} s in prod, for the golden inputs"
    return GateResult(
        gate="latency", passed=ratio <= most, figure=round(ratio, 3), bound=most, note=note
    )


def _not_below(gate: str, value: float, other: float, loss: float) -> GateResult:
    bound = other - loss
    return GateResult(
        gate=gate,
        passed=value >= bound,
        figure=round(value, 4),
        bound=round(bound, 4),
        note=f"{other:.4g} in prod",
    )


def _words(error: BaseException) -> str:
    return str(error) or f"took longer than {trial.PATIENCE:g} s"


def failed(gates: list[GateResult]) -> list[GateResult]:
    return [gate for gate in gates if not gate.passed]


class GateProblem(errors.Problem, kw_only=True, omit_defaults=True, frozen=True):
    """A problem with every gate of the promotion that was refused."""

    gates: tuple[GateResult, ...] = ()


class GateFailed(errors.Conflict):
    """A promotion that its gates refuse; nothing was changed."""

    code = "gate_failed"

    def __init__(self, detail: str, gates: list[GateResult] | None = None) -> None:
        super().__init__(detail)
        self.gates = gates or []

    def problem(self, instance: str = "") -> GateProblem:
        return GateProblem(
            status=self.status,
            title=self.title,
            detail=self.detail,
            code=self.code,
            instance=instance,
            gates=tuple(self.gates),
        )
