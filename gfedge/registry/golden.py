"""Golden inputs: what versions of a model are compared on. A few come with gfedge, a model's folder may bring more.

For upscaling, a golden input is a picture that is shrunk, enlarged by the model and compared with itself. For
generating it is a prompt; whether a picture was drawn at all can be seen without knowing what it should show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gfedge import inference
from gfedge.arrays import np
from gfedge.inference.folder import graph_bytes
from gfedge.inference.types import ModelFolder, Pixels
from gfedge.registry.types import GoldenInputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROMPTS = ("red potion", "long sword", "stone wall", "green dragon")
SIDE = 96
MAX_PIXELS = 1 << 20
DRAWN = (0.02, 1.0)
"""Share of visible pixels within which a sprite counts as drawn; it also needs more than one colour."""


def pictures(folder: ModelFolder) -> list[Pixels]:
    """The pictures that come with gfedge, and those of a superres folder, cut to a multiple of its scale. Blocks."""
    own = [
        inference.png.decode(graph_bytes(folder, name), MAX_PIXELS)
        for name in folder.golden.get("pictures", [])
    ]
    scale = int(folder.pipeline["scale"])
    return [_cut(picture, scale) for picture in [_disc(), _stripes(), _gem(), *own]]


def prompts(folder: ModelFolder) -> list[str]:
    return [*PROMPTS, *folder.golden.get("prompts", [])]


def inputs(folder: ModelFolder) -> GoldenInputs:
    """What versions like this one are given to be compared. Blocks."""
    if folder.kind == "generate":
        return GoldenInputs(prompts=prompts(folder))
    scale = int(folder.pipeline["scale"])
    small = (shrunk(picture, scale) for picture in pictures(folder))
    return GoldenInputs(pictures=[inference.png.encode(picture) for picture in small])


def shrunk(picture: Pixels, scale: int) -> Pixels:
    """The mean of each block of pixels, colours by their opacity."""
    height, width = picture.shape[0] // scale, picture.shape[1] // scale
    values = picture.astype(np.float64)
    values[..., :3] *= values[..., 3:]
    means = values.reshape(height, scale, width, scale, 4).mean((1, 3))
    opacity = np.maximum(means[..., 3:], 1e-9)
    means[..., :3] /= opacity
    small: Pixels = np.clip(np.rint(means), 0, 255).astype(np.uint8)
    return small


def is_drawn(picture: Pixels) -> bool:
    """Whether a sprite shows something: neither nothing nor one flat colour."""
    visible = picture[picture[..., 3] > 127]
    share = len(visible) / (picture.shape[0] * picture.shape[1])
    return DRAWN[0] <= share <= DRAWN[1] and len(np.unique(visible[:, :3], axis=0)) > 1


def _cut(picture: Pixels, scale: int) -> Pixels:
    height, width = (side // scale * scale for side in picture.shape[:2])
    return picture[:height, :width]


def _grid() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y, x = np.mgrid[:SIDE, :SIDE]
    return y - SIDE / 2 + 0.5, x - SIDE / 2 + 0.5


def _disc() -> Pixels:
    """A disc with a rim on nothing: curves, flat areas and hard alpha."""
    y, x = _grid()
    distance = np.hypot(y, x)
    picture = np.zeros((SIDE, SIDE, 4), np.uint8)
    picture[distance < 42] = (60, 10, 20, 255)
    picture[distance < 36] = (200, 40, 30, 255)
    picture[np.hypot(y + 14, x + 14) < 8] = (255, 200, 190, 255)
    return picture


def _stripes() -> Pixels:
    """Slanted stripes that become finer: what is lost first."""
    y, x = _grid()
    dark = np.sin((x + y) / 3 + (x / 24) ** 3) < 0
    picture = np.full((SIDE, SIDE, 4), (230, 210, 140, 255), np.uint8)
    picture[dark] = (90, 60, 30, 255)
    return picture


def _gem() -> Pixels:
    """A gem of flat facets with a soft edge: straight lines and half opacity."""
    y, x = _grid()
    size = np.abs(x) + np.abs(y)
    shade = np.select([x + y < -8, x - y > 8, y > 12], [220, 90, 60], 150)
    picture = np.zeros((SIDE, SIDE, 4), np.uint8)
    picture[..., 1], picture[..., 2] = shade, np.minimum(255, shade + 40)
    picture[..., 3] = np.clip((44 - size) * 64, 0, 255)
    return picture
