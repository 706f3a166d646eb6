"""Functions of each value by itself: mathematics, rounding, dates."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gfedge.arrays import np
from gfedge.promql.types import Values, Vector

if TYPE_CHECKING:
    from numpy.typing import NDArray

MATHS = {
    "abs": "abs", "ceil": "ceil", "floor": "floor", "exp": "exp", "ln": "log",
    "log2": "log2", "log10": "log10", "sqrt": "sqrt", "sgn": "sign",
    "deg": "degrees", "rad": "radians",
    "sin": "sin", "cos": "cos", "tan": "tan",
    "asin": "arcsin", "acos": "arccos", "atan": "arctan",
    "sinh": "sinh", "cosh": "cosh", "tanh": "tanh",
    "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh",
}  # fmt: skip
"""numpy's functions."""

_FARTHEST = 1e14
"""Seconds that numpy's calendar can take."""


def _at(values: Values) -> NDArray[np.datetime64]:
    usable = np.abs(values) < _FARTHEST
    return np.where(usable, values, 0.0).astype(np.int64).astype("datetime64[s]")


def _since(unit: str, whole: str) -> Callable[[Values], Values]:
    """How many units have passed of the whole: minutes of the hour, days of the year."""

    def count(values: Values) -> Values:
        at = _at(values).astype(f"datetime64[{unit}]")
        passed: Values = (at - at.astype(f"datetime64[{whole}]").astype(at.dtype)).astype(
            np.float64
        )
        return passed

    return count


def _days_in_month(values: Values) -> Values:
    month = _at(values).astype("datetime64[M]")
    following = (month + np.timedelta64(1, "M")).astype("datetime64[D]")
    days: Values = (following - month.astype("datetime64[D]")).astype(np.float64)
    return days


def _weekday(values: Values) -> Values:
    days = _at(values).astype("datetime64[D]").astype(np.int64)
    return ((days + 4) % 7).astype(np.float64)  # 1970 began on a Thursday


DATES: dict[str, Callable[[Values], Values]] = {
    "minute": _since("m", "h"),
    "hour": _since("h", "D"),
    "day_of_week": _weekday,
    "day_of_month": lambda values: _since("D", "M")(values) + 1,
    "day_of_year": lambda values: _since("D", "Y")(values) + 1,
    "days_in_month": _days_in_month,
    "month": lambda values: _since("M", "Y")(values) + 1,
    "year": lambda values: _at(values).astype("datetime64[Y]").astype(np.float64) + 1970,
}


def dated(name: str, values: Values) -> Values:
    """A date function; NaN of what is no time."""
    with np.errstate(invalid="ignore"):
        found = DATES[name](values)
        return np.where(np.abs(values) < _FARTHEST, found, np.nan)


def rounded(values: Values, nearest: Values) -> Values:
    """To the nearest multiple, halves up."""
    inverse = 1.0 / nearest
    return np.floor(values * inverse + 0.5) / inverse


def clamped(vector: Vector, low: Values, high: Values) -> Vector:
    """Nothing at steps where the bounds contradict each other."""
    values = np.minimum(np.maximum(vector.values, low), high)
    possible = ~(high < low)
    if possible.all():
        return Vector(vector.labels, values, vector.present)
    return Vector(vector.labels, values, vector.mask & possible)
