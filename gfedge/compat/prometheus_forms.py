"""Parameters of the Prometheus API, in the query or in a form: times, durations, limits, selectors."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import parse_qsl

from aiohttp import web
from multidict import MultiDict

from gfedge import wire
from gfedge.promql import lexer
from gfedge.promql.parser import parse_selector
from gfedge.promql.types import QueryError, Selector

FORM = "application/x-www-form-urlencoded"
MOST_FIELDS = 1000
FARTHEST = 1 << 53
"""Milliseconds: times farther away are as good as never."""
_rfc3339 = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_number = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


class Form:
    """The parameters of one request; what is wrong with them is bad_data."""

    def __init__(self, values: MultiDict[str]) -> None:
        self._values = values

    @classmethod
    async def of(cls, request: web.Request) -> Form:
        """Of the form in the body first, then of the query."""
        values: MultiDict[str] = MultiDict()
        if request.method == "POST" and request.content_type == FORM:
            values.extend(_fields(await wire.read_json(request)))
        values.extend(request.query)
        return cls(values)

    def text(self, name: str) -> str:
        return self._values.get(name, "")

    def all(self, name: str) -> Sequence[str]:
        return self._values.getall(name, [])

    def time(self, name: str, default: int) -> int:
        """Milliseconds; seconds as a number or RFC 3339 in the request."""
        if not (written := self.text(name)):
            return default
        try:
            return milliseconds(written)
        except ValueError as error:
            raise invalid(name, f"invalid time value for '{name}': {error}") from None

    def duration(self, name: str, default: int) -> int:
        """Milliseconds; seconds as a number or `1h30m` in the request."""
        if not (written := self.text(name)):
            return default
        try:
            return duration(written)
        except ValueError as error:
            raise invalid(name, str(error)) from None

    def limit(self, name: str = "limit") -> int:
        """How many at most; 0 is no limit."""
        written = self.text(name)
        if not written:
            return 0
        if not re.fullmatch(r"[+-]?\d{1,18}", written):
            raise invalid(name, f"cannot parse {lexer.quoted(written)} to a valid limit")
        if (found := int(written)) < 0:
            raise invalid(name, "limit must be non-negative")
        return found

    def selectors(self) -> Sequence[Selector]:
        """Of match[]."""
        found = []
        for text in self.all("match[]"):
            try:
                found.append(parse_selector(text))
            except QueryError as error:
                raise invalid("match[]", str(error)) from None
        return found


def _fields(body: bytes) -> list[tuple[str, str]]:
    """Not `request.post()`, which decodes by any charset that a client names: some take their time, others are none."""
    try:
        text = body.decode().rstrip()
        return parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except UnicodeDecodeError:
        raise QueryError("bad_data", "the form is not UTF-8") from None
    except ValueError:
        raise QueryError("bad_data", f"the form has more than {MOST_FIELDS} fields") from None


def invalid(name: str, reason: str) -> QueryError:
    return QueryError("bad_data", f'invalid parameter "{name}": {reason}')


def milliseconds(written: str) -> int:
    """A time; ValueError where it is none. Grafana's probe asks for the year 57,000, so no calendar is asked."""
    if _number.fullmatch(written):
        value = float(written) * 1000
        if math.isfinite(value):
            return max(-FARTHEST, min(FARTHEST, round(value)))
    elif found := _rfc3339.fullmatch(written):
        whole, part, zone = found.groups()
        zone = "+00:00" if zone in "Zz" else zone
        try:
            seconds = datetime.fromisoformat(whole.upper() + zone).timestamp()
        except ValueError:
            pass
        else:
            return round(seconds) * 1000 + round(float(part or 0) * 1000)
    raise ValueError(f"cannot parse {lexer.quoted(written)} to a valid timestamp")


def duration(written: str) -> int:
    """A duration; ValueError where it is none."""
    if _number.fullmatch(written):
        value = float(written) * 1000
        if not abs(value) < FARTHEST * 1000:
            shown = lexer.quoted(written)
            raise ValueError(f"cannot parse {shown} to a valid duration. It overflows int64")
        return round(value)
    try:
        return lexer.milliseconds(written)
    except ValueError:
        raise ValueError(f"cannot parse {lexer.quoted(written)} to a valid duration") from None


def unescaped(name: str) -> str:
    """A label name as it is: those that are not plain come as `U__` and hexadecimal codes."""
    if not name.startswith("U__"):
        return name
    out = re.sub(r"__|_([0-9a-fA-F]{1,6})_", _character, name[3:])
    return out or name


def _character(found: re.Match[str]) -> str:
    if found[1] is None:
        return "_"
    code = int(found[1], 16)
    return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"
