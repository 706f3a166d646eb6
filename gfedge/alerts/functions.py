"""The functions that templates may call: Prometheus' own, and those of Go's text/template. Each takes the context first."""

from __future__ import annotations

import html
import math
import re
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import re2

from gfedge.alerts.humanize import (
    duration,
    general,
    humanize,
    humanize1024,
    percentage,
    timestamp,
)
from gfedge.promql.matching import BadRegex, regex
from gfedge.promql.numbers import format_value

Sample = dict[str, Any]
"""`Labels` and `Value`, as `query` gives them."""
Query = Callable[[str], list[Sample]]


class TemplateFailed(Exception):
    """An expansion that cannot go on."""


def _no_query(text: str) -> list[Sample]:
    raise TemplateFailed("query is not available here")


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a template sees."""

    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    value: float = 0.0
    external_labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    external_url: str = ""
    query: Query = _no_query
    now: float = 0.0


# Values as Go writes and takes them


def written(value: Any) -> str:
    """Go's %v."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return general(value)
    if isinstance(value, datetime):
        return _time_text(value)
    if isinstance(value, Mapping):
        pairs = " ".join(f"{key}:{written(one)}" for key, one in sorted(value.items()))
        return f"map[{pairs}]"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + " ".join(written(one) for one in value) + "]"
    return str(value)


def truthy(value: Any) -> bool:
    """Whether `if` takes it for true: everything but zero and empty ones."""
    return bool(value) if not isinstance(value, float) else value != 0


def number(value: Any) -> float:
    """A number, or the text of one."""
    if isinstance(value, (int, float)):
        return float(value)
    try:
        return float(str(value).replace("_", "x"))
    except ValueError:
        raise TemplateFailed(f"{written(value)!r} is no number") from None


def _time_text(moment: datetime) -> str:
    part = f"{moment.microsecond:06d}".rstrip("0")
    return moment.strftime("%Y-%m-%d %H:%M:%S") + (f".{part}" if part else "") + " +0000 UTC"


# Go's own


_verb = re.compile(r"%([-+# 0]*)(\d+)?(?:\.(\d*))?([a-zA-Z%])")
MOST_WIDTH = 1000


def printf(context: Context, form: Any, *args: Any) -> str:
    """Go's Sprintf, for the verbs that alerts use."""
    left = list(args)

    def one(found: re.Match[str]) -> str:
        flags, width, precision, verb = found.groups()
        if verb == "%":
            return "%"
        if not left:
            return f"%!{verb}(MISSING)"
        if int(width or 0) > MOST_WIDTH or int(precision or 0) > MOST_WIDTH:
            raise TemplateFailed("the width is too large")
        return _padded(_verb_of(verb, flags, precision, left.pop(0)), flags, int(width or 0))

    text = _verb.sub(one, str(form))
    if left:
        extra = ", ".join(f"{_go_type(value)}={written(value)}" for value in left)
        text += f"%!(EXTRA {extra})"
    return text


def _verb_of(verb: str, flags: str, precision: str | None, value: Any) -> str:
    digits = int(precision or 0) if precision is not None else 6
    sign = "+" if "+" in flags else ""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    match verb:
        case "v":
            return written(value)
        case "s" if isinstance(value, str) or not is_number:
            text = written(value)
            return text[:digits] if precision is not None else text
        case "q" if isinstance(value, str):
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case "t" if isinstance(value, bool):
            return written(value)
        case "T":
            return _go_type(value)
        case "d" | "x" | "X" | "b" | "o" | "c" if isinstance(value, int) and is_number:
            return format(value, sign + verb)
        case "f" | "F" | "e" | "E" if isinstance(value, float):
            return _special(value) or format(value, f"{sign}.{digits}{verb}")
        case "g" | "G" if isinstance(value, float):
            if precision is None:
                return general(value)
            return _special(value) or format(value, f"{sign}.{digits or 1}{verb}")
    return f"%!{verb}({_go_type(value)}={written(value)})"


def _special(value: float) -> str:
    return "" if math.isfinite(value) else format_value(value)


def _padded(text: str, flags: str, width: int) -> str:
    if "-" in flags:
        return text.ljust(width)
    return text.zfill(width) if "0" in flags else text.rjust(width)


def _go_type(value: Any) -> str:
    kinds = ((bool, "bool"), (int, "int"), (float, "float64"), (str, "string"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "map[string]string")


def _print(context: Context, *args: Any) -> str:
    """Go puts a space between two that are no strings."""
    out = ""
    for at, value in enumerate(args):
        space = at and not isinstance(value, str) and not isinstance(args[at - 1], str)
        out += (" " if space else "") + written(value)
    return out


def _println(context: Context, *args: Any) -> str:
    return " ".join(map(written, args)) + "\n"


def _and(context: Context, *args: Any) -> Any:
    return next((value for value in args if not truthy(value)), args[-1])


def _or(context: Context, *args: Any) -> Any:
    return next((value for value in args if truthy(value)), args[-1])


def _index(context: Context, found: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(found, Mapping):
            found = found.get(key, "")
        elif isinstance(key, int) and isinstance(found, Sequence) and 0 <= key < len(found):
            found = found[key]
        else:
            raise TemplateFailed(f"index out of range: {written(key)}")
    return found


def _slice(context: Context, found: Any, start: int = 0, end: int | None = None) -> Any:
    if not 0 <= start <= (len(found) if end is None else end) <= len(found):
        raise TemplateFailed("index out of range")
    return found[start:end]


def _compare(test: Callable[[Any, Any], bool]) -> Callable[..., bool]:
    def compare(context: Context, left: Any, right: Any) -> bool:
        if isinstance(left, str) != isinstance(right, str):
            raise TemplateFailed("incompatible types for comparison")
        return test(left, right)

    return compare


def _eq(context: Context, left: Any, *others: Any) -> bool:
    if not others:
        raise TemplateFailed("missing argument for comparison")
    if any(isinstance(one, str) != isinstance(left, str) for one in others):
        raise TemplateFailed("incompatible types for comparison")
    return left in others


# Prometheus' own


def _query(context: Context, text: str) -> list[Sample]:
    return context.query(text)


def _first(context: Context, found: Sequence[Sample]) -> Sample:
    if not found:
        raise TemplateFailed("first() called on vector with no elements")
    return found[0]


def _label(context: Context, name: str, sample: Sample) -> str:
    return str(sample["Labels"].get(name, ""))


def _value(context: Context, sample: Sample) -> float:
    return float(sample["Value"])


def _strvalue(context: Context, sample: Sample) -> str:
    return str(sample["Labels"].get("__value__", ""))


def _sort_by_label(context: Context, name: str, found: Sequence[Sample]) -> list[Sample]:
    return sorted(found, key=lambda sample: sample["Labels"].get(name, ""))


def _re_replace_all(context: Context, pattern: str, by: str, text: str) -> str:
    """Go writes groups as `$1` or `${1}`; `$1x` names a group that is not there."""
    found = _regex(pattern)

    def one(match: Any) -> str:
        return re.sub(r"\$(?:\{(\w+)\}|(\w+)|(\$))", lambda name: _group(match, name), by)

    return str(found.sub(one, text))


def _group(match: Any, name: re.Match[str]) -> str:
    if name[3]:
        return "$"
    key = name[1] or name[2]
    try:
        return match[int(key) if key.isdecimal() else key] or ""
    except (IndexError, KeyError):
        return ""


def _match(context: Context, pattern: str, text: str) -> bool:
    return _regex(pattern).search(text) is not None


def _regex(pattern: str) -> re2._Regexp:
    try:
        return regex(pattern)
    except BadRegex as error:
        raise TemplateFailed(str(error)) from None


def _strip_port(context: Context, text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or (":" in host and not host.startswith("[")):
        return text
    return host.strip("[]")


def _strip_domain(context: Context, text: str) -> str:
    host, colon, port = text.partition(":")
    if re.fullmatch(r"[\d.]+", host) or text.count(":") > 1:
        return text
    return host.partition(".")[0] + colon + port


def _parse_duration(context: Context, text: str) -> float:
    from gfedge.alerts.rules import seconds

    try:
        return seconds(text)
    except ValueError:
        raise TemplateFailed(f"not a valid duration string: {text!r}") from None


def _to_time(context: Context, value: Any) -> datetime:
    try:
        return datetime.fromtimestamp(number(value), UTC)
    except (OverflowError, ValueError, OSError):
        raise TemplateFailed("not a time") from None


def _graph(tab: int) -> Callable[[Context, str], str]:
    def link(context: Context, expr: str) -> str:
        return f"/graph?g0.expr={urllib.parse.quote_plus(expr)}&g0.tab={tab}"

    return link


def _args(context: Context, *args: Any) -> dict[str, Any]:
    return {f"arg{at}": value for at, value in enumerate(args)}


def _title(context: Context, text: str) -> str:
    return re.sub(r"(?<!\w)\w", lambda found: found[0].upper(), text)


def _of_number(function: Callable[[float], str]) -> Callable[[Context, Any], str]:
    return lambda context, value: function(number(value))


def _of_text(function: Callable[[str], str]) -> Callable[[Context, Any], str]:
    return lambda context, value: function(written(value))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": _and,
    "args": _args,
    "eq": _eq,
    "externalURL": lambda context: context.external_url,
    "first": _first,
    "ge": _compare(lambda a, b: a >= b),
    "graphLink": _graph(0),
    "gt": _compare(lambda a, b: a > b),
    "html": _of_text(html.escape),
    "humanize": _of_number(humanize),
    "humanize1024": _of_number(humanize1024),
    "humanizeDuration": _of_number(duration),
    "humanizePercentage": _of_number(percentage),
    "humanizeTimestamp": _of_number(timestamp),
    "index": _index,
    "js": _of_text(lambda text: text),
    "label": _label,
    "le": _compare(lambda a, b: a <= b),
    "len": lambda context, found: len(found),
    "lt": _compare(lambda a, b: a < b),
    "match": _match,
    "ne": lambda context, left, right: not _eq(context, left, right),
    "not": lambda context, value: not truthy(value),
    "now": lambda context: context.now or time.time(),
    "or": _or,
    "parseDuration": _parse_duration,
    "pathPrefix": lambda context: urllib.parse.urlsplit(context.external_url).path,
    "print": _print,
    "printf": printf,
    "println": _println,
    "query": _query,
    "reReplaceAll": _re_replace_all,
    "safeHtml": _of_text(lambda text: text),
    "slice": _slice,
    "sortByLabel": _sort_by_label,
    "stripDomain": _strip_domain,
    "stripPort": _strip_port,
    "strvalue": _strvalue,
    "tableLink": _graph(1),
    "title": _title,
    "toDuration": lambda context, value: duration(number(value)),
    "toLower": _of_text(str.lower),
    "toTime": _to_time,
    "toUpper": _of_text(str.upper),
    "urlQueryEscape": _of_text(urllib.parse.quote_plus),
    "urlquery": _of_text(urllib.parse.quote_plus),
    "value": _value,
}
