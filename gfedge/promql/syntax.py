"""The expressions of PromQL as a tree. Every node knows where it stands in the text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import msgspec

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


class DurationCall(msgspec.Struct, frozen=True):
    """`step()`, `range()`, `min_of(a, b)` or `max_of(a, b)` where a duration stands."""

    name: str
    args: tuple[Duration, ...] = ()


class DurationOperation(msgspec.Struct, frozen=True):
    op: str
    left: Duration
    right: Duration


Duration: TypeAlias = float | DurationCall | DurationOperation
"""Seconds, or what they are computed of when the steps of the query are known."""

Moment: TypeAlias = float | Literal["start", "end"] | None
"""What stands behind @: Unix seconds, `start()` or `end()`."""

Extent: TypeAlias = Literal["", "anchored", "smoothed"]


class Node(msgspec.Struct, frozen=True, kw_only=True):
    span: Span = (0, 0)
    depth: int = 1


class Number(Node, frozen=True):
    value: float
    seconds: bool = False
    """It was written as a duration."""


class Text(Node, frozen=True):
    value: str


class Selector(Node, frozen=True):
    name: str
    matchers: tuple[Matcher, ...]
    """All of them, the name's too."""
    offset: Duration | None = None
    at: Moment = None
    extent: Extent = ""


class Range(Node, frozen=True):
    """A range vector selector, `selector[duration]`."""

    selector: Selector
    duration: Duration


class Subquery(Node, frozen=True):
    expr: Expr
    duration: Duration
    step: Duration | None
    offset: Duration | None = None
    at: Moment = None


class Paren(Node, frozen=True):
    expr: Expr


class Unary(Node, frozen=True):
    op: str
    expr: Expr


class Matching(msgspec.Struct, frozen=True):
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


class Binary(Node, frozen=True):
    op: str
    left: Expr
    right: Expr
    matching: Matching = Matching()
    returns_bool: bool = False


class Call(Node, frozen=True):
    function: str
    args: tuple[Expr, ...]


class Aggregate(Node, frozen=True):
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
