"""Times as clients write them: Unix seconds or milliseconds, RFC 3339, or relative as in Grafana (`now-6h`)."""

from __future__ import annotations

import re
from datetime import datetime

from gfedge import errors

RELATIVE = re.compile(r"now(?:([-+])([0-9]{1,6})([smhdwMy]))?", re.ASCII)
UNITS = {
    "s": 1,
    "m": 60,
    "h": 3600,
    "d": 86_400,
    "w": 7 * 86_400,
    "M": 30 * 86_400,
    "y": 365 * 86_400,
}
MILLISECONDS_FROM = 1e11
"""A larger number is in milliseconds: as seconds it would be a year after 5000."""
FARTHEST = 253_402_300_800_000


def moment(text: str, now: int, field: str) -> int:
    """Unix milliseconds; raises Invalid. `now` is what `now` means."""
    if (relative := RELATIVE.fullmatch(text)) is not None:
        sign, count, unit = relative.groups()
        return now + (int(count) * UNITS[unit] * 1000 * (-1 if sign == "-" else 1) if sign else 0)
    try:
        number = float(text)
        found = number if abs(number) > MILLISECONDS_FROM else number * 1000
    except ValueError:
        found = _of_date(text, field) * 1000
    if not abs(found) < FARTHEST:  # NaN too
        raise _refused(text, field)
    return round(found)


def duration(text: str, field: str) -> int:
    """Milliseconds, of a number of seconds or `15s`, `1h30m`; raises Invalid."""
    parts = re.findall(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|[smhdwy])", text, re.ASCII)
    try:
        if parts and "".join(n + u for n, u in parts) == text:
            found = sum(float(n) * (0.001 if u == "ms" else UNITS[u]) for n, u in parts)
        else:
            found = float(text)
    except ValueError:
        found = 0.0
    if not 0.001 <= found <= 1e9:
        raise errors.Invalid(
            f"{field}: {text[:50]!r} is no duration; write seconds, or as 15s or 1h30m",
            code="bad_duration",
            field=field,
        )
    return round(found * 1000)


def _of_date(text: str, field: str) -> float:
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            raise ValueError("which zone?")
        return found.timestamp()
    except (ValueError, OverflowError):
        raise _refused(text, field) from None


def _refused(text: str, field: str) -> errors.Invalid:
    return errors.Invalid(
        f"{field}: {text[:50]!r} is no time; write Unix seconds, 2026-01-31T12:00:00Z, or now-6h",
        code="bad_time",
        field=field,
    )
