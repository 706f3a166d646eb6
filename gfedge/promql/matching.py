"""Label matchers. Regular expressions are RE2's: linear in time, anchored at both ends, as Prometheus has them."""

from __future__ import annotations

import functools
import re
from typing import Literal

import re2

from gfedge.promql.types import Matcher, Pattern

REGEX_BYTES = 4096
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_plain = re.compile(r"[^\\.+*?()\[\]{}^$]*")


class BadRegex(ValueError):
    """A regular expression that RE2 refuses; the text says why."""


def matcher(name: str, op: Literal["=", "!=", "=~", "!~"], value: str) -> Matcher:
    """A matcher, with its pattern compiled; BadRegex where it cannot be."""
    return Matcher(name, op, value, compiled(value) if op in ("=~", "!~") else None)


@functools.lru_cache(maxsize=1000)
def compiled(text: str) -> Pattern:
    """Whether a value matches the whole expression; alternatives of plain words are looked up in a set."""
    if _plain.fullmatch(text):
        return frozenset(text.split("|")).__contains__
    if text == ".*":
        return lambda value: True
    if text == ".+":
        return bool
    found = regex(text).fullmatch
    return lambda value: found(value) is not None


@functools.lru_cache(maxsize=1000)
def regex(text: str) -> re2._Regexp:
    """The compiled expression, in which `.` takes newlines too."""
    if len(text) > REGEX_BYTES:
        raise BadRegex(f"regular expression is longer than {REGEX_BYTES} characters")
    try:
        re2.compile(text, options=_OPTIONS)  # bare first: `a)(b` would pass in the group
        return re2.compile(f"(?s:{text})", options=_OPTIONS)
    except re2.error as error:
        raise BadRegex(_reason(error, text)) from None


def _reason(error: Exception, text: str) -> str:
    """Go's words for it, where RE2 in C++ has others."""
    said = error.args[0].decode("utf-8", "replace") if error.args else ""
    what, _, part = said.partition(": ")
    words = {"missing )": "missing closing )", "missing ]": "missing closing ]"}
    return f"error parsing regexp: {words.get(what, what)}: `{part or text}`"
