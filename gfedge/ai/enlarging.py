"""The pipeline `superres`: a picture to a larger one."""

from __future__ import annotations

import asyncio

import msgspec

from gfedge import errors
from gfedge.ai.types import SuperresParams
from gfedge.ai.work import Work, bytes_per_pixel
from gfedge.assets.types import AssetRow
from gfedge.inference.types import ModelFolder, Pixels, UpscaleRequest
from gfedge.settings import Settings


def prepare(
    params: SuperresParams, model: ModelFolder | None, settings: Settings
) -> SuperresParams:
    if params.mode == "pixel" and params.model is not None:
        raise errors.Invalid("model: mode pixel repeats pixels and runs no model", field="model")
    default = model.defaults.get("scale", 4) if model is not None else 4
    return msgspec.structs.replace(params, scale=params.scale or default)


async def memory(work: Work, params: SuperresParams) -> int:
    image = work.submission.inputs[0]
    return image.width * image.height * bytes_per_pixel(params.scale or 4)


def price(params: SuperresParams, image: AssetRow) -> float:
    """Megapixels that come out, in one step."""
    return image.width * image.height * (params.scale or 4) ** 2 / 1e6


async def run(work: Work, params: SuperresParams) -> list[Pixels]:
    assert params.scale is not None
    image = work.image
    if image is None:
        image = await work.decoded(work.submission.inputs[0].sha256)
    model = None if params.mode == "pixel" else work.model(work.submission.model)
    request = UpscaleRequest(scale=params.scale, mode=params.mode, tileable=params.tileable)
    result = await asyncio.wrap_future(
        work.engine.upscale(model, image, request, work.progress("upscaling"), work.cancel)
    )
    work.account(result)
    work.measures["tiles"] = result.tiles
    work.measures["input_pixels"] = image.shape[0] * image.shape[1]
    return result.images
