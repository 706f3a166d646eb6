"""Numbers for people, digit for digit as Prometheus' templates write them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from gfedge.promql.numbers import exponent, format_value

LARGE = ("k", "M", "G", "T", "P", "E", "Z", "Y")
SMALL = ("m", "u", "n", "p", "f", "a", "z", "y")
BINARY = ("ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi")


def general(value: float) -> str:
    """Go's %v: the fewest digits, with an exponent below 1e-4 and from a million on."""
    found = scientific(value)
    power = found.partition("e")[2]
    return found if power and not -4 <= int(power) < 6 else format_value(value)


def scientific(value: float) -> str:
    """Go's 'e' format with the fewest digits: `1.5e+06`, as the API writes an alert's value."""
    if not math.isfinite(value):
        return format_value(value)
    text = repr(value)
    digits = len(text.partition("e")[0].replace("-", "").replace(".", "").strip("0")) or 1
    for precision in range(max(0, digits - 2), 18):
        found = f"{value:.{precision}e}"
        if float(found) == value:
            return exponent(found) if "e" in found else found
    return f"{value:e}"


def short(value: float) -> str:
    """Go's %.4g."""
    if not math.isfinite(value):
        return format_value(value)
    found = f"{value:.4g}"
    return exponent(found) if "e" in found else found


def humanize(value: float) -> str:
    """With an SI prefix: 1.235M, 1.23m."""
    if value == 0 or not math.isfinite(value):
        return short(value)
    prefix = ""
    if abs(value) >= 1:
        for prefix_of in LARGE:
            if abs(value) < 1000:
                break
            prefix, value = prefix_of, value / 1000
        return short(value) + prefix
    for prefix_of in SMALL:
        if abs(value) >= 1:
            break
        prefix, value = prefix_of, value * 1000
    return short(value) + prefix


def humanize1024(value: float) -> str:
    """With a binary prefix: 1.177Mi."""
    if abs(value) <= 1 or not math.isfinite(value):
        return short(value)
    prefix = ""
    for prefix_of in BINARY:
        if abs(value) < 1024:
            break
        prefix, value = prefix_of, value / 1024
    return short(value) + prefix


def percentage(ratio: float) -> str:
    """0.1234567 is 12.35%."""
    return short(ratio * 100) + "%"


def duration(seconds: float) -> str:
    """1d 1h 1m 1s, or 1.5s, or 500ms."""
    if not math.isfinite(seconds):
        return short(seconds)
    if seconds == 0:
        return "0s"
    if abs(seconds) < 1:
        prefix = ""
        for prefix_of in SMALL:
            if abs(seconds) >= 1:
                break
            prefix, seconds = prefix_of, seconds * 1000
        return f"{short(seconds)}{prefix}s"
    sign, left = ("-", -seconds) if seconds < 0 else ("", seconds)
    whole = int(left)
    days, hours, minutes = whole // 86_400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {whole % 60}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {whole % 60}s"
    if minutes:
        return f"{sign}{minutes}m {whole % 60}s"
    return f"{sign}{short(left)}s"


def timestamp(seconds: float) -> str:
    """2015-06-23 13:19:44.128 +0000 UTC."""
    if not math.isfinite(seconds):
        return short(seconds)
    try:
        found = datetime.fromtimestamp(math.floor(seconds), UTC)
    except (OverflowError, ValueError, OSError):
        return short(seconds)
    part = f"{round((seconds - math.floor(seconds)) * 1e9) // 1_000_000:03d}".rstrip("0")
    return found.strftime("%Y-%m-%d %H:%M:%S") + (f".{part}" if part else "") + " +0000 UTC"
