"""The mathematics of upscaling a picture in tiles: windows, edge bleeding, alpha planes, area reduction.

Nothing here runs a graph. A tile is computed from a window of the picture that reaches one receptive radius beyond
it, so tiles put together are bit for bit the untiled result; bleeding is local too and is done per window, so only
uint8 pictures are ever held whole. Arithmetic on windows is element by element: no sum depends on a tile's size.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from gfedge.inference.types import Pixels

Plane = NDArray[np.float32]
"""A picture for the net: float32 [1, 3, height, width] in 0..1."""

NET_SCALE = 4
BLEED = 16
"""Steps, and so pixels, by which visible colours spread into transparent ones."""
EDGE = 4
"""Pixels of edge replication around a picture; more makes the border of this net no better (measured)."""


class Tile(msgspec.Struct, frozen=True):
    """A rectangle of the source picture and the window that is fed to the net for it.

    All numbers are source pixels; `window_top` and `window_left` may be negative, where the padding is.
    """

    top: int
    left: int
    height: int
    width: int
    window_top: int
    window_left: int
    window_height: int
    window_width: int


def padding(tileable: bool, radius: int) -> int:
    """Pixels around the picture: a whole radius of wrapping makes seams impossible, a plain border needs few."""
    return radius if tileable else EDGE


def grid(height: int, width: int, tile: int, radius: int, pad: int) -> list[Tile]:
    """Tiles of at most `tile` pixels a side, as even as can be, with windows of one size.

    A window that would leave the padded picture is moved inwards: it then sees the border just as the untiled
    net does.
    """
    rows = list(_spans(height, tile, radius, pad))
    columns = list(_spans(width, tile, radius, pad))
    return [
        Tile(top, left, high, wide, window_top, window_left, window_height, window_width)
        for top, high, window_top, window_height in rows
        for left, wide, window_left, window_width in columns
    ]


def _spans(size: int, tile: int, radius: int, pad: int) -> Iterator[tuple[int, int, int, int]]:
    """Along one axis: start and length of each tile, start and length of its window."""
    side = -(-size // -(-size // tile))
    reach = min(size + 2 * pad, side + 2 * radius)
    for start in range(0, size, side):
        window = min(max(start - radius, -pad), size + pad - reach)
        yield start, min(side, size - start), window, reach


def planes(image: Pixels, tile: Tile, *, tileable: bool, is_opaque: bool) -> list[Plane]:
    """What the net is fed for a tile: the bled colours and, unless the whole picture is opaque, alpha as grey."""
    halo = 0 if is_opaque else BLEED
    rows, inner_rows = _reach(tile.window_top, tile.window_height, image.shape[0], halo, tileable)
    columns, inner_columns = _reach(
        tile.window_left, tile.window_width, image.shape[1], halo, tileable
    )
    block = image[np.ix_(rows, columns)]
    if is_opaque:
        inner = block[inner_rows[:, None], inner_columns, :3]
        return [np.ascontiguousarray(inner.transpose(2, 0, 1)[None], np.float32) / np.float32(255)]
    rgb = bleed(block)[:, inner_rows[:, None], inner_columns] / np.float32(255)
    alpha = block[inner_rows[:, None], inner_columns, 3].astype(np.float32) / np.float32(255)
    return [rgb[None], np.repeat(alpha[None, None], 3, axis=1)]


def _reach(
    start: int, length: int, size: int, halo: int, wrap: bool
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Source indices along one axis with a halo, and where among them the window's own pixels are."""
    if wrap:
        return np.arange(start - halo, start + length + halo) % size, np.arange(halo, halo + length)
    inside = np.clip(np.arange(start, start + length), 0, size - 1)
    first, last = max(0, int(inside[0]) - halo), min(size, int(inside[-1]) + halo + 1)
    return np.arange(first, last), inside - first


def bleed(block: Pixels) -> NDArray[np.float32]:
    """Colours float32 [3, h, w] in 0..255 of RGBA [h, w, 4], spread into transparent pixels.

    In each of BLEED steps a transparent pixel beside visible ones takes the mean of those of its 8 neighbours, so
    that no dark rim reaches an edge. Exact everywhere but within BLEED pixels of where the block was cut.
    """
    visible = block[..., 3] > 0
    colours = np.ascontiguousarray(np.moveaxis(block[..., :3], -1, 0), dtype=np.float32) * visible
    weight = visible.astype(np.float32)
    for _ in range(BLEED):
        around = _box_sum(weight)
        fresh = (weight == 0) & (around > 0)
        if not fresh.any():
            break
        colours[:, fresh] = _box_sum(colours)[:, fresh] / around[fresh]
        weight[fresh] = 1
    return colours


def _box_sum(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum over 3x3 pixels along the last two axes, zeros outside."""
    rows = values.copy()
    rows[..., 1:, :] += values[..., :-1, :]
    rows[..., :-1, :] += values[..., 1:, :]
    out = rows.copy()
    out[..., :, 1:] += rows[..., :, :-1]
    out[..., :, :-1] += rows[..., :, 1:]
    return out


def paste(out: Pixels, tile: Tile, made: list[Plane], factor: int) -> None:
    """Crop what the net made of a tile's planes, reduce it from x4 to `factor`, round, and write it to its place."""
    top, left = tile.top * factor, tile.left * factor
    target = out[top : top + tile.height * factor, left : left + tile.width * factor]
    target[..., :3] = _to_bytes(_inner(made[0], tile, factor)).transpose(1, 2, 0)
    if len(made) > 1:
        target[..., 3] = _to_bytes(_inner(made[1], tile, factor).mean(axis=0))
    else:
        target[..., 3] = 255


def _inner(made: Plane, tile: Tile, factor: int) -> NDArray[np.float32]:
    """The tile's own part [3, h * factor, w * factor] of what came out of its window."""
    top = (tile.top - tile.window_top) * NET_SCALE
    left = (tile.left - tile.window_left) * NET_SCALE
    rows = slice(top, top + tile.height * NET_SCALE)
    columns = slice(left, left + tile.width * NET_SCALE)
    return reduced(made[0, :, rows, columns], factor)


def _to_bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    whole = np.multiply(values, np.float32(255))
    np.rint(whole, out=whole)
    return np.clip(whole, 0, 255, out=whole).astype(np.uint8)


def reduced(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """[c, 4h, 4w] to [c, factor * h, factor * w] by area, aligned to source pixels."""
    if factor == NET_SCALE:
        return values
    return _reduced_rows(_reduced_rows(values, factor).swapaxes(1, 2), factor).swapaxes(1, 2)


def _reduced_rows(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    channels, rows, columns = values.shape
    out = np.zeros((channels, rows // NET_SCALE * factor, columns), np.float32)
    for i, weights in enumerate(_area_weights(factor)):
        for j, weight in weights:
            out[:, i::factor] += np.float32(weight) * values[:, j::NET_SCALE]
    return out


@functools.cache
def _area_weights(factor: int) -> list[list[tuple[int, float]]]:
    """For each of `factor` pixels: which of the four it covers, and how much of it lies on each."""
    step = NET_SCALE / factor
    return [
        [
            (j, overlap / step)
            for j in range(NET_SCALE)
            if (overlap := min((i + 1) * step, j + 1) - max(i * step, j)) > 1e-9
        ]
        for i in range(factor)
    ]


def passes(scale: int) -> list[int]:
    """The factors that make up a scale: 8 is a pass of 4 and a pass of 2."""
    return [4, 2] if scale == 8 else [scale]
