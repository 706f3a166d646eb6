"""The sprite sampler: rectified flow with classifier-free guidance, batched step by step over all requests.

The lane holds images of different requests at different steps; each graph call takes some of them one step further,
every one with its own time, words, seed and guidance. So a new request joins at the next step and a finished or
cancelled one leaves at once. Sampler: Euler on dx/dt = v over a uniform grid from t = 1 (noise) to 0 (picture), Liu et
al. 2022, "Flow Straight and Fast"; guidance u + g (c - u), Ho and Salimans 2022, with the negative prompt in the
unconditional half.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gfedge.inference.jobs import Job, careful
from gfedge.inference.lanes import ModelLane, Place, Unit, distinct
from gfedge.inference.sessions import Model, Tensors, is_out_of_memory
from gfedge.inference.types import Cancel, GenerateRequest, ModelFolder, OnPreview, Pixels, Progress
from gfedge.inference.words import Encoded, Vocabulary

Latent = NDArray[np.float32]
"""One image on its way: float32 [4, size, size], premultiplied RGBA in -1..1."""

CPU_SHARE = 16
"""Images in one graph call on a CPU, where larger batches only make steps longer (measured)."""


class GenerateJob(Job):
    """A request and the images it has so far."""

    def __init__(
        self,
        request: GenerateRequest,
        progress: Progress,
        cancel: Cancel,
        on_preview: OnPreview | None,
    ) -> None:
        super().__init__(progress, cancel)
        self.request = request
        self.on_preview = on_preview
        self.units = request.n * request.steps
        self.times = np.linspace(1, 0, request.steps + 1, dtype=np.float32)
        self.images: dict[int, Pixels] = {}
        self.prompts: tuple[Encoded, Encoded] | None = None

    def encoded(self, vocabulary: Vocabulary) -> tuple[Encoded, Encoded]:
        """The prompt and the negative prompt as ids."""
        if self.prompts is None:
            request = self.request
            both = (vocabulary.encode(request.prompt), vocabulary.encode(request.negative_prompt))
            self.prompts = both
        return self.prompts

    @property
    def guided(self) -> bool:
        """Whether the unconditional half makes a difference."""
        return self.request.guidance_scale != 1

    def finish(self, index: int, pixels: Pixels) -> None:
        """Put an image in its place; settle the job with the last one."""
        with self.lock:
            self.images[index] = pixels
            complete = len(self.images) == self.request.n
        if complete:
            assert self.prompts is not None
            prompt, _ = self.prompts
            images = [self.images[i] for i in range(self.request.n)]
            self.settle(
                self.result(images, unknown_words=prompt.unknown, dropped_words=prompt.dropped)
            )


@dataclass(eq=False)
class Sample:
    """One image of a job at one of its steps."""

    job: GenerateJob
    index: int
    step: int = 0
    x: Latent | None = None
    alone: bool = False
    """Its last call failed in company: the next one is made for it alone, to see whose fault it was."""

    def latent(self, size: int) -> Latent:
        """Where the image is; at first noise of its own stream, whatever batch it runs in."""
        if self.x is None:
            stream = np.random.Generator(np.random.Philox(self.job.request.seed + self.index))
            self.x = stream.standard_normal((4, size, size), dtype=np.float32)
        return self.x

    @property
    def time(self) -> np.float32:
        now: np.float32 = self.job.times[self.step]
        return now

    def advance(self, velocity: Latent) -> None:
        """One Euler step along [4, size, size] of velocity."""
        assert self.x is not None
        now, then = self.job.times[self.step : self.step + 2]
        if self.job.on_preview is not None:
            careful(self.job.on_preview, self.index, partial(estimate, self.x, now, velocity))
        self.x = self.x + (then - now) * velocity
        self.step += 1

    def finished(self) -> bool:
        return self.step == self.job.request.steps


class DenoiseLane(ModelLane[GenerateJob]):
    """The samples of one sprite model."""

    def __init__(self, folder: ModelFolder, lock: threading.Condition, max_batch: int) -> None:
        super().__init__(folder, lock)
        self.max_batch = min(max_batch, folder.limits.get("max_batch", max_batch))
        self.share = self.max_batch
        self.waiting: deque[Sample] = deque()
        self.running: deque[Sample] = deque()
        self.away = 0
        """Samples in graph calls right now."""

    def add(self, job: GenerateJob) -> None:
        super().add(job)
        self.waiting.extend(Sample(job, i) for i in range(job.request.n))

    def forget(self, jobs: Sequence[GenerateJob]) -> None:
        self.waiting = deque(s for s in self.waiting if s.job not in jobs)
        self.running = deque(s for s in self.running if s.job not in jobs)

    def take_work(self, model: Model, place: Place) -> Unit | None:
        """One step for a share of the batch: all of it on a GPU, an even part for each of a CPU's threads."""
        while self.waiting and len(self.running) + self.away < self.max_batch:
            self.running.append(self.waiting.popleft())
        if not self.running:
            return None
        share = -(-(len(self.running) + self.away) // place.workers)
        share = min(share, self.share if place.on_gpu else min(self.share, CPU_SHARE))
        batch = self._batch(share)
        self.away += len(batch)
        return partial(self._step, model, batch)

    def _batch(self, share: int) -> list[Sample]:
        """The samples that have waited longest; one that must run alone does."""
        batch = [self.running.popleft()]
        while self.running and len(batch) < share and not batch[0].alone:
            if self.running[0].alone:
                break
            batch.append(self.running.popleft())
        return batch

    def _step(self, model: Model, batch: list[Sample]) -> None:
        started = time.perf_counter()
        try:
            velocities = velocity(model, batch)
        except Exception as error:
            self._trouble(batch, error)
            return
        jobs = distinct(sample.job for sample in batch)
        for job in jobs:
            job.count_call(started, len(batch))
        for sample, towards in zip(batch, velocities, strict=True):
            sample.advance(towards)
        self._put_back(batch)
        for job in jobs:
            job.tell()
        for sample in batch:
            if sample.finished() and sample.x is not None and not sample.job.over():
                sample.job.finish(sample.index, to_pixels(sample.x))

    def _put_back(self, batch: list[Sample]) -> None:
        with self.lock:
            self.away -= len(batch)
            for sample in batch:
                sample.job.done += 1
                sample.alone = False
                if not sample.finished() and not sample.job.over():
                    self.running.append(sample)

    def _trouble(self, batch: list[Sample], error: Exception) -> None:
        """A call failed: alone, it fails its job; in company, each sample tries again by itself."""
        with self.lock:
            self.away -= len(batch)
            if len(batch) > 1:
                for sample in batch:
                    sample.alone = True
                self.running.extendleft(reversed(batch))
                if is_out_of_memory(error):
                    self.share = max(1, len(batch) // 2)
                return
        batch[0].job.settle(self.failure(error))


def velocity(model: Model, batch: list[Sample]) -> Latent:
    """What the net says at each sample's place and time, guided: [n, 4, size, size]."""
    guided = [i for i, sample in enumerate(batch) if sample.job.guided]
    found = model.run(feed(model, batch, guided))
    conditional = found[: len(batch)]
    unconditional = found[len(batch) : len(batch) + len(guided)]
    out = conditional.copy()
    for i, blank in zip(guided, unconditional, strict=True):
        scale = np.float32(batch[i].job.request.guidance_scale)
        out[i] = blank + scale * (conditional[i] - blank)
    return out


def feed(model: Model, batch: list[Sample], guided: list[int]) -> Tensors:
    """Inputs of one graph call: every sample with its prompt, then the guided ones with their negative prompt."""
    assert model.vocabulary is not None
    size = model.folder.pipeline["size"]
    prompts = [sample.job.encoded(model.vocabulary) for sample in batch]
    texts = [prompt for prompt, _ in prompts] + [prompts[i][1] for i in guided]
    samples = batch + [batch[i] for i in guided]
    if len(samples) == 1:
        # A single row takes another path through the matrix product and differs in the last bits (measured:
        # 4e-6 on ONNX Runtime 1.31, where two rows and more agree): an image alone is run twice over.
        samples, texts = samples * 2, texts * 2
    return {
        "x": np.stack([sample.latent(size) for sample in samples]),
        "t": np.array([sample.time for sample in samples], np.float32),
        "words": np.stack([text.words for text in texts]),
        "subwords": np.stack([text.subwords for text in texts]),
    }


def estimate(x: Latent, now: np.float32, velocity: Latent) -> Pixels:
    """The picture at the end of a straight way from here."""
    return to_pixels(x - now * velocity)


def to_pixels(x: Latent) -> Pixels:
    """Premultiplied RGBA in -1..1 as straight-alpha pixels: alpha is hard at one half, colours under none are 0."""
    values = (np.clip(x, -1, 1) + 1) / 2
    visible = values[3] > 0.5
    colours = np.clip(values[:3] / np.maximum(values[3], np.float32(0.5)), 0, 1) * visible
    out = np.empty((*visible.shape, 4), np.uint8)
    out[..., :3] = np.rint(colours * 255).transpose(1, 2, 0)
    out[..., 3] = visible * np.uint8(255)
    return out
