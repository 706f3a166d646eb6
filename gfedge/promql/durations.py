"""Durations in brackets and behind `offset`: constants, or arithmetic with step() and range()."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NoReturn

from gfedge.promql.lexer import ParseError, Token
from gfedge.promql.syntax import Duration, DurationCall, DurationOperation
from gfedge.promql.types import QueryError

_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2, "^": 3}
_CALLS = {"step": 0, "range": 0, "min_of": 2, "max_of": 2}
_DEPTH = 50
LONGEST = (1 << 63) / 1e9
"""Seconds: what Go can count in nanoseconds."""


def parse(text: str, tokens: Sequence[Token], index: int, context: str) -> tuple[Duration, int]:
    """The duration that begins at a token, and the index of the token after it."""
    parser = _Durations(text, tokens, index, context)
    start = parser.peek.span
    found = _folded(parser.expression(0))
    literal = parser.index - index <= 2  # of arithmetic the query finds out when it runs
    if literal and isinstance(found, float) and not found > 0:
        raise ParseError(text, start, "duration must be greater than 0")
    if isinstance(found, float) and abs(found) > LONGEST:
        raise ParseError(text, start, "duration out of range")
    return found, parser.index


def parse_offset(text: str, tokens: Sequence[Token], index: int) -> tuple[Duration, int]:
    """What stands behind `offset`: one term with its sign; arithmetic only in parentheses."""
    parser = _Durations(text, tokens, index, "offset")
    start = parser.peek.span
    found = _folded(parser.signed())
    if isinstance(found, float) and abs(found) > LONGEST:
        raise ParseError(text, start, "duration out of range")
    return found, parser.index


class _Durations:
    def __init__(self, text: str, tokens: Sequence[Token], index: int, context: str) -> None:
        self.text, self.tokens, self.index, self.context = text, tokens, index, context
        self._depth = 0

    @property
    def peek(self) -> Token:
        return self.tokens[self.index]

    def _take(self, op: str) -> None:
        if self.peek.text != op:
            self._unexpected(f'"{op}"')
        self.index += 1

    def _unexpected(self, expected: str) -> NoReturn:
        token = self.peek
        reason = f"unexpected {token} in {self.context}, expected {expected}"
        reason = token.text if token.kind == "error" else reason
        raise ParseError(self.text, token.span, reason)

    def expression(self, least: int) -> Duration:
        self._depth += 1
        if self._depth > _DEPTH:
            raise ParseError(self.text, self.peek.span, "duration is nested too deeply")
        left = self.signed(_PRECEDENCE["^"])
        while (op := self.peek.text) in _PRECEDENCE and _PRECEDENCE[op] >= least:
            place = self.peek.span
            self.index += 1
            right = self.expression(_PRECEDENCE[op] + (op != "^"))
            if op in "/%" and right == 0:
                word = "division" if op == "/" else "modulo"
                raise ParseError(self.text, place, f"{word} by zero")
            left = _folded(DurationOperation(op, left, right))
        self._depth -= 1
        return left

    def signed(self, least: int | None = None) -> Duration:
        """A term; with `least`, a sign takes what binds that strongly with it."""
        if self.peek.text not in ("+", "-"):
            return self._term()
        minus = self.peek.text == "-"
        self.index += 1
        operand = self._term() if least is None else self.expression(least)
        return _folded(DurationOperation("-", 0.0, operand)) if minus else operand

    def _term(self) -> Duration:
        token = self.peek
        if token.kind in ("number", "duration"):
            self.index += 1
            return float(token.value)
        if token.text == "(":
            self.index += 1
            found = self.expression(0)
            self._take(")")
            return found
        name = token.text.lower()
        if token.kind != "identifier" or name not in _CALLS:
            self._unexpected("number, duration, step(), or range()")
        return self._call(name)

    def _call(self, name: str) -> Duration:
        self.index += 1
        if self.peek.text != "(":
            self._unexpected("number, duration, step(), or range()")
        self.index += 1
        args = []
        for number in range(_CALLS[name]):
            if number:
                self._take(",")
            args.append(self.expression(0))
        self._take(")")
        return DurationCall(name, tuple(args))


def _folded(found: Duration) -> Duration:
    """The number, where nothing in it depends on the query."""
    try:
        return seconds(found, math.nan, math.nan) if _constant(found) else found
    except QueryError:
        return found


def _constant(found: Duration) -> bool:
    if isinstance(found, DurationOperation):
        return _constant(found.left) and _constant(found.right)
    if isinstance(found, DurationCall):
        return bool(found.args) and all(_constant(arg) for arg in found.args)
    return True


def seconds(found: Duration, step: float, whole: float) -> float:
    """The value in a query with this step and range (in seconds)."""
    if isinstance(found, DurationCall):
        args = [seconds(arg, step, whole) for arg in found.args]
        match found.name:
            case "step":
                return step
            case "range":
                return whole
            case "min_of":
                return min(args)
            case _:
                return max(args)
    if isinstance(found, DurationOperation):
        left, right = seconds(found.left, step, whole), seconds(found.right, step, whole)
        return _operate(found.op, left, right)
    return found


def _operate(op: str, left: float, right: float) -> float:
    if op in "/%" and right == 0:
        word = "division" if op == "/" else "modulo"
        raise QueryError("bad_data", f"{word} by zero in a duration")
    try:
        match op:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
            case "/":
                return left / right
            case "%":
                return math.fmod(left, right)
            case _:
                return math.pow(left, right)
    except (OverflowError, ValueError):
        raise QueryError("bad_data", "duration out of range") from None


def milliseconds(found: Duration, step: int, whole: int) -> int:
    """Whole milliseconds; `step` and `whole` are milliseconds too."""
    value = seconds(found, step / 1000, whole / 1000) * 1000
    if not abs(value) < 9.2e15:
        raise QueryError("bad_data", "duration out of range")
    return math.trunc(round(value, 6))
