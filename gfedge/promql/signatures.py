"""The functions of PromQL: what they take and give. Experimental ones are on."""

from __future__ import annotations

import msgspec

from gfedge.promql.syntax import ValueType


class Signature(msgspec.Struct, frozen=True):
    args: tuple[ValueType, ...]
    optional: int = 0
    """How many of the last arguments may be left out; -1: the last one may be repeated or left out."""
    returns: ValueType = "instant vector"


_KINDS: dict[str, ValueType] = {
    "v": "instant vector",
    "m": "range vector",
    "s": "scalar",
    "t": "string",
}


def _table() -> dict[str, Signature]:
    found = {}
    for names, args, optional, returns in _ROWS:
        signature = Signature(tuple(_KINDS[a] for a in args), optional, _KINDS[returns])
        found.update(dict.fromkeys(names.split(), signature))
    return found


_ROWS = (
    ("abs ceil floor exp ln log2 log10 sqrt sgn deg rad", "v", 0, "v"),
    ("sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh", "v", 0, "v"),
    ("absent sort sort_desc timestamp", "v", 0, "v"),
    ("scalar", "v", 0, "s"),
    ("time pi start end step range", "", 0, "s"),
    ("min_of max_of", "ss", 0, "s"),
    ("vector", "s", 0, "v"),
    ("minute hour day_of_week day_of_month day_of_year days_in_month month year", "v", 1, "v"),
    ("round", "vs", 1, "v"),
    ("clamp", "vss", 0, "v"),
    ("clamp_min clamp_max", "vs", 0, "v"),
    ("rate increase delta irate idelta deriv changes resets absent_over_time", "m", 0, "v"),
    ("avg_over_time sum_over_time min_over_time max_over_time count_over_time", "m", 0, "v"),
    ("last_over_time first_over_time present_over_time stddev_over_time", "m", 0, "v"),
    ("stdvar_over_time mad_over_time", "m", 0, "v"),
    ("ts_of_min_over_time ts_of_max_over_time", "m", 0, "v"),
    ("ts_of_last_over_time ts_of_first_over_time", "m", 0, "v"),
    ("quantile_over_time", "sm", 0, "v"),
    ("predict_linear", "ms", 0, "v"),
    ("double_exponential_smoothing", "mss", 0, "v"),
    ("histogram_quantile", "sv", 0, "v"),
    ("histogram_quantiles", "vtss", -1, "v"),
    ("histogram_avg histogram_count histogram_sum histogram_stddev histogram_stdvar", "v", 0, "v"),
    ("histogram_fraction", "ssv", 0, "v"),
    ("label_replace", "vtttt", 0, "v"),
    ("label_join", "vttt", -1, "v"),
    ("sort_by_label sort_by_label_desc", "vt", -1, "v"),
    ("info", "vv", 1, "v"),
)

SIGNATURES = _table()
ANCHORED = ("changes", "delta", "increase", "rate", "resets")
SMOOTHED = ("delta", "increase", "rate")
