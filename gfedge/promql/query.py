"""One query while it runs: its steps, its budget, its deadline, and what it has to say besides its answer."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from gfedge.arrays import np
from gfedge.promql.lexer import position
from gfedge.promql.syntax import Expr
from gfedge.promql.types import Limits, QueryError, Storage, Times


class Steps(msgspec.Struct, frozen=True):
    """The moments at which an expression is evaluated, in milliseconds."""

    start: int
    end: int
    step: int
    """0 for an instant query."""

    @property
    def count(self) -> int:
        return 1 if self.step <= 0 else max(0, (self.end - self.start) // self.step + 1)

    @property
    def times(self) -> Times:
        return self.start + np.arange(self.count, dtype=np.int64) * max(self.step, 0)


def _never() -> bool:
    return False


class Query(msgspec.Struct, kw_only=True):
    """What the parts of an evaluation share."""

    text: str
    storage: Storage
    steps: Steps
    """Of the whole query; a subquery has its own."""
    limits: Limits
    lookback: int
    subquery_step: int
    cancelled: Callable[[], bool] = _never
    samples: int = 0
    """In all windows together, as Prometheus counts them."""
    loaded: int = 0
    peak: int = 0
    warnings: dict[str, None] = msgspec.field(default_factory=dict)
    infos: dict[str, None] = msgspec.field(default_factory=dict)
    _deadline: float = 0.0

    def __post_init__(self) -> None:
        self._deadline = time.monotonic() + self.limits.seconds

    def spend(self, values: int, loaded: int = 0) -> None:
        """Accounts for values that are about to be made and samples that were read; raises where it is too much."""
        self.loaded += loaded
        self.peak = max(self.peak, values, loaded)
        if self.loaded > self.limits.samples or values > self.limits.samples:
            raise QueryError(
                "execution",
                f"query processing would load too many samples into memory in query execution (limit {self.limits.samples})",
            )
        self.check()

    def check(self) -> None:
        """Raises where the time is over or nobody wants the answer any more."""
        if self.cancelled():
            raise QueryError("canceled", "query was canceled in query execution")
        if time.monotonic() > self._deadline:
            raise QueryError("timeout", "query timed out in query execution")

    def fail(self, reason: str) -> QueryError:
        return QueryError("execution", reason)

    def warn(self, text: str, at: Expr) -> None:
        self.warnings[f"PromQL warning: {text} ({position(self.text, at.span[0])})"] = None

    def info(self, text: str, at: Expr) -> None:
        self.infos[f"PromQL info: {text} ({position(self.text, at.span[0])})"] = None
