"""Running a job again, as it was recorded, and saying how its result compares: the proof that a record is complete."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gfedge import content, errors, inference
from gfedge.ai.live import Live
from gfedge.ai.types import EndedJob, Job, Original, Submission
from gfedge.assets import files
from gfedge.assets.assets import Assets
from gfedge.assets.types import Output
from gfedge.db import new_id
from gfedge.inference.types import Pixels
from gfedge.registry.registry import Registry

Verdict = Annotated[
    Literal["identical", "same_pixels", "different", "not_comparable"],
    Meta(description="identical: to the last byte; same_pixels: in files that differ."),
]
Number = float | Literal["Infinity"]


class Comparison(msgspec.Struct, kw_only=True, frozen=True):
    """A picture of the first job beside that of the second."""

    original: str
    replayed: str
    same_bytes: bool
    same_pixels: bool
    psnr: Annotated[
        Number | None, Meta(description="dB; Infinity where no difference is seen.")
    ] = None
    ssim: Annotated[float | None, Meta(description="1 is the same.")] = None
    largest_difference: Annotated[int | None, Meta(description="Of any channel, of 255.")] = None


class Replay(msgspec.Struct, kw_only=True, frozen=True):
    """A job that ran another one again, and what came of it."""

    original: str
    job: Job
    verdict: Verdict | None
    """Absent until the job has ended."""
    outputs: list[Comparison]
    reasons: Annotated[list[str], Meta(description="Why the result differs, or may.")]


def again(job: EndedJob, registry: Registry, assets: Assets) -> Submission:
    """What runs that job again, with its version, seed, parameters and inputs; Conflict where one of them is gone.

    Who asks and under which key is for the caller to fill in.
    """
    for ref in (job.model, job.upscaler):
        if ref is not None and registry.exact(ref) is None:
            raise errors.Conflict(
                f"job {job.id} ran {ref.id} with digest {ref.digest}, which is no longer here: restore its folder, "
                "then replay",
                code="model_gone",
            )
    for row in job.inputs:
        if not content.keep(files.path_of(assets.root, row.sha256, row.media_type)):
            raise errors.Conflict(
                f"the input of job {job.id}, asset {row.sha256}, is no longer here: send that picture again, then replay",
                code="asset_gone",
            )
    values = {name: getattr(job, name) for name in Submission.__struct_fields__}
    made = [output.pixels_sha256 for output in job.outputs]
    return Submission(
        **values
        | {
            "id": new_id(),
            "run_id": new_id(),
            "created_at": time.time(),
            "original": Original(job_id=job.id, pixels_sha256=made),
        }
    )


def compared(
    original: EndedJob, job: EndedJob, shown: Job, read: Callable[[Output], Pixels]
) -> Replay:
    """Both results beside each other; `read` gives the pixels of an output. Blocks: call it in a thread."""
    pairs = list(zip(original.outputs, job.outputs, strict=False))
    if not pairs or len(original.outputs) != len(job.outputs):
        reasons = [_made(one) for one in (original, job)]
        return Replay(
            original=original.id, job=shown, verdict="not_comparable", outputs=[], reasons=reasons
        )
    outputs = [_comparison(one, other, read) for one, other in pairs]
    if all(output.same_bytes for output in outputs):
        verdict: Verdict = "identical"
    elif all(output.same_pixels for output in outputs):
        verdict = "same_pixels"
    else:
        verdict = "different"
    return Replay(
        original=original.id,
        job=shown,
        verdict=verdict,
        outputs=outputs,
        reasons=_reasons(original, job, verdict),
    )


def pending(original_id: str, shown: Job) -> Replay:
    return Replay(original=original_id, job=shown, verdict=None, outputs=[], reasons=[])


def ended(job: Live | EndedJob) -> EndedJob:
    """The job as it ended; Conflict where it has not."""
    now = job.now if isinstance(job, Live) else job
    if isinstance(now, Live):
        raise errors.Conflict(
            f"job {now.id} is {now.status}: wait for its end, then replay", code="job_not_ended"
        )
    return now


# Inside


def _made(job: EndedJob) -> str:
    what = f"made {len(job.outputs)} pictures" if job.outputs else "made no picture"
    return f"job {job.id} has {job.status} and {what}" + (
        f": {job.error.detail}" if job.error else ""
    )


def _comparison(one: Output, other: Output, read: Callable[[Output], Pixels]) -> Comparison:
    same = one.pixels_sha256 == other.pixels_sha256
    found = Comparison(
        original=one.sha256,
        replayed=other.sha256,
        same_bytes=one.sha256 == other.sha256,
        same_pixels=same,
    )
    if same:
        return msgspec.structs.replace(found, psnr="Infinity", ssim=1.0, largest_difference=0)
    try:
        likeness = inference.likeness.compare(read(one), read(other))
    except (errors.NotFound, ValueError):  # its file is gone, or it has another size
        return found
    return msgspec.structs.replace(
        found,
        psnr="Infinity" if math.isinf(likeness.psnr) else likeness.psnr,
        ssim=likeness.ssim,
        largest_difference=likeness.largest_difference,
    )


def _reasons(original: EndedJob, job: EndedJob, verdict: Verdict) -> list[str]:
    """What is on record of the one job and not of the other; nothing where the results are identical."""
    if verdict == "identical":
        return []
    then, now = original.surroundings, job.surroundings
    found = [
        f"{name} was {then.get(name, 'not recorded')} and is {now.get(name, 'unknown')}"
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    ]
    if verdict == "same_pixels":
        found.append(
            "the pixels are the same; the files differ in how they were packed, or in the address in their metadata"
        )
    elif not found:
        found.append(
            "nothing on record differs: the model's kernels may sum in another order from run to run on this device"
        )
    return found
