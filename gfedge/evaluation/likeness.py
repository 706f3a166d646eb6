"""How much a sprite is like a training picture, whatever its colours: a small set is partly learned by heart."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gfedge.evaluation.colours import Bytes

Floats = npt.NDArray[np.floating[Any]]
ALIKE, SAME_OUTLINE = 0.9, 0.97


def brightness(pictures: Bytes) -> tuple[Floats, Floats]:
    """Grey values 0..1 and opacity 0 or 1 of pictures [n,side,side,4], each [n,side * side]."""
    flat = pictures.reshape(len(pictures), -1, 4).astype(np.float32) / 255
    return flat[..., :3].mean(-1), flat[..., 3]


def likeness(sprite: Bytes, known: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Share of pixels whose alpha agrees, and correlation of brightness where both are opaque, with each that is known."""
    (grey, opaque), (greys, opaques) = brightness(sprite[None]), known
    both = opaque * opaques
    count = np.maximum(both.sum(1, keepdims=True), 1)
    a = (grey - (grey * both).sum(1, keepdims=True) / count) * both
    b = (greys - (greys * both).sum(1, keepdims=True) / count) * both
    spread = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    return (opaque == opaques).mean(1), (a * b).sum(1) / np.maximum(spread, 1e-6)


def copies(sprites: Bytes, pictures: Bytes) -> tuple[float, float]:
    """(share of sprites that are one of the pictures but for colours, mean agreement with the nearest one's outline)."""
    known = brightness(pictures)
    alike, nearest = [], []
    for sprite in sprites:
        outline, shading = likeness(sprite, known)
        alike.append(bool(((outline > SAME_OUTLINE) & (shading > ALIKE)).any()))
        nearest.append(float(outline.max()))
    return float(np.mean(alike)), float(np.mean(nearest))
