"""The pipeline `generate`: a prompt, and what may come with it, to pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from gfedge import errors, inference
from gfedge.ai.types import GenerateParams, Outline
from gfedge.ai.work import Work, bytes_per_pixel
from gfedge.inference.types import GenerateRequest, ModelFolder, Pixels, UpscaleRequest
from gfedge.settings import Settings

STRENGTH = 0.6
"""Of a picture to start from, where no mask says what stays."""
LEARNED_COLOURS = 16
"""Of a picture whose palette is taken, where nobody says how many."""
Palette = int | list[str] | None


def prepare(
    params: GenerateParams, model: ModelFolder | None, settings: Settings
) -> GenerateParams:
    assert model is not None
    _check_pictures(params)
    style = _style(params, model)
    defaults = model.defaults
    filled = msgspec.structs.replace(
        params,
        steps=params.steps or int(defaults.get("steps", 20)),
        sampler=params.sampler or defaults.get("sampler", "euler"),
        guidance_scale=_first(params.guidance_scale, float(defaults.get("guidance_scale", 2.0))),
        strength=_strength(params),
        palette=_first(params.palette, None if params.palette_image else style.get("palette")),
        outline=params.outline
        or (Outline(colour=style["outline"]) if "outline" in style else None),
    )
    most_steps = min(settings.max_steps, int(model.limits.get("max_steps", settings.max_steps)))
    _at_most("prompt", len(filled.prompt), settings.max_prompt, "characters")
    _at_most("negative_prompt", len(filled.negative_prompt), settings.max_prompt, "characters")
    _at_most("n", filled.n, settings.max_images, "pictures")
    _at_most("steps", filled.steps or 0, most_steps, "steps")
    _check_guidance(filled, model)
    if not filled.prompt.strip():
        raise errors.Invalid(
            "prompt: say what the picture shows, for instance `a red dragon`", field="prompt"
        )
    return filled


async def memory(work: Work, params: GenerateParams) -> int:
    model = work.model(work.submission.model)
    return params.n * int(model.pipeline["size"]) ** 2 * bytes_per_pixel(params.scale)


def price(params: GenerateParams, size: int) -> float:
    """Megapixels x steps, the upscaling being one step; Heun's steps are two."""
    upscaled = (size * params.scale) ** 2 if params.scale > 1 else 0
    steps = (params.steps or 0) * (2 if params.sampler == "heun" else 1)
    return params.n * (steps * size**2 + upscaled) / 1e6


async def run(work: Work, params: GenerateParams) -> list[Pixels]:
    model = work.model(work.submission.model)
    request, given = await _request(work, params, model)
    sampled = await asyncio.wrap_future(
        work.engine.generate(model, request, _steps(work, request.steps), work.cancel, work.preview)
    )
    work.account(sampled)
    work.unknown_words, work.dropped_words = sampled.unknown_words, sampled.dropped_words
    work.undocumented_words, work.suggestions = sampled.undocumented_words, sampled.suggestions
    named = await _named_palette(work, params)
    palette = _first(named, model.defaults.get("palette"))
    images = await asyncio.to_thread(_drawn, sampled.images, params, palette)
    if request.mask and named is None:
        images = [_kept(image, request.mask, given) for image in images]
    if params.scale > 1:
        images = await _upscale_all(work, images, params)
    # Upscaling makes in-between colours: who named a palette wants no others, who named none likes them.
    images = await asyncio.to_thread(_finished, images, params, named)
    if params.tileable:
        work.seam_scores = scores = [inference.seams.seam_score(image) for image in images]
        work.measures["seam_score"] = sum(scores) / len(scores)
    return images


# Inside


def _check_pictures(params: GenerateParams) -> None:
    """What goes with what."""
    for name in ("mask", "strength"):
        if getattr(params, name) and not params.init_image:
            raise errors.Invalid(f"{name}: goes with an `init_image`", field=name)
    if params.palette_image and isinstance(params.palette, list):
        raise errors.Invalid(
            "palette_image: with it `palette` is a number of colours, not the colours themselves",
            field="palette_image",
        )


def _strength(params: GenerateParams) -> float | None:
    if not params.init_image:
        return None
    return params.strength or (1.0 if params.mask else STRENGTH)


def _style(params: GenerateParams, model: ModelFolder) -> dict[str, Any]:
    if not params.style:
        return {}
    if params.style not in model.styles:
        known = ", ".join(sorted(model.styles)) or "none"
        raise errors.Invalid(
            f"style: {params.style!r} is none of {model.name}@{model.version}'s styles ({known})",
            code="unknown_style",
            field="style",
        )
    return dict(model.styles[params.style])


async def _request(
    work: Work, params: GenerateParams, model: ModelFolder
) -> tuple[GenerateRequest, Pixels | None]:
    """What the engine is asked, and the picture that it starts from at the model's size."""
    size = int(model.pipeline["size"])
    given, mask = None, b""
    if params.init_image:
        given = inference.drawing.fitted(await work.decoded(params.init_image), size)
    if params.mask:
        mask = inference.drawing.mask_of(await work.decoded(params.mask), size).tobytes()
        if not any(mask):
            raise errors.Invalid(
                "mask: is white nowhere, so nothing would be drawn", code="empty_mask"
            )
    words = model.styles.get(params.style, {}).get("words", "")
    assert params.steps is not None
    assert params.guidance_scale is not None
    return GenerateRequest(
        prompt=f"{params.prompt} {words}".strip(),
        negative_prompt=params.negative_prompt,
        seed=work.submission.seed or 0,
        n=params.n,
        steps=params.steps,
        guidance_scale=params.guidance_scale,
        sampler=params.sampler or "euler",
        tileable=params.tileable,
        init_image=b"" if given is None else given.tobytes(),
        strength=params.strength or 1.0,
        mask=mask,
    ), given


def _steps(work: Work, steps: int) -> Callable[[int, int], None]:
    """The engine counts every run of the model for every picture; people ask for steps and expect as many."""
    return lambda done, total: work.report("sampling", done * steps // total, steps)


async def _named_palette(work: Work, params: GenerateParams) -> Palette:
    """The palette that the request named, one learned from a picture included."""
    if not params.palette_image:
        return params.palette
    pixels = await work.decoded(params.palette_image)
    count = params.palette if isinstance(params.palette, int) else LEARNED_COLOURS
    try:
        found = await asyncio.to_thread(inference.palette.learned, pixels, count)
    except ValueError as error:
        raise errors.Invalid(f"palette_image: {error}", code="empty_palette_image") from None
    return ["#{:02x}{:02x}{:02x}".format(*colour) for colour in found]


def _drawn(images: list[Pixels], params: GenerateParams, palette: Palette) -> list[Pixels]:
    """In few colours, with an outline where one is wanted."""
    images = [coloured(image, palette) for image in images]
    if params.outline is not None:
        line = inference.palette.parse_colour(params.outline.colour)
        width = params.outline.width
        images = [inference.drawing.outlined(image, line, width) for image in images]
    return images


def _finished(images: list[Pixels], params: GenerateParams, palette: Palette) -> list[Pixels]:
    """In the palette that was named, with the outline's colour added to it, on the background."""
    if params.scale > 1 and palette is not None:
        if params.outline is not None:
            line = params.outline.colour
            palette = [*palette, line] if isinstance(palette, list) else min(palette + 1, 256)
        images = [
            coloured(image, palette[-256:] if isinstance(palette, list) else palette)
            for image in images
        ]
    if params.background == "transparent":
        return images
    behind = inference.palette.parse_colour(params.background)
    return [inference.palette.flatten(image, behind) for image in images]


def coloured(image: Pixels, palette: Palette) -> Pixels:
    """The picture in the colours of a palette, where there is one."""
    if palette is None:
        return image
    if isinstance(palette, int):
        return inference.palette.quantise(image, palette)
    return inference.palette.quantise(image, [inference.palette.parse_colour(c) for c in palette])


def _kept(image: Pixels, mask: bytes, given: Pixels | None) -> Pixels:
    """What the mask keeps, as it was given, whatever the model's own palette makes of it."""
    assert given is not None
    return inference.drawing.composed(image, given, mask)


async def _upscale_all(work: Work, images: list[Pixels], params: GenerateParams) -> list[Pixels]:
    upscaler = work.model(work.submission.upscaler)
    request = UpscaleRequest(scale=params.scale, tileable=params.tileable)  # type: ignore[arg-type]  # 1 does not come here
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


def _check_guidance(params: GenerateParams, model: ModelFolder) -> None:
    """A net that was taught its guidance takes none on top; a negative prompt works through guidance alone."""
    scale, most = params.guidance_scale or 0.0, float(model.limits.get("max_guidance", 30))
    if scale > most:
        raise errors.Invalid(
            f"guidance_scale: {scale:g} is more than the {most:g} that {model.name}@{model.version} takes",
            field="guidance_scale",
        )
    if params.negative_prompt and scale == 1:
        raise errors.Invalid(
            "negative_prompt: it works through guidance, and guidance_scale is 1 here: ask for more where the"
            " model takes more, or leave it out",
            field="negative_prompt",
        )


def _at_most(name: str, value: int, limit: int, unit: str) -> None:
    if value > limit:
        raise errors.Invalid(
            f"{name}: {value} {unit} are more than the {limit} that this server takes", field=name
        )


def _first(value: Any, default: Any) -> Any:
    return default if value is None else value
