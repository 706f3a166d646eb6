"""Upscaling that keeps pixel art pixel art: every pixel becomes a square of itself. Needs no model."""

from __future__ import annotations

import time
from functools import partial

import numpy as np

from gfedge.inference.jobs import Job
from gfedge.inference.lanes import Lane, Place, Unit
from gfedge.inference.png import bands
from gfedge.inference.sessions import reason
from gfedge.inference.types import Cancel, EngineError, Pixels, Progress


class PixelJob(Job):
    """A picture to enlarge by repeating its pixels."""

    def __init__(self, image: Pixels, scale: int, progress: Progress, cancel: Cancel) -> None:
        super().__init__(progress, cancel)
        self.image = image
        self.scale = scale
        self.taken = False


class PixelLane(Lane[PixelJob]):
    """Each job is one unit of work."""

    def next_unit(self, _place: Place) -> Unit | None:
        for job in self.jobs:
            if not job.taken:
                job.taken = True
                return partial(run, job)
        return None


def run(job: PixelJob) -> None:
    started = time.perf_counter()
    try:
        out = repeated(job)
    except Exception as error:
        job.settle(EngineError(f"enlarging failed: {reason(error)}"))
        return
    if job.over():
        return
    job.count_call(started, 1)
    job.done = 1
    job.tell()
    job.settle(job.result([out], tiles=1))


def repeated(job: PixelJob) -> Pixels:
    """The enlarged picture, [height * scale, width * scale, 4]; incomplete if the job is cancelled meanwhile."""
    (height, width, _), scale = job.image.shape, job.scale
    out = np.empty((height, scale, width, scale, 4), np.uint8)
    for band in bands(job.image):
        if job.over():
            break
        out[band] = job.image[band, None, :, None]
    return out.reshape(height * scale, width * scale, 4)
