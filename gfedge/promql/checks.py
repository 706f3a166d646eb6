"""Whether the types of an expression fit together, in Prometheus' words."""

from __future__ import annotations

from typing import NoReturn

from gfedge.promql.lexer import ParseError, quoted
from gfedge.promql.signatures import SIGNATURES
from gfedge.promql.syntax import (
    COMPARISONS,
    SET_OPERATORS,
    Aggregate,
    Binary,
    Call,
    Expr,
    Number,
    Paren,
    Range,
    Selector,
    Span,
    Subquery,
    Text,
    Unary,
    ValueType,
    children,
    unwrapped,
)


def value_type(expr: Expr) -> ValueType:
    """What the expression gives."""
    match expr:
        case Number():
            return "scalar"
        case Text():
            return "string"
        case Range() | Subquery():
            return "range vector"
        case Call():
            return SIGNATURES[expr.function].returns
        case Paren() | Unary():
            return value_type(expr.expr)
        case Binary():
            scalars = value_type(expr.left) == value_type(expr.right) == "scalar"
            return "scalar" if scalars else "instant vector"
        case _:
            return "instant vector"


def check(text: str, expr: Expr) -> None:
    """ParseError at the first place where a type does not fit."""
    for child in children(expr):
        if isinstance(expr, Call) and expr.function == "info" and child is not expr.args[0]:
            continue  # its second argument is no selector of its own
        check(text, child)
    match expr:
        case Call():
            _check_call(text, expr)
        case Aggregate():
            _check_aggregate(text, expr)
        case Unary() if value_type(expr.expr) not in ("scalar", "instant vector"):
            got = value_type(expr.expr)
            _fail(
                text,
                expr.span,
                f'unary expression only allowed on expressions of type scalar or instant vector, got "{got}"',
            )
        case Subquery() if value_type(expr.expr) != "instant vector":
            got = value_type(expr.expr)
            _fail(
                text,
                expr.span,
                f"subquery is only allowed on instant vector, got {_short(got)} instead",
            )
        case Selector() if all(m.matches("") for m in expr.matchers):
            _fail(text, expr.span, "vector selector must contain at least one non-empty matcher")
        case _:
            pass


def _short(kind: ValueType) -> str:
    return "matrix" if kind == "range vector" else kind


def _fail(text: str, span: Span, reason: str) -> NoReturn:
    raise ParseError(text, span, reason)


def _expect(text: str, expr: Expr, wanted: ValueType, context: str) -> None:
    if (got := value_type(expr)) != wanted:
        _fail(text, expr.span, f"expected type {wanted} in {context}, got {got}")


def _check_call(text: str, call: Call) -> None:
    signature = SIGNATURES[call.function]
    name, got, most = quoted(call.function), len(call.args), len(signature.args)
    if signature.optional == 0 and got != most:
        _fail(text, call.span, f"expected {most} argument(s) in call to {name}, got {got}")
    least = most - abs(signature.optional)
    if got < least:
        _fail(
            text, call.span, f"expected at least {least} argument(s) in call to {name}, got {got}"
        )
    if signature.optional > 0 and got > most:
        _fail(text, call.span, f"expected at most {most} argument(s) in call to {name}, got {got}")
    for number, arg in enumerate(call.args):
        wanted = signature.args[min(number, most - 1)]
        _expect(text, arg, wanted, f"call to function {name}")
    if call.function == "info" and got == 2:
        _check_info(text, call.args[1])


def _check_info(text: str, arg: Expr) -> None:
    """The second argument stands for labels, so it is a selector without a name before its braces."""
    found = unwrapped(arg)
    if not isinstance(found, Selector):
        _fail(text, arg.span, "expected label selectors only")
    if found.name:
        _fail(text, arg.span, "expected label selectors only, got vector selector instead")


def _check_aggregate(text: str, expr: Aggregate) -> None:
    _expect(text, expr.expr, "instant vector", "aggregation expression")
    if expr.param is not None:
        wanted: ValueType = "string" if expr.op == "count_values" else "scalar"
        _expect(text, expr.param, wanted, "aggregation parameter")


def check_binary(text: str, expr: Binary, operator: Span) -> None:
    """The rules that need the place of the operator; the parser asks when it has both sides."""
    left, right = value_type(expr.left), value_type(expr.right)
    matching, sets = expr.matching, expr.op in SET_OPERATORS
    if expr.returns_bool and expr.op not in COMPARISONS:
        _fail(text, operator, "bool modifier can only be used on comparison operators")
    if expr.op in COMPARISONS and not expr.returns_bool and left == right == "scalar":
        _fail(text, operator, "comparisons between scalars must use BOOL modifier")
    for label in matching.labels if matching.on else ():
        if label in matching.include:
            _fail(
                text,
                operator,
                f"label {quoted(label)} must not occur in ON and GROUP clause at once",
            )
    for side, kind in ((expr.left, left), (expr.right, right)):
        if kind not in ("scalar", "instant vector"):
            _fail(
                text,
                side.span,
                "binary expression must contain only scalar and instant vector types",
            )
    if left != "instant vector" or right != "instant vector":
        if matching.stated:
            _fail(text, expr.span, "vector matching only allowed between instant vectors")
        if matching.filled:
            _fail(text, expr.span, "filling in missing series only allowed between instant vectors")
        if sets:
            _fail(
                text,
                expr.span,
                f"set operator {quoted(expr.op)} not allowed in binary scalar expression",
            )
    elif sets:
        if matching.group:
            _fail(text, expr.span, f"no grouping allowed for {quoted(expr.op)} operation")
        if matching.filled:
            _fail(text, expr.span, "filling in missing series not allowed for set operators")
