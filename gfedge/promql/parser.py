"""Tokens to a tree: a Pratt parser (operator precedence climbing) with the positions of all it finds."""

from __future__ import annotations

import functools
import math
from typing import TypeVar

import msgspec

from gfedge.promql import checks, durations
from gfedge.promql.lexer import KEYWORDS, ParseError, Token
from gfedge.promql.numbers import format_value
from gfedge.promql.selectors import Selectors
from gfedge.promql.signatures import SIGNATURES
from gfedge.promql.syntax import (
    AGGREGATIONS,
    COMPARISONS,
    PARAMETRIC,
    Aggregate,
    Binary,
    Call,
    Duration,
    Expr,
    Matching,
    Moment,
    Number,
    Paren,
    Range,
    Selector,
    Subquery,
    Text,
    Unary,
)
from gfedge.promql.types import Limits, Matcher, QueryError

PRECEDENCE = {
    **dict.fromkeys(("or",), 1),
    **dict.fromkeys(("and", "unless"), 2),
    **dict.fromkeys(COMPARISONS, 3),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%", "atan2"), 5),
    "^": 6,
}
_POWER = PRECEDENCE["^"]
_NOT_METRICS = {"bool", "on", "ignoring", "group_left", "group_right", "atan2"}
_FILLS = ("fill", "fill_left", "fill_right")

Modified = TypeVar("Modified", bound=Selector | Subquery)


def parse(text: str, limits: Limits = Limits()) -> Expr:  # noqa: B008  unchanging
    """The expression of a text; ParseError says where and why it is none."""
    if len(text) > limits.bytes or len(text.encode("utf-8", "replace")) > limits.bytes:
        raise QueryError("bad_data", f"the query is longer than {limits.bytes} bytes")
    return _parsed(text, limits.depth)


def parse_selector(text: str, limits: Limits = Limits()) -> tuple[Matcher, ...]:  # noqa: B008
    """The matchers of a text that is a vector selector and nothing else (`match[]`)."""
    found = parse(text, limits)
    if not isinstance(found, Selector) or found.offset is not None or found.at is not None:
        raise ParseError(text, (0, 0), "expected a vector selector and nothing else")
    return found.matchers


@functools.lru_cache(maxsize=500)
def _parsed(text: str, depth: int) -> Expr:
    parser = Parser(text, depth)
    found = parser.whole()
    checks.check(text, found)
    return found


class Parser(Selectors):
    """Reads one text."""

    def whole(self) -> Expr:
        if self._peek().kind == "end":
            raise ParseError(self.text, None, "no expression found in input")
        found = self._expr(0)
        if self._peek().kind != "end":
            self._unexpected("", "")
        return found

    # -- operators

    def _expr(self, least: int) -> Expr:
        """An expression of operators that bind at least as strongly as `least`."""
        self._open += 1
        self._deeper(self._peek().span)
        left = self._unary()
        while (op := self._operator()) is not None and PRECEDENCE[op] >= least:
            left = self._binary(left, op)
        self._open -= 1
        return left

    def _operator(self) -> str | None:
        token = self._peek()
        if token.kind not in ("op", "word") or token.text not in PRECEDENCE:
            if token.kind == "op" and token.text in ("</", ">/"):
                self._fail(
                    token.span, f"native histograms are not supported: operator {token.text}"
                )
            return None
        return token.text

    def _binary(self, left: Expr, op: str) -> Expr:
        token = self._next()
        returns_bool = self._word("bool")
        if returns_bool:
            self._next()
        matching = self._matching()
        precedence = PRECEDENCE[op]
        right = self._expr(precedence if op == "^" else precedence + 1)
        span = (left.span[0], right.span[1])
        made = Binary(
            op,
            left,
            right,
            matching,
            returns_bool,
            span=span,
            depth=self._deeper(span, left, right),
        )
        checks.check_binary(self.text, made, token.span)
        return made

    def _matching(self) -> Matching:
        found = Matching()
        if self._word("on", "ignoring"):
            on = self._next().text == "on"
            found = Matching(on=on, labels=self._labels(), stated=True)
            if self._word("group_left", "group_right"):
                left = self._next().text == "group_left"
                include = self._labels() if self._is("(") else ()
                found = msgspec.structs.replace(
                    found, group="left" if left else "right", include=include
                )
        while self._word(*_FILLS) and self._peek(1).text == "(":
            found = self._fill(found)
        return found

    def _fill(self, matching: Matching) -> Matching:
        word = self._next().text
        self._take("(", word)
        value = self._signed(word)
        self._take(")", word)
        if word != "fill_right":
            matching = msgspec.structs.replace(matching, fill_left=value)
        return (
            matching if word == "fill_left" else msgspec.structs.replace(matching, fill_right=value)
        )

    def _unary(self) -> Expr:
        if not self._is("-", "+"):
            return self._modified(self._primary())
        token = self._next()
        operand = self._expr(_POWER)
        span = (token.span[0], operand.span[1])
        if isinstance(operand, Number):
            sign = -1.0 if token.text == "-" else 1.0
            return Number(sign * operand.value, operand.seconds, span=span)
        return Unary(token.text, operand, span=span, depth=self._deeper(span, operand))

    # -- what stands behind an operand

    def _modified(self, operand: Expr) -> Expr:
        while True:
            if self._is("["):
                operand = self._bracket(operand)
            elif self._word("offset"):
                operand = self._offset(operand)
            elif self._is("@"):
                operand = self._at(operand)
            elif self._word("anchored", "smoothed"):
                operand = self._extent(operand)
            else:
                return operand

    def _bracket(self, operand: Expr) -> Expr:
        opened = self._next()
        duration = self._duration("subquery or range selector")
        if self._is(":"):
            self._next()
            step = None if self._is("]") else self._duration("subquery selector")
            closed = self._take("]", "subquery selector")
            span = (operand.span[0], closed.span[1])
            depth = self._deeper(span, operand)
            return Subquery(operand, duration, step, span=span, depth=depth)
        closed = self._take("]", "subquery or range", '":" or "]"')
        where = (opened.span[0], closed.span[1])
        if not isinstance(operand, Selector):
            self._fail(where, "ranges only allowed for vector selectors")
        if operand.offset is not None:
            self._fail(where, "no offset modifiers allowed before range")
        if operand.at is not None:
            self._fail(where, "no @ modifiers allowed before range")
        span = (operand.span[0], closed.span[1])
        return Range(operand, duration, span=span, depth=self._deeper(span, operand))

    def _duration(self, context: str) -> Duration:
        found, self._index = durations.parse(self.text, self._tokens, self._index, context)
        return found

    def _offset(self, operand: Expr) -> Expr:
        self._next()
        offset, self._index = durations.parse_offset(self.text, self._tokens, self._index)
        if isinstance(operand, Range):
            return msgspec.structs.replace(operand, selector=self._shift(operand.selector, offset))
        if not isinstance(operand, (Selector, Subquery)):
            self._fail(
                operand.span,
                "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
            )
        return self._shift(operand, offset)

    def _shift(self, operand: Modified, offset: Duration) -> Modified:
        if operand.offset is not None:
            self._fail(operand.span, "offset may not be set multiple times")
        return self._extended(msgspec.structs.replace(operand, offset=offset))

    def _at(self, operand: Expr) -> Expr:
        self._next()
        moment = self._moment(operand)
        if isinstance(operand, Range):
            return msgspec.structs.replace(operand, selector=self._pin(operand.selector, moment))
        if not isinstance(operand, (Selector, Subquery)):
            self._fail(
                operand.span,
                "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
            )
        return self._pin(operand, moment)

    def _pin(self, operand: Modified, moment: Moment) -> Modified:
        if operand.at is not None:
            self._fail(operand.span, "@ <timestamp> may not be set multiple times")
        return self._extended(msgspec.structs.replace(operand, at=moment))

    def _extended(self, operand: Modified) -> Modified:
        """With a span that ends where the parser is."""
        end = self._tokens[self._index - 1].span[1]
        return msgspec.structs.replace(operand, span=(operand.span[0], end))

    def _moment(self, operand: Expr) -> Moment:
        token = self._peek()
        low = token.text.lower()
        if token.kind == "identifier" and low in ("start", "end"):
            self._next()
            self._take("(", "@ modifier")
            self._take(")", "@ modifier")
            return "start" if low == "start" else "end"
        if token.kind not in ("number", "duration") and not self._is("+", "-"):
            self._unexpected("@", "timestamp")
        value = self._signed("@")
        if not -9.2e15 < value < 9.2e15:  # NaN too
            shown = f"{value:f}" if math.isfinite(value) else format_value(value)
            self._fail(operand.span, f"timestamp out of bounds for @ modifier: {shown}")
        return value

    def _extent(self, operand: Expr) -> Expr:
        token = self._next()
        selector = operand.selector if isinstance(operand, Range) else operand
        if not isinstance(selector, Selector):
            self._fail(
                operand.span,
                f"{token.text} modifier must be preceded by an instant vector selector or range vector selector",
            )
        if selector.extent:
            self._fail(operand.span, "anchored and smoothed modifiers may be set only once")
        made = self._extended(
            msgspec.structs.replace(
                selector, extent="smoothed" if token.text == "smoothed" else "anchored"
            )
        )
        return (
            msgspec.structs.replace(operand, selector=made) if isinstance(operand, Range) else made
        )

    # -- operands

    def _primary(self) -> Expr:
        token = self._peek()
        if token.kind in ("number", "duration"):
            self._next()
            return Number(float(token.value), token.kind == "duration", span=token.span)
        if token.kind == "string":
            self._next()
            return Text(str(token.value), span=token.span)
        if self._is("("):
            return self._paren()
        if self._is("{"):
            return self._selector()
        if token.kind == "word":
            return self._keyword(token)
        if token.kind == "identifier" and self._peek(1).text == "(" and self._peek(1).kind == "op":
            return self._call()
        if token.kind not in ("identifier", "metric identifier"):
            self._unexpected("", "")
        return self._selector()

    def _keyword(self, token: Token) -> Expr:
        after = self._peek(1)
        if token.text in AGGREGATIONS and (
            (after.kind == "op" and after.text == "(")
            or (after.kind == "word" and after.text in ("by", "without"))
        ):
            return self._aggregate()
        if token.text in _NOT_METRICS or (token.text in KEYWORDS and after.text == "("):
            self._unexpected("", "")
        return self._selector()

    def _paren(self) -> Expr:
        opened = self._next()
        inside = self._expr(0)
        closed = self._take(")", "")
        span = (opened.span[0], closed.span[1])
        return Paren(inside, span=span, depth=self._deeper(span, inside))

    def _arguments(self) -> tuple[Expr, ...]:
        self._take("(", "aggregation")
        found: list[Expr] = []
        while not self._is(")"):
            found.append(self._expr(0))
            if self._is(","):
                comma = self._next()
                if self._is(")"):
                    self._fail(comma.span, "trailing commas not allowed in function call args")
            elif not self._is(")"):
                self._unexpected("", "")
        self._next()
        return tuple(found)

    def _call(self) -> Expr:
        token = self._next()
        name = token.text
        if name.lower() in ("start", "end", "step", "range"):
            name = name.lower()
        if name not in SIGNATURES:
            self._fail(token.span, f'unknown function with name "{name}"')
        args = self._arguments()
        span = (token.span[0], self._tokens[self._index - 1].span[1])
        return Call(name, args, span=span, depth=self._deeper(span, *args))

    def _aggregate(self) -> Expr:
        token = self._next()
        grouping: tuple[str, ...] = ()
        without, grouped = False, False
        if self._word("by", "without"):
            without, grouping, grouped = self._next().text == "without", self._labels(), True
        args = self._arguments()
        if not grouped and self._word("by", "without"):
            without, grouping = self._next().text == "without", self._labels()
        span = (token.span[0], self._tokens[self._index - 1].span[1])
        wanted = 2 if token.text in PARAMETRIC else 1
        if not args:
            self._fail(span, "no arguments for aggregate expression provided")
        if len(args) != wanted:
            self._fail(
                span,
                f"wrong number of arguments for aggregate expression provided, expected {wanted}, got {len(args)}",
            )
        param = args[0] if wanted == 2 else None
        depth = self._deeper(span, *args)
        return Aggregate(token.text, args[-1], param, grouping, without, span=span, depth=depth)
