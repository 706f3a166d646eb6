"""The pipelines: what each kind of job takes, checks and does. One table, `PIPELINES`, says all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from gfedge import errors, inference
from gfedge.ai.types import GenerateParams, Kind, Submission, SuperresParams, Timings
from gfedge.assets.assets import Assets
from gfedge.assets.types import AssetRow
from gfedge.inference.types import (
    Cancel,
    GenerateRequest,
    ModelFolder,
    Pixels,
    Result,
    UpscaleRequest,
)
from gfedge.registry.registry import Registry
from gfedge.registry.types import ModelRef
from gfedge.settings import Settings

if TYPE_CHECKING:
    from gfedge.inference.types import Engine

Params = GenerateParams | SuperresParams
Report = Callable[[str, int, int], None]
"""Called with (stage, done, all), from any thread."""
Preview = Callable[[int, Callable[[], Pixels]], None]
"""Called with the index of a picture and what makes it as it would be now, from any thread."""


@dataclass(kw_only=True)
class Work:
    """One job while it runs: what its pipeline may use, and what it leaves for the record."""

    submission: Submission
    image: Pixels | None
    """The input, where it is decoded already."""
    engine: Engine
    registry: Registry
    settings: Settings
    assets: Assets
    report: Report
    preview: Preview
    cancel: Cancel
    timings: Timings
    measures: dict[str, float] = field(default_factory=dict)
    """Metrics of the run besides its timings."""
    unknown_words: tuple[str, ...] = ()
    dropped_words: tuple[str, ...] = ()

    def progress(self, stage: str) -> Callable[[int, int], None]:
        return lambda done, total: self.report(stage, done, total)


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A kind of job."""

    params: type[Params]
    model: str
    """Name of the model that runs when the request names none."""
    prepare: Callable[[Any, ModelFolder | None, Settings], Params]
    """Fills in the model's defaults and checks the limits; raises Invalid."""
    memory: Callable[[Work, Any], Awaitable[int]]
    """Bytes that the pictures of a job take while it runs."""
    run: Callable[[Work, Any], Awaitable[list[Pixels]]]
    needs_model: Callable[[Any], bool] = lambda params: True


# generate


def prepare_generate(
    params: GenerateParams, model: ModelFolder | None, settings: Settings
) -> GenerateParams:
    assert model is not None
    filled = msgspec.structs.replace(
        params,
        steps=params.steps or int(model.defaults.get("steps", 20)),
        guidance_scale=_first(
            params.guidance_scale, float(model.defaults.get("guidance_scale", 2.0))
        ),
    )
    most_steps = min(settings.max_steps, int(model.limits.get("max_steps", settings.max_steps)))
    _at_most("prompt", len(filled.prompt), settings.max_prompt, "characters")
    _at_most("negative_prompt", len(filled.negative_prompt), settings.max_prompt, "characters")
    _at_most("n", filled.n, settings.max_images, "pictures")
    _at_most("steps", filled.steps or 0, most_steps, "steps")
    if not filled.prompt.strip():
        raise errors.Invalid(
            "prompt: say what the picture shows, for instance `a red dragon`", field="prompt"
        )
    return filled


async def generate_memory(work: Work, params: GenerateParams) -> int:
    model = _model(work, work.submission.model)
    return params.n * int(model.pipeline["size"]) ** 2 * _bytes_per_pixel(params.scale)


def _bytes_per_pixel(scale: int) -> int:
    """Of input: itself, its output in RGBA, and the same again while that is encoded."""
    return 4 + 2 * 4 * scale**2


def generate_price(params: GenerateParams, size: int) -> float:
    """Megapixels x steps, the upscaling being one step."""
    upscaled = (size * params.scale) ** 2 if params.scale > 1 else 0
    return params.n * ((params.steps or 0) * size**2 + upscaled) / 1e6


async def run_generate(work: Work, params: GenerateParams) -> list[Pixels]:
    model = _model(work, work.submission.model)
    assert params.steps is not None
    assert params.guidance_scale is not None
    request = GenerateRequest(
        prompt=params.prompt,
        negative_prompt=params.negative_prompt,
        seed=work.submission.seed or 0,
        n=params.n,
        steps=params.steps,
        guidance_scale=params.guidance_scale,
    )
    sampled = await asyncio.wrap_future(
        work.engine.generate(model, request, _steps(work, params.n), work.cancel, work.preview)
    )
    _account(work, sampled)
    work.unknown_words, work.dropped_words = sampled.unknown_words, sampled.dropped_words
    palette = _first(params.palette, model.defaults.get("palette"))
    images = await asyncio.to_thread(_coloured, sampled.images, palette, None)
    if params.scale > 1:
        images = await _upscale_all(work, images, params)
    # Upscaling makes in-between colours: who named a palette wants no others, who named none likes them.
    return await asyncio.to_thread(_coloured, images, params.palette, params.background)


def _steps(work: Work, n: int) -> Callable[[int, int], None]:
    """The engine counts the steps of every picture; people ask for steps and expect as many."""
    return lambda done, total: work.report("sampling", done // n, total // n)


async def _upscale_all(work: Work, images: list[Pixels], params: GenerateParams) -> list[Pixels]:
    upscaler = _model(work, work.submission.upscaler)
    request = UpscaleRequest(scale=params.scale)  # type: ignore[arg-type]  # 1 does not come here
    done = [0] * len(images)
    totals = [1] * len(images)

    def progress(i: int) -> Callable[[int, int], None]:
        def tell(tiles: int, of: int) -> None:
            done[i], totals[i] = tiles, of
            work.report("upscaling", sum(done), sum(totals))

        return tell

    futures = [
        asyncio.wrap_future(work.engine.upscale(upscaler, image, request, progress(i), work.cancel))
        for i, image in enumerate(images)
    ]
    try:
        results = await asyncio.gather(*futures)
    finally:
        for future in futures:  # where one fails, the others are not wanted either
            future.cancel()
    work.timings.load_seconds += max(result.load_seconds for result in results)
    work.timings.inference_seconds += max(result.inference_seconds for result in results)
    work.measures["tiles"] = sum(result.tiles for result in results)
    return [result.images[0] for result in results]


def _coloured(
    images: list[Pixels], palette: int | list[str] | None, background: str | None
) -> list[Pixels]:
    """Reduces to the palette and lays over the background, where there are any."""
    if palette is not None:
        colours = (
            palette
            if isinstance(palette, int)
            else [inference.palette.parse_colour(c) for c in palette]
        )
        images = [inference.palette.quantise(image, colours) for image in images]
    if background not in (None, "transparent"):
        images = [
            inference.palette.flatten(image, inference.palette.parse_colour(str(background)))
            for image in images
        ]
    return images


# superres


def prepare_superres(
    params: SuperresParams, model: ModelFolder | None, settings: Settings
) -> SuperresParams:
    if params.mode == "pixel" and params.model is not None:
        raise errors.Invalid("model: mode pixel repeats pixels and runs no model", field="model")
    default = model.defaults.get("scale", 4) if model is not None else 4
    return msgspec.structs.replace(params, scale=params.scale or default)


async def superres_memory(work: Work, params: SuperresParams) -> int:
    image = work.submission.inputs[0]
    return image.width * image.height * _bytes_per_pixel(params.scale or 4)


def superres_price(params: SuperresParams, image: AssetRow) -> float:
    """Megapixels that come out, in one step."""
    return image.width * image.height * (params.scale or 4) ** 2 / 1e6


async def _decoded(work: Work) -> Pixels:
    data = await work.assets.read(work.submission.inputs[0].sha256)
    began = time.perf_counter()
    image = await asyncio.to_thread(inference.png.decode, data, work.settings.max_pixels)
    work.timings.decode_seconds = time.perf_counter() - began
    return image


async def run_superres(work: Work, params: SuperresParams) -> list[Pixels]:
    assert params.scale is not None
    image = work.image if work.image is not None else await _decoded(work)
    model = None if params.mode == "pixel" else _model(work, work.submission.model)
    request = UpscaleRequest(scale=params.scale, mode=params.mode, tileable=params.tileable)
    result = await asyncio.wrap_future(
        work.engine.upscale(model, image, request, work.progress("upscaling"), work.cancel)
    )
    _account(work, result)
    work.measures["tiles"] = result.tiles
    work.measures["input_pixels"] = image.shape[0] * image.shape[1]
    return result.images


def _account(work: Work, result: Result) -> None:
    work.timings.load_seconds += result.load_seconds
    work.timings.inference_seconds += result.inference_seconds
    work.measures["batch_size"] = result.batch_size


def _model(work: Work, ref: ModelRef | None) -> ModelFolder:
    """The very version that the job was acknowledged with; a restart may have lost it."""
    assert ref is not None
    if (model := work.registry.exact(ref)) is None:
        raise errors.Invalid(
            f"model {ref.id} with digest {ref.digest} is no longer here: restore its folder and send the job again",
            code="model_gone",
        )
    return model


def _at_most(name: str, value: int, limit: int, unit: str) -> None:
    if value > limit:
        raise errors.Invalid(
            f"{name}: {value} {unit} are more than the {limit} that this server takes", field=name
        )


def _first(value: Any, default: Any) -> Any:
    return default if value is None else value


PIPELINES: dict[Kind, Pipeline] = {
    "generate": Pipeline(
        params=GenerateParams,
        model="sprite",
        prepare=prepare_generate,
        memory=generate_memory,
        run=run_generate,
    ),
    "superres": Pipeline(
        params=SuperresParams,
        model="superres",
        prepare=prepare_superres,
        memory=superres_memory,
        run=run_superres,
        needs_model=lambda params: params.mode != "pixel",
    ),
}
