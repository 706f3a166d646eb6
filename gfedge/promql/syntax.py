"""The expressions of PromQL as a tree. Every node knows where it stands in the text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from gfedge.promql.types import Matcher

ValueType = Literal["scalar", "string", "instant vector", "range vector"]
Span: TypeAlias = tuple[int, int]
"""Where in the text: first character and the one after the last."""

AGGREGATIONS = {
    "sum", "avg", "count", "min", "max", "group", "stddev", "stdvar", "topk", "bottomk",
    "count_values", "quantile", "limitk", "limit_ratio",
}  # fmt: skip
PARAMETRIC = {"topk", "bottomk", "count_values", "quantile", "limitk", "limit_ratio"}
COMPARISONS = {"==", "!=", ">", "<", ">=", "<="}
SET_OPERATORS = {"and", "or", "unless"}


@dataclass(frozen=True, slots=True)
class DurationCall:
    """`step()`, `range()`, `min_of(a, b)` or `max_of(a, b)` where a duration stands."""

    name: str
    args: tuple[Duration, ...] = ()


@dataclass(frozen=True, slots=True)
class DurationOperation:
    op: str
    left: Duration
    right: Duration


Duration: TypeAlias = float | DurationCall | DurationOperation
"""Seconds, or what they are computed of when the steps of the query are known."""

Moment: TypeAlias = float | Literal["start", "end"] | None
"""What stands behind @: Unix seconds, `start()` or `end()`."""

Extent: TypeAlias = Literal["", "anchored", "smoothed"]


def _span() -> Span:
    return (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    span: Span = field(default_factory=_span, compare=False, repr=False)
    depth: int = field(default=1, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Number(Node):
    value: float
    seconds: bool = field(default=False, compare=False)
    """It was written as a duration."""


@dataclass(frozen=True, slots=True)
class Text(Node):
    value: str


@dataclass(frozen=True, slots=True)
class Selector(Node):
    name: str
    matchers: tuple[Matcher, ...]
    """All of them, the name's too."""
    offset: Duration | None = None
    at: Moment = None
    extent: Extent = ""


@dataclass(frozen=True, slots=True)
class Range(Node):
    """A range vector selector, `selector[duration]`."""

    selector: Selector
    duration: Duration


@dataclass(frozen=True, slots=True)
class Subquery(Node):
    expr: Expr
    duration: Duration
    step: Duration | None
    offset: Duration | None = None
    at: Moment = None


@dataclass(frozen=True, slots=True)
class Paren(Node):
    expr: Expr


@dataclass(frozen=True, slots=True)
class Unary(Node):
    op: str
    expr: Expr


@dataclass(frozen=True, slots=True)
class Matching:
    """Which series of both sides belong together."""

    on: bool = False
    labels: tuple[str, ...] = ()
    group: Literal["", "left", "right"] = ""
    include: tuple[str, ...] = ()
    fill_left: float | None = None
    fill_right: float | None = None
    stated: bool = False
    """`on` or `ignoring` was written."""

    @property
    def filled(self) -> bool:
        return self.fill_left is not None or self.fill_right is not None


@dataclass(frozen=True, slots=True)
class Binary(Node):
    op: str
    left: Expr
    right: Expr
    matching: Matching = Matching()
    returns_bool: bool = False


@dataclass(frozen=True, slots=True)
class Call(Node):
    function: str
    args: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Aggregate(Node):
    op: str
    expr: Expr
    param: Expr | None = None
    grouping: tuple[str, ...] = ()
    without: bool = False


Expr: TypeAlias = (
    Number | Text | Selector | Range | Subquery | Paren | Unary | Binary | Call | Aggregate
)


def unwrapped(expr: Expr) -> Expr:
    """Without the parentheses around it."""
    while isinstance(expr, Paren):
        expr = expr.expr
    return expr


def children(expr: Expr) -> tuple[Expr, ...]:
    match expr:
        case Range():
            return (expr.selector,)
        case Subquery() | Paren() | Unary():
            return (expr.expr,)
        case Binary():
            return (expr.left, expr.right)
        case Call():
            return expr.args
        case Aggregate():
            return (expr.expr,) if expr.param is None else (expr.param, expr.expr)
        case _:
            return ()


def walk(expr: Expr) -> Iterator[Expr]:
    """The expression and all below it."""
    waiting = [expr]
    while waiting:
        yield (found := waiting.pop())
        waiting.extend(children(found))
