"""Numbers as Go prints them: the shortest digits that give the same float again."""

from __future__ import annotations

import math


def format_value(value: float) -> str:
    """As the HTTP API writes a sample: plain between 1e-6 and 1e21, else with an exponent of two digits."""
    if not math.isfinite(value):
        return "NaN" if value != value else ("+Inf" if value > 0 else "-Inf")
    written = repr(float(value))
    if "e" not in written:
        return written.removesuffix(".0")
    size = abs(value)
    if 1e-6 <= size < 1e21:
        return plain(written)
    return exponent(written)


def plain(written: str) -> str:
    """A Python float with an exponent, without it."""
    digits, _, power = written.partition("e")
    sign = "-" if digits.startswith("-") else ""
    whole, _, part = digits.lstrip("-").partition(".")
    shift = int(power)
    if shift < 0:
        return f"{sign}0.{'0' * (-shift - len(whole))}{whole}{part}"
    part = part.rstrip("0") if part != "0" else ""
    return f"{sign}{whole}{part.ljust(shift, '0')}"


def exponent(written: str) -> str:
    """A Python float with an exponent, in Go's form: `1e-07`, `1.5e+21`."""
    digits, _, power = written.partition("e")
    number = int(power)
    return f"{digits.removesuffix('.0')}e{'-' if number < 0 else '+'}{abs(number):02d}"


def general(value: float) -> str:
    """Go's `%v`: an exponent from 1e21 and below 1e-4."""
    if not math.isfinite(value) or not (0 < abs(value) < 1e-4):
        return format_value(value)
    written = repr(float(value))
    return exponent(written if "e" in written else f"{value:e}")


def label_of_float(value: float) -> str:
    """As `le` and `quantile` labels are written: at least one decimal, `1.0`, `+Inf`."""
    written = format_value(value)
    return written if any(c in written for c in ".eNI") else f"{written}.0"
