"""Searches among the few things that memory holds: clauses, order and pages over plain values. Pure."""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from gfedge.mlflow.filter import Clause, Key, Order
from gfedge.mlflow.refusals import Refused, invalid

T = TypeVar("T")
Value = str | float | None
Read = Callable[[T, Key], Value]
"""What a thing has for a key; None where it has nothing."""


class _Token(msgspec.Struct):
    offset: int


def search(
    things: Iterable[T], clauses: Sequence[Clause], orders: Sequence[Order], read: Read[T]
) -> list[T]:
    """Those that fit, in order; those without a value come last either way."""
    found = [one for one in things if all(_fits(read(one, c.key), c) for c in clauses)]
    for order in reversed(orders):
        held = [one for one in found if read(one, order.key) is not None]
        empty = [one for one in found if read(one, order.key) is None]
        key = functools.partial(_sorted_by, read, order.key)
        held.sort(key=key, reverse=order.descending)
        found = held + empty
    return found


def _sorted_by(read: Read[T], key: Key, one: T) -> Any:
    return read(one, key)


def cut(found: Sequence[T], max_results: int, page_token: str | None) -> tuple[Sequence[T], str]:
    """A page, and the token of the next one."""
    begin = offset(page_token)
    end = begin + max_results
    return found[begin:end], token(end) if len(found) > end else ""


def offset(page_token: str | None) -> int:
    if not page_token:
        return 0
    try:
        found = msgspec.json.decode(base64.b64decode(page_token, validate=True), type=_Token).offset
    except (ValueError, msgspec.MsgspecError):
        found = -1
    if found < 0:
        raise no_token(page_token)
    return found


def no_token(page_token: str) -> Refused:
    return invalid(f"Invalid page token, could not base64-decode: {page_token[:100]}")


def token(at: int) -> str:
    return base64.b64encode(msgspec.json.encode(_Token(at))).decode()


def like(pattern: str, *, any_case: bool) -> re.Pattern[str]:
    """A LIKE pattern as a regular expression: `%` is any text, `_` any character."""
    wild = {"%": ".*", "_": "."}
    text = "".join(wild.get(character) or re.escape(character) for character in pattern)
    return re.compile(text, re.DOTALL | (re.IGNORECASE if any_case else 0))


def _fits(value: Value, clause: Clause) -> bool:
    operator, wanted = clause.operator, clause.value
    if operator == "IS NULL":
        return value is None
    if operator == "IS NOT NULL":
        return value is not None
    if value is None:
        return False
    if operator in ("LIKE", "ILIKE"):
        pattern = like(str(wanted), any_case=operator == "ILIKE")
        return pattern.fullmatch(str(value)) is not None
    return bool(COMPARE[operator](value, wanted))


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda value, wanted: value == wanted,
    "!=": lambda value, wanted: value != wanted,
    ">": lambda value, wanted: value > wanted,
    ">=": lambda value, wanted: value >= wanted,
    "<": lambda value, wanted: value < wanted,
    "<=": lambda value, wanted: value <= wanted,
    "IN": lambda value, wanted: value in wanted,
    "NOT IN": lambda value, wanted: value not in wanted,
}
