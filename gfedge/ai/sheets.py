"""The pipeline `sheet`: many pictures to one, and where each of them stands on it.

The layout follows from the sizes and the parameters alone, so that an atlas can be written from the record of a job.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import msgspec

from gfedge import errors, inference
from gfedge.ai.types import SheetParams, Submission
from gfedge.ai.work import Work, bytes_per_pixel
from gfedge.assets.types import AssetRow
from gfedge.inference.types import ModelFolder, Pixels
from gfedge.settings import Settings

Size = tuple[int, int]
"""Width and height."""


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """Where a picture stands: x and y of its upper left corner."""

    name: str
    sha256: str
    x: int
    y: int
    width: int
    height: int


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """A sheet and its frames, in the order that was asked for."""

    name: str
    width: int
    height: int
    frames: tuple[Frame, ...]


def prepare(params: SheetParams, model: ModelFolder | None, settings: Settings) -> SheetParams:
    names = params.names or [f"sprite-{i}" for i in range(len(params.pictures))]
    if len(names) != len(params.pictures):
        raise errors.Invalid(
            f"names: {len(names)} names for {len(params.pictures)} pictures", field="names"
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise errors.Invalid(f"names: {twice!r} is there more than once", field="names")
    return msgspec.structs.replace(params, names=names)


async def memory(work: Work, params: SheetParams) -> int:
    found = layout(params, work.submission.inputs)
    return found.width * found.height * bytes_per_pixel(1)


def price(found: Layout) -> float:
    """Megapixels, in one step."""
    return found.width * found.height / 1e6


async def run(work: Work, params: SheetParams) -> list[Pixels]:
    found = layout(params, work.submission.inputs)
    pictures = []
    for number, frame in enumerate(found.frames):
        work.cancel.check()
        pictures.append((frame.x, frame.y, await work.decoded(frame.sha256)))
        work.report("packing", number + 1, len(found.frames))
    size = (found.width, found.height)
    return [await asyncio.to_thread(inference.drawing.pasted, size, pictures)]


def of_job(job: Submission) -> Layout:
    """The layout of a sheet's job; Invalid where the job made none."""
    if job.kind != "sheet":
        raise errors.Invalid(
            f"job {job.id} is of kind {job.kind}: only a sheet (POST /ai/sheets) has an atlas",
            code="not_a_sheet",
        )
    return layout(msgspec.convert(job.params, SheetParams), job.inputs)


def layout(params: SheetParams, inputs: Sequence[AssetRow]) -> Layout:
    """A grid where all pictures are of one size or `columns` is given, else shelves of falling height."""
    assert params.names is not None
    known = {row.sha256: (row.width, row.height) for row in inputs}
    sizes = [known[sha256] for sha256 in params.pictures]
    pad = params.padding
    if params.columns or len(set(sizes)) == 1:
        places = _grid(sizes, params.columns or math.ceil(math.sqrt(len(sizes))), pad)
    else:
        places = _shelves(sizes, pad)
    width = max(x + w for (x, _), (w, _) in zip(places, sizes, strict=True)) + pad
    height = max(y + h for (_, y), (_, h) in zip(places, sizes, strict=True)) + pad
    if params.power_of_two:
        width, height = (1 << (side - 1).bit_length() for side in (width, height))
    frames = tuple(
        Frame(name=name, sha256=sha256, x=x, y=y, width=w, height=h)
        for name, sha256, (x, y), (w, h) in zip(
            params.names, params.pictures, places, sizes, strict=True
        )
    )
    return Layout(name=params.name, width=width, height=height, frames=frames)


def _grid(sizes: list[Size], columns: int, pad: int) -> list[Size]:
    wide, high = (max(size[i] for size in sizes) + pad for i in (0, 1))
    return [(pad + i % columns * wide, pad + i // columns * high) for i in range(len(sizes))]


def _shelves(sizes: list[Size], pad: int) -> list[Size]:
    """The highest first, from left to right, until a shelf is as wide as a square of all would be."""
    area = sum((w + pad) * (h + pad) for w, h in sizes)
    most = max(math.ceil(math.sqrt(area)), max(w for w, _ in sizes) + pad)
    places: dict[int, Size] = {}
    x = y = pad
    shelf = 0
    for i in sorted(range(len(sizes)), key=lambda i: (-sizes[i][1], i)):
        w, h = sizes[i]
        if x > pad and x + w > most:
            x, y, shelf = pad, y + shelf + pad, 0
        places[i] = (x, y)
        x, shelf = x + w + pad, max(shelf, h)
    return [places[i] for i in range(len(sizes))]
