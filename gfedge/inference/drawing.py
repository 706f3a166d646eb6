"""Pictures made to fit: outlines around sprites, pictures and masks brought to a model's size, sheets put together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gfedge.inference.palette import Colour
from gfedge.inference.types import Pixels


def outlined(pixels: Pixels, colour: Colour, width: int) -> Pixels:
    """The sprite with a line around what is visible, `width` pixels into what is not. The size stays: what reaches the
    picture's edge has no line there."""
    solid = pixels[..., 3] > 127
    grown = solid
    for _ in range(width):
        grown = _grown(grown)
    out = pixels.copy()
    out[grown & ~solid] = (*colour, 255)
    return out


def _grown(shape: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """One pixel larger to each of the four sides, so that corners become round."""
    padded = np.pad(shape, 1)
    return shape | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]


def fitted(pixels: Pixels, size: int) -> Pixels:
    """The whole picture in the middle of size x size pixels: shrunk by the mean of what each pixel covers, colours by
    their opacity; enlarged by whole pixels."""
    height, width = pixels.shape[:2]
    longer = max(height, width)
    if longer < size:
        grow = size // longer
        small = pixels.repeat(grow, 0).repeat(grow, 1)
    else:
        small = _shrunk(
            pixels, max(1, round(height * size / longer)), max(1, round(width * size / longer))
        )
    out = np.zeros((size, size, 4), np.uint8)
    top, left = (size - small.shape[0]) // 2, (size - small.shape[1]) // 2
    out[top : top + small.shape[0], left : left + small.shape[1]] = small
    return out


def _shrunk(pixels: Pixels, height: int, width: int) -> Pixels:
    if pixels.shape[:2] == (height, width):
        return pixels
    values = pixels.astype(np.float32)
    values[..., :3] *= values[..., 3:] / 255
    box = Image.Resampling.BOX
    planes = [
        np.asarray(Image.fromarray(values[..., i]).resize((width, height), box)) for i in range(4)
    ]
    small = np.stack(planes, -1)
    small[..., :3] *= 255 / np.maximum(small[..., 3:], 1e-3)
    shrunk: Pixels = np.clip(np.rint(small), 0, 255).astype(np.uint8)
    return shrunk


def mask_of(pixels: Pixels, size: int) -> NDArray[np.uint8]:
    """A mask [size, size]: 255 where the picture is mostly white, 0 where it is black or nothing."""
    small = fitted(pixels, size).astype(np.uint32)
    light = small[..., :3].mean(-1) * small[..., 3] / 255
    mask: NDArray[np.uint8] = np.where(light > 127, 255, 0).astype(np.uint8)
    return mask


def pasted(size: tuple[int, int], pictures: list[tuple[int, int, Pixels]]) -> Pixels:
    """A sheet of (width, height) with each picture at its (x, y)."""
    sheet = np.zeros((size[1], size[0], 4), np.uint8)
    for x, y, picture in pictures:
        sheet[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    return sheet


def composed(drawn: Pixels, given: Pixels, mask: bytes) -> Pixels:
    """What was drawn where the mask is not 0, and what was given elsewhere."""
    where = np.frombuffer(mask, np.uint8).reshape(*drawn.shape[:2], 1)
    return np.where(where, drawn, given)
