"""A tree as text again, in Prometheus' form; parsing it gives the same tree."""

from __future__ import annotations

import math
import re

from gfedge.promql.lexer import quoted
from gfedge.promql.numbers import format_value
from gfedge.promql.syntax import (
    Aggregate,
    Binary,
    Call,
    Duration,
    DurationCall,
    DurationOperation,
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
from gfedge.promql.types import NAME, Matcher

_label = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_UNITS = (
    ("y", 365 * 86_400_000), ("w", 7 * 86_400_000), ("d", 86_400_000),
    ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1),
)  # fmt: skip


def text(expr: Expr) -> str:
    """The expression on one line."""
    match expr:
        case Number():
            return _number(expr)
        case Text():
            return quoted(expr.value)
        case Selector():
            return _selector(expr)
        case Range():
            return _selector(expr.selector, f"[{_duration(expr.duration)}]")
        case Subquery():
            step = "" if expr.step is None else _duration(expr.step)
            inside = f"[{_duration(expr.duration)}:{step}]"
            return text(expr.expr) + inside + _modifiers(expr.at, expr.offset)
        case Paren():
            return f"({text(expr.expr)})"
        case Unary():
            return expr.op + text(expr.expr)
        case Binary():
            bool_word = " bool" if expr.returns_bool else ""
            matching = _matching(expr.matching)
            return f"{text(expr.left)} {expr.op}{bool_word}{matching} {text(expr.right)}"
        case Call():
            return f"{expr.function}({', '.join(text(arg) for arg in expr.args)})"
        case Aggregate():
            return _aggregate(expr)


def _number(number: Number) -> str:
    if number.seconds and number.value >= 0:
        return duration(number.value)
    return format_value(number.value)


def _aggregate(expr: Aggregate) -> str:
    param = "" if expr.param is None else f"{text(expr.param)}, "
    grouping = ""
    if expr.without or expr.grouping:
        grouping = f" {'without' if expr.without else 'by'} {_labels(expr.grouping)} "
    return f"{expr.op}{grouping}({param}{text(expr.expr)})"


def _labels(names: tuple[str, ...]) -> str:
    return f"({', '.join(label(name) for name in names)})"


def label(name: str) -> str:
    """A label name, in quotes where it needs them."""
    return name if _label.fullmatch(name) else quoted(name)


def _matching(matching: Matching) -> str:
    out = ""
    if matching.stated:
        out = f" {'on' if matching.on else 'ignoring'} {_labels(matching.labels)}"
    if matching.group:
        out += f" group_{matching.group} {_labels(matching.include)}"
    left, right = matching.fill_left, matching.fill_right
    if left is not None and right is not None and (left == right or left != left != right):
        return f"{out} fill ({format_value(left)})"
    out += "" if left is None else f" fill_left ({format_value(left)})"
    return out + ("" if right is None else f" fill_right ({format_value(right)})")


def _selector(selector: Selector, brackets: str = "") -> str:
    inside = [_matcher(m) for m in selector.matchers if not (selector.name and _names(m, selector))]
    out = selector.name + (f"{{{','.join(inside)}}}" if inside or not selector.name else "")
    extent = f" {selector.extent}" if selector.extent else ""
    return out + brackets + extent + _modifiers(selector.at, selector.offset)


def _names(found: Matcher, selector: Selector) -> bool:
    return found.name == NAME and found.op == "=" and found.value == selector.name


def _matcher(found: Matcher) -> str:
    if found.name == NAME and found.op == "=":
        return quoted(found.value)
    return f"{label(found.name)}{found.op}{quoted(found.value)}"


def _modifiers(at: Moment, offset: Duration | None) -> str:
    out = ""
    if isinstance(at, str):
        out = f" @ {at}()"
    elif at is not None:
        out = f" @ {at:.3f}"
    if offset is None or offset == 0:
        return out
    if isinstance(offset, float) and offset < 0:
        return f"{out} offset -{duration(-offset)}"
    shown = _duration(offset)
    return f"{out} offset {f'({shown})' if isinstance(offset, DurationOperation) else shown}"


def _duration(found: Duration) -> str:
    match found:
        case DurationCall():
            return f"{found.name}({', '.join(_duration(arg) for arg in found.args)})"
        case DurationOperation():
            return f"({_duration(found.left)} {found.op} {_duration(found.right)})"
        case _:
            return duration(found) if found >= 0 else f"-{duration(-found)}"


def duration(seconds: float) -> str:
    """`1h30m`, as short as it goes; a number where it is no whole milliseconds."""
    left = seconds * 1000
    if not math.isfinite(left) or abs(left - round(left)) > 1e-6:
        return format_value(seconds)
    rest = round(left)
    if rest == 0:
        return "0s"
    out = ""
    for unit, size in _UNITS:
        # Years and weeks only where they say all of it, as Prometheus writes them.
        if rest >= size and (size <= 86_400_000 or rest % size == 0):
            count, rest = divmod(rest, size)
            out += f"{count}{unit}"
    return out
