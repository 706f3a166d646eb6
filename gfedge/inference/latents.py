"""Pictures as the sampler sees them: float32 [4, size, size], premultiplied RGBA in -1..1."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gfedge.inference.types import Pixels

Latent: TypeAlias = NDArray[np.float32]


def to_pixels(x: Latent) -> Pixels:
    """Straight-alpha pixels: alpha is hard at one half, colours under none are 0."""
    values = (np.clip(x, -1, 1) + 1) / 2
    visible = values[3] > 0.5
    colours = np.clip(values[:3] / np.maximum(values[3], np.float32(0.5)), 0, 1) * visible
    out = np.empty((*visible.shape, 4), np.uint8)
    out[..., :3] = np.rint(colours * 255).transpose(1, 2, 0)
    out[..., 3] = visible * np.uint8(255)
    return out


def to_latent(pixels: Pixels) -> Latent:
    """What `to_pixels` gives back where alpha is hard."""
    values = pixels.astype(np.float32) / np.float32(255)
    values[..., :3] *= values[..., 3:]
    return np.ascontiguousarray(values.transpose(2, 0, 1)) * np.float32(2) - np.float32(1)
