"""Quantiles of samples; NaN counts as the smallest of all."""

from __future__ import annotations

from gfedge.arrays import np
from gfedge.promql.types import Mask, Values


def quantile(values: Values, inside: Mask | None, fraction: Values | float) -> Values:
    """Along the first axis, over what is inside, interpolated between the two nearest samples.

    Below 0 it is -Inf, above 1 +Inf; NaN where nothing is inside.
    """
    values, inside = np.broadcast_arrays(values, True if inside is None else inside)
    counts = np.count_nonzero(inside, axis=0)
    unordered = np.count_nonzero(inside & np.isnan(values), axis=0)
    ordered = np.sort(np.where(inside, values, np.inf), axis=0)
    fraction = np.broadcast_to(fraction, counts.shape)
    with np.errstate(invalid="ignore"):
        rank = np.where((fraction >= 0) & (fraction <= 1), fraction, 0.0) * (counts - 1)
        lower = np.maximum(np.floor(rank), 0.0)
        upper = np.minimum(lower + 1, counts - 1)
        weight = rank - np.floor(rank)
        low = _ranked(ordered, lower - unordered)
        high = _ranked(ordered, upper - unordered)
        found = low * (1 - weight) + high * weight
        found = np.where(fraction < 0, -np.inf, np.where(fraction > 1, np.inf, found))
    return np.where(np.isnan(fraction) | (counts == 0), np.nan, found)


def _ranked(ordered: Values, rank: Values) -> Values:
    """The sample of a rank; NaN below 0, where the unordered ones are."""
    at = np.clip(rank, 0, len(ordered) - 1).astype(np.intp)
    return np.where(rank < 0, np.nan, np.take_along_axis(ordered, at[None], axis=0)[0])
