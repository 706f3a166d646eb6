"""What a picture says about itself: the text that Stable Diffusion tools read, and our own chunk."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from gfedge import __version__
from gfedge.ai.types import Submission

CHUNK = "gfedge"
SAMPLERS = {"euler": "Euler", "heun": "Heun", "dpmpp_2m": "DPM++ 2M"}
"""As stable-diffusion-webui calls them."""


Short = Annotated[str, Meta(max_length=400)]
"""A picture that came from outside may say anything, and what it says stands in our answers."""


class Origin(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The `gfedge` chunk of a PNG: who made it, and where to ask."""

    job_id: Short
    kind: Short
    model: Short | None
    model_digest: Short | None
    seed: int | None
    trace: Short


def texts(job: Submission, address: str, width: int, height: int, index: int) -> dict[str, str]:
    """The text chunks of output `index`: `parameters` as A1111 writes it, and `gfedge`."""
    origin = Origin(
        job_id=job.id,
        kind=job.kind,
        model=job.model.id if job.model else None,
        model_digest=job.model.digest if job.model else None,
        seed=None if job.seed is None else job.seed + index,
        trace=f"{address}/api/v1/ml-platform/ai-jobs/{job.id}/trace",
    )
    return {
        "parameters": parameters(job, width, height, index),
        CHUNK: msgspec.json.encode(origin).decode(),
    }


def parameters(job: Submission, width: int, height: int, index: int) -> str:
    """The `parameters` text: prompt, negative prompt, then `Key: value` pairs (stable-diffusion-webui's infotext)."""
    values: dict[str, object] = {}
    if job.kind == "generate":
        values = {
            "Steps": job.params.get("steps"),
            "Sampler": SAMPLERS.get(str(job.params.get("sampler")), "Euler"),
            "CFG scale": job.params.get("guidance_scale"),
            "Seed": None if job.seed is None else job.seed + index,
            "Size": f"{width}x{height}",
            "Denoising strength": job.params.get("strength"),
            "Tiling": True if job.params.get("tileable") else None,
        }
    elif job.kind == "sheet":
        values = {"Size": f"{width}x{height}"}
    else:
        values = {"Postprocess upscale by": job.params.get("scale"), "Size": f"{width}x{height}"}
    for name, ref in (("Model", job.model), ("Postprocess upscaler", job.upscaler)):
        if ref is not None:
            values |= {name: ref.id}
    if job.model is not None:
        values["Model hash"] = job.model.digest[:10]
    values["Version"] = f"gfedge {__version__}"
    lines = [_one_line(job.params["prompt"])] if job.kind == "generate" else []
    if negative := job.params.get("negative_prompt"):
        lines.append(f"Negative prompt: {_one_line(negative)}")
    lines.append(", ".join(f"{key}: {value}" for key, value in values.items() if value is not None))
    return "\n".join(lines)


def _one_line(text: object) -> str:
    """White space folded, so that a prompt cannot look like the lines below it."""
    return " ".join(str(text).split())


def read_origin(texts: dict[str, str]) -> Origin | None:
    """Our chunk of a picture that came from outside; None where there is none or it is rubbish."""
    try:
        return msgspec.json.decode(texts.get(CHUNK, ""), type=Origin)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
