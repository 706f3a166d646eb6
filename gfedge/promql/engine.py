"""The engine's door: a text and times in, a result out. It runs in the thread of its caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from gfedge.arrays import np
from gfedge.promql import labels, selection
from gfedge.promql.checks import value_type
from gfedge.promql.evaluate import Evaluation, Value
from gfedge.promql.parser import parse
from gfedge.promql.query import Query, Steps
from gfedge.promql.syntax import Expr
from gfedge.promql.types import LabelSets, Limits, QueryError, Result, Storage, Vector

LOOKBACK = 300_000
"""Milliseconds for which a sample holds."""
SUBQUERY_STEP = 60_000
MAX_TIME = 1 << 53


def _never() -> bool:
    return False


class Engine:
    """Evaluates PromQL over a storage. Safe to call from several threads."""

    def __init__(
        self,
        storage: Storage,
        *,
        limits: Limits = Limits(),  # noqa: B008  unchanging
        lookback: int = LOOKBACK,
        subquery_step: int = SUBQUERY_STEP,
    ) -> None:
        self.storage = storage
        self.limits = limits
        self.lookback = lookback
        self.subquery_step = subquery_step

    def instant(
        self,
        text: str,
        time: int,
        *,
        limits: Limits | None = None,
        lookback: int | None = None,
        cancelled: Callable[[], bool] = _never,
    ) -> Result:
        """The expression at one time (milliseconds); QueryError where there is no answer."""
        steps = Steps(time, time, 0)
        return self._run(text, steps, limits, lookback, cancelled)

    def range(
        self,
        text: str,
        start: int,
        end: int,
        step: int,
        *,
        limits: Limits | None = None,
        lookback: int | None = None,
        cancelled: Callable[[], bool] = _never,
    ) -> Result:
        """The expression at every step from start to end; QueryError where there is no answer."""
        steps = Steps(start, end, step)
        if step <= 0:
            raise QueryError(
                "bad_data", "zero or negative query resolution step widths are not accepted"
            )
        if steps.count > (limits or self.limits).points:
            raise QueryError("bad_data", "exceeded maximum resolution of points per timeseries")
        return self._run(text, steps, limits, lookback, cancelled)

    def _run(
        self,
        text: str,
        steps: Steps,
        limits: Limits | None,
        lookback: int | None,
        cancelled: Callable[[], bool],
    ) -> Result:
        if max(abs(steps.start), abs(steps.end)) > MAX_TIME:
            raise QueryError("bad_data", "the time is too far away")
        query = Query(
            text=text,
            storage=self.storage,
            steps=steps,
            limits=limits or self.limits,
            lookback=lookback or self.lookback,
            subquery_step=self.subquery_step,
            cancelled=cancelled,
        )
        expr = parse(text, query.limits)
        kind = value_type(expr)
        if steps.step and kind in ("string", "range vector"):
            raise QueryError(
                "bad_data",
                f'invalid expression type "{kind}" for range query, must be Scalar or instant Vector',
            )
        if kind == "range vector":
            return _raw(query, expr, steps)
        return _result(query, Evaluation(query).value(expr, steps), steps)


def _raw(query: Query, expr: Expr, steps: Steps) -> Result:
    found = Evaluation(query).windows(expr, steps, True)
    return Result(
        type="matrix",
        times=steps.times,
        ranges=selection.raw(found),
        warnings=tuple(query.warnings),
        infos=tuple(query.infos),
        samples=query.samples,
        peak=query.peak,
    )


def _result(query: Query, value: Value, steps: Steps) -> Result:
    kind: Literal["scalar", "string", "vector", "matrix"] = "matrix" if steps.step else "vector"
    vector, scalar, string = None, None, ""
    if isinstance(value, Vector):
        vector = labels.without_empty(labels.cleaned(value))
        query.check()
    elif isinstance(value, str):
        kind, string = "string", value
    elif steps.step:
        vector = Vector(LabelSets([()]), np.asarray(value)[None, :])
    else:
        kind, scalar = "scalar", value
    return Result(
        type=kind,
        times=steps.times,
        vector=vector,
        scalar=scalar,
        string=string,
        warnings=tuple(query.warnings),
        infos=tuple(query.infos),
        samples=query.samples,
        peak=query.peak,
    )
