"""How far apart two pictures of one size are. Pure.

Compared is what is seen: colours count by their opacity, so what lies under nothing does not. PSNR as usual over 255;
SSIM by Wang et al. (2004) on luma, over square windows of 7 pixels with the constants of that paper.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from gfedge.inference.png import bands
from gfedge.inference.types import Pixels

WINDOW = 7
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""ITU-R BT.601."""
MOST_PIXELS = 16 << 20
"""Above it SSIM is left out: it takes some 40 bytes a pixel."""


class Likeness(msgspec.Struct, frozen=True, kw_only=True):
    """Two pictures compared."""

    psnr: float
    """dB; infinite where they look the same."""
    ssim: float | None
    """From -1 to 1, which is the same; None where they are too large for it."""
    largest_difference: int
    """Of any channel of any pixel, of 255; opacity is a channel."""


def compare(one: Pixels, other: Pixels) -> Likeness:
    """Raises ValueError where the sizes differ."""
    if one.shape != other.shape:
        raise ValueError(f"pictures of {one.shape} and {other.shape} cannot be compared")
    squares, largest = 0.0, 0.0
    for rows in bands(one):
        difference = np.abs(_seen(one[rows]) - _seen(other[rows]))
        squares += float(np.square(difference, dtype=np.float64).sum())
        largest = max(largest, float(difference.max()))
    mean = squares / one.size
    return Likeness(
        psnr=math.inf if mean == 0 else 10 * math.log10(255**2 / mean),
        ssim=_ssim(one, other) if one.shape[0] * one.shape[1] <= MOST_PIXELS else None,
        largest_difference=math.ceil(largest),
    )


def _seen(pixels: Pixels) -> NDArray[np.float32]:
    """Colours times opacity, and opacity; 0 to 255."""
    seen = pixels.astype(np.float32)
    seen[..., :3] *= seen[..., 3:] / 255
    return seen


def _ssim(one: Pixels, other: Pixels) -> float:
    """The mean over all windows; those of opacity count as much as those of luma."""
    a, b = _seen(one), _seen(other)
    return (_ssim_of(a[..., :3] @ LUMA, b[..., :3] @ LUMA) + _ssim_of(a[..., 3], b[..., 3])) / 2


def _ssim_of(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    mean_a, mean_b = _means(a), _means(b)
    var_a, var_b = _means(a * a) - mean_a**2, _means(b * b) - mean_b**2
    covariance = _means(a * b) - mean_a * mean_b
    above = (2 * mean_a * mean_b + C1) * (2 * covariance + C2)
    below = (mean_a**2 + mean_b**2 + C1) * (var_a + var_b + C2)
    return float((above / below).mean())


def _means(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """The mean of every window, by sums that are subtracted; windows of small pictures are as large as those."""
    h, w = (min(WINDOW, side) for side in values.shape)
    sums = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    sums[1:, 1:] = values.cumsum(0, np.float64).cumsum(1)
    sums /= h * w
    means: NDArray[np.float64] = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
    return means
