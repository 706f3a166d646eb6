"""Few colours: a palette by median cut or a given one, and a plain background in place of transparency."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gfedge.inference.png import bands
from gfedge.inference.types import Pixels

Colour = tuple[int, int, int]
HEX = re.compile(r"#[0-9a-fA-F]{6}")
MAX_COLOURS = 256
SAMPLE = 1 << 20
"""Pixels that a palette is cut from at most; more are thinned out evenly."""


def parse_colour(text: str) -> Colour:
    """ "#rrggbb" as three numbers. Raises ValueError."""
    if not HEX.fullmatch(text):
        raise ValueError(f"{text!r} is not a colour: write #rrggbb")
    red, green, blue = bytes.fromhex(text[1:])
    return red, green, blue


def quantise(pixels: Pixels, palette: int | list[Colour]) -> Pixels:
    """The picture in at most `palette` colours, or in the colours of a given palette; alpha stays.

    No dithering: art for games wants flat areas. A number of colours is cut from the opaque pixels alone (median
    cut, Heckbert 1982), so that soft edges do not take places in it. Colours under alpha 0 become black, so equal
    shapes are equal bytes. Raises ValueError for a palette outside 1 to 256 colours.
    """
    count = palette if isinstance(palette, int) else len(palette)
    if not 1 <= count <= MAX_COLOURS:
        raise ValueError(f"a palette has 1 to {MAX_COLOURS} colours, not {count}")
    visible = pixels[..., 3] > 0
    colours = _median_cut(pixels, visible, palette) if isinstance(palette, int) else palette
    out = np.zeros_like(pixels)
    out[..., 3] = pixels[..., 3]
    if colours:
        out[visible, :3] = _nearest(pixels[visible, :3], np.array(colours, np.uint8))
    return out


def learned(pixels: Pixels, count: int) -> list[Colour]:
    """At most `count` colours of a picture, those that it has most use for. Raises ValueError where nothing is visible."""
    visible = pixels[..., 3] > 0
    if not visible.any():
        raise ValueError("the picture shows nothing: no palette can be learned from it")
    return _median_cut(pixels, visible, count)


def _median_cut(pixels: Pixels, visible: NDArray[np.bool_], count: int) -> list[Colour]:
    """At most `count` colours of the opaque pixels, or of the visible ones if none is opaque."""
    opaque = pixels[..., 3] == 255
    chosen = pixels[opaque if opaque.any() else visible, :3]
    chosen = np.ascontiguousarray(chosen[:: max(1, -(-len(chosen) // SAMPLE))])
    distinct = np.unique(_packed(chosen))
    if len(distinct) <= count:
        return [_unpacked(int(colour)) for colour in distinct]
    cut = Image.fromarray(chosen[None]).quantize(count, method=Image.Quantize.MEDIANCUT)
    found = bytes(cut.getpalette() or [])
    used = np.unique(np.asarray(cut)).tolist()
    return [(found[3 * i], found[3 * i + 1], found[3 * i + 2]) for i in used]


def _packed(colours: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """[n, 3] colours as one number each."""
    packed: NDArray[np.uint32] = colours.astype(np.uint32) @ np.array(
        [1 << 16, 1 << 8, 1], np.uint32
    )
    return packed


def _unpacked(colour: int) -> Colour:
    return colour >> 16, colour >> 8 & 255, colour & 255


def _nearest(colours: NDArray[np.uint8], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each of [n, 3] colours as the palette's nearest in RGB, the first of equals. Each distinct one is looked up once."""
    distinct, places = np.unique(_packed(colours), return_inverse=True)
    split = np.stack([distinct >> 16, distinct >> 8 & 255, distinct & 255], axis=-1).astype(
        np.int32
    )
    chosen = np.empty(len(split), np.intp)
    for band in bands(split, 1 << 16):
        apart = split[band, None] - palette[None].astype(np.int32)
        chosen[band] = (apart * apart).sum(axis=-1).argmin(axis=-1)
    return palette[chosen[places]]


def flatten(pixels: Pixels, background: Colour) -> Pixels:
    """The picture laid over a plain background: opaque everywhere."""
    out = np.empty_like(pixels)
    out[..., 3] = 255
    behind = np.array(background, np.uint32)
    for band in bands(pixels):
        alpha = pixels[band, :, 3:].astype(np.uint32)
        mixed = pixels[band, :, :3] * alpha + behind * (255 - alpha)
        out[band, :, :3] = (mixed + 127) // 255
    return out
