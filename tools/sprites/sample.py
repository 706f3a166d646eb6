"""The sampler in numpy, for any function that gives a velocity: Euler steps with guidance.

The noise of an image comes from one Philox stream a seed, so an image depends on its prompt and
seed alone, not on the images sampled beside it.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from PIL import Image

from gfedge.inference.words import Encoded

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Velocity = Callable[[Floats, Floats, Ints, Ints], Floats]


def noise(seed: int, size: int = 32) -> Floats:
    """Standard normal noise [4,size,size] of a seed."""
    stream = np.random.Generator(np.random.Philox(seed))
    return stream.standard_normal((4, size, size), np.float32)


def sample(
    velocity: Velocity,
    captions: Sequence[Encoded],
    seeds: Sequence[int],
    steps: int = 20,
    guidance: float = 2.5,
    size: int = 32,
) -> Floats:
    """Premultiplied images [n,4,size,size] in about [-1,1].

    Classifier-free guidance: velocities with and without caption come from one doubled batch.
    """
    n, blank = len(seeds), np.zeros_like
    words, subwords = (
        np.stack([c.words for c in captions]),
        np.stack([c.subwords for c in captions]),
    )
    words, subwords = (
        np.concatenate([words, blank(words)]),
        np.concatenate([subwords, blank(subwords)]),
    )
    x, times = (
        np.stack([noise(s, size) for s in seeds]),
        np.linspace(1, 0, steps + 1, dtype=np.float32),
    )
    for t, after in pairwise(times):
        v = velocity(np.concatenate([x, x]), np.full(2 * n, t, np.float32), words, subwords)
        told, untold = v[:n], v[n:]
        x = x + (after - t) * (untold + np.float32(guidance) * (told - untold))
    return x


def sprites(x: Floats, palette: int = 24) -> Bytes:
    """Straight RGBA [n,32,32,4], alpha 0 or 255, colours by median cut over the opaque pixels."""
    unit = (np.clip(x, -1, 1) + 1) / 2
    opaque = unit[:, 3:] > 0.5
    colour = np.clip(unit[:, :3] / np.maximum(unit[:, 3:], 0.5), 0, 1) * opaque
    full = (
        np.round(np.concatenate([colour, opaque], 1) * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    )
    return np.stack([reduced(sprite, palette) for sprite in full])


def reduced(sprite: Bytes, palette: int) -> Bytes:
    """The sprite [32,32,4] with at most `palette` colours, no dithering."""
    opaque = sprite[..., 3] > 0
    if not opaque.any():
        return sprite
    chosen = Image.fromarray(sprite[opaque][None, :, :3]).quantize(
        palette, method=Image.Quantize.MEDIANCUT
    )
    flat = Image.fromarray(sprite[..., :3]).quantize(palette=chosen, dither=Image.Dither.NONE)
    return np.concatenate([np.array(flat.convert("RGB")) * opaque[..., None], sprite[..., 3:]], -1)
