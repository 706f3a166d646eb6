"""What a job was asked for, in few words: its sampling, and every option that is not at its default."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

MOST_NAMED = 4
"""Colours of a palette, or frames of a sheet."""

Params = dict[str, Any]


def told(params: Params, seed: int | None) -> str:
    """`"stone wall", 4 pictures, tileable, seeds 7 to 10, 20 steps of euler, guidance 2.5`; nothing for what is not known."""
    if "pictures" in params:
        return ", ".join(_sheet(params))
    if "prompt" not in params:
        return ", ".join([*_scale(params), *_seed(params, seed)])
    drawn = (*_options(params), *_seed(params, seed), *_sampling(params))
    return ", ".join([_prompt(params), *drawn])


def _prompt(params: Params) -> str:
    said = f'"{params["prompt"]}"'
    if params.get("negative_prompt"):
        said += f' without "{params["negative_prompt"]}"'
    if params.get("style"):
        said += f" in style {params['style']}"
    strength = params.get("strength") or 1
    if params.get("mask"):
        at = f", strength {strength:g}" if strength != 1 else ""
        return f"{said} into the masked part of a picture{at}"
    return f"{said} over a picture, strength {strength:g}" if params.get("init_image") else said


def _options(params: Params) -> Iterator[str]:
    if (n := params.get("n", 1)) > 1:
        yield f"{n} pictures"
    if params.get("tileable"):
        yield "tileable"
    if colours := _colours(params):
        yield colours
    if outline := params.get("outline"):
        width = outline.get("width", 1)
        yield f"outline {outline.get('colour')}" + (f" {width} wide" if width > 1 else "")
    if (scale := params.get("scale", 1)) > 1:
        yield f"scale {scale}"
    if (background := params.get("background", "transparent")) != "transparent":
        yield f"background {background}"


def _colours(params: Params) -> str:
    palette = params.get("palette")
    if isinstance(palette, list):
        named = len(palette) <= MOST_NAMED
        return f"palette {' '.join(palette)}" if named else f"palette of {len(palette)} colours"
    if params.get("palette_image"):
        return f"{palette} colours of a picture" if palette else "the colours of a picture"
    return f"{palette} colours" if palette else ""


def _seed(params: Params, seed: int | None) -> Iterator[str]:
    """Picture i has the seed plus i."""
    if seed is not None:
        n = params.get("n", 1)
        yield f"seed {seed}" if n == 1 else f"seeds {seed} to {seed + n - 1}"


def _sampling(params: Params) -> Iterator[str]:
    """Always told: their defaults are the model's, and another version may have others."""
    if params.get("steps"):
        yield f"{params['steps']} steps" + (f" of {s}" if (s := params.get("sampler")) else "")
    if params.get("guidance_scale") is not None:
        yield f"guidance {params['guidance_scale']:g}"


def _scale(params: Params) -> Iterator[str]:
    if "scale" in params:
        yield f"scale {params['scale']}"
    if params.get("mode", "smooth") != "smooth":
        yield f"mode {params['mode']}"
    if params.get("tileable"):
        yield "tileable"


def _sheet(params: Params) -> Iterator[str]:
    count = len(params["pictures"])
    yield f"of {count} picture{'s' * (count > 1)}"
    if (name := params.get("name", "sheet")) != "sheet":
        yield f"named {name}"
    if (names := params.get("names")) and names != [f"sprite-{i}" for i in range(len(names))]:
        yield f"frames named {', '.join(names[:MOST_NAMED])}{', ...' * (len(names) > MOST_NAMED)}"
    if params.get("columns"):
        yield f"{params['columns']} columns"
    if params.get("padding"):
        yield f"padding {params['padding']}"
    if params.get("power_of_two"):
        yield "sides of powers of two"
