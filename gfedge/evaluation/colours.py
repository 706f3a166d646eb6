"""Colours of sprites: naming them from pixels, turning hues and tinting grey things."""

from collections import Counter

import numpy as np
import numpy.typing as npt
from PIL import Image

Bytes = npt.NDArray[np.uint8]

HUES = (
    (0, 16, "red"),
    (16, 42, "orange"),
    (42, 68, "yellow"),
    (68, 165, "green"),
    (165, 198, "cyan"),
    (198, 255, "blue"),
    (255, 292, "purple"),
    (292, 340, "pink"),
    (340, 361, "red"),
)
WEIGHTS = {"black": 0.25, "gray": 0.6}
GREYS = frozenset(("black", "gray", "white"))


def hsv_of(rgb: Bytes) -> tuple[npt.NDArray[np.float32], ...]:
    """Hue in degrees, saturation and value in 0..1 of pixels [n,3]."""
    f = rgb.astype(np.float32) / 255
    value, low = f.max(1), f.min(1)
    spread = np.maximum(value - low, 1e-6)
    r, g, b = f.T
    sector = np.where(
        value == r,
        ((g - b) / spread) % 6,
        np.where(value == g, (b - r) / spread + 2, (r - g) / spread + 4),
    )
    return sector * 60, np.where(value > 0, (value - low) / np.maximum(value, 1e-6), 0), value


def names_of(rgb: Bytes) -> npt.NDArray[np.object_]:
    """One of 13 colour words for each pixel of [n,3]."""
    hue, saturation, value = hsv_of(rgb)
    coloured = (saturation > 0.28) & (value > 0.18)
    names = np.full(len(rgb), "gray", dtype=object)
    names[~coloured & (value < 0.22)] = "black"
    names[~coloured & (value >= 0.72)] = "white"
    for low, high, name in HUES:
        names[coloured & (hue >= low) & (hue < high)] = name
    names[coloured & (hue >= 10) & (hue < 48) & (value < 0.62)] = "brown"
    names[coloured & (hue >= 36) & (hue < 58) & (value >= 0.7) & (saturation > 0.45)] = "gold"
    return names


def dominant(picture: Bytes) -> list[str]:
    """Up to two colour words of [32,32,4], each above 22% of the pixels; greys weigh less."""
    weight: dict[str, float] = {}
    for name, count in Counter(names_of(picture[picture[..., 3] > 0][:, :3])).items():
        weight[name] = count * WEIGHTS.get(name, 1.0)
    total = sum(weight.values()) or 1
    return [
        name
        for name in sorted(weight, key=weight.__getitem__, reverse=True)[:2]
        if weight[name] / total > 0.22
    ]


def recoloured(picture: Bytes, turn: float) -> Bytes:
    """A copy of [32,32,4] with its hues turned by `turn` (0..1); a grey one is tinted with it."""
    hsv = np.array(Image.fromarray(picture[..., :3]).convert("HSV")).astype(np.int32)
    opaque = picture[..., 3] > 0
    hsv[..., 0] = (hsv[..., 0] + round(turn * 256)) % 256
    if set(dominant(picture)) <= GREYS:
        tint = (hsv[..., 1] < 90) & (hsv[..., 2] < 235)
        hsv[..., 0][tint] = round(turn * 256) % 256
        hsv[..., 1][tint] = 150
    flat = Image.frombytes("HSV", hsv.shape[1::-1], hsv.astype(np.uint8).tobytes())
    rgb = np.array(flat.convert("RGB"))
    return np.concatenate([rgb * opaque[..., None], picture[..., 3:]], -1).astype(np.uint8)
