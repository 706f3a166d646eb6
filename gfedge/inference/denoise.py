"""The sprite sampler: rectified flow with classifier-free guidance, batched step by step over all requests.

The lane holds images of different requests at different steps; each graph call takes some of them one step further,
every one with its own sampler, time, words, seed and guidance. So a new request joins at the next step and a finished or
cancelled one leaves at once. Guidance u + g (c - u), Ho and Salimans 2022, with the negative prompt in the unconditional
half. From a picture: it starts as that picture with noise (Meng et al. 2022, SDEdit); what a mask keeps is put back
after every step as it is at that time (Lugmayr et al. 2022, RePaint, without its going back).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from gfedge.inference.drawing import composed
from gfedge.inference.jobs import Job, careful
from gfedge.inference.lanes import ModelLane, Place, Unit, distinct
from gfedge.inference.latents import Latent, to_latent, to_pixels
from gfedge.inference.samplers import (
    SAMPLERS,
    Query,
    Way,
    evaluations,
    rolled,
    rolled_back,
    seamless,
    times_of,
)
from gfedge.inference.sessions import Model, Tensors, is_out_of_memory
from gfedge.inference.types import Cancel, GenerateRequest, ModelFolder, OnPreview, Pixels, Progress
from gfedge.inference.words import Encoded, Vocabulary

CPU_SHARE = 16
"""Images in one graph call on a CPU, where larger batches only make steps longer (measured)."""

MOST_SUGGESTED = 16
"""Unknown and undocumented words of a job that are looked up: it takes some milliseconds each."""


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
        self.times = times_of(request.steps, request.strength)
        steps = len(self.times) - 1
        self.units = request.n * evaluations(request.sampler, steps, tileable=request.tileable)
        self.images: dict[int, Pixels] = {}
        self.prompts: tuple[Encoded, Encoded] | None = None
        self.suggestions: dict[str, tuple[str, ...]] = {}

    def encoded(self, vocabulary: Vocabulary) -> tuple[Encoded, Encoded]:
        """The prompt and the negative prompt as ids."""
        if self.prompts is None:
            request = self.request
            self.prompts = (
                vocabulary.encode(request.prompt),
                vocabulary.encode(request.negative_prompt),
            )
            named = [*self.words("unknown"), *self.words("undocumented")]
            self.suggestions = {word: vocabulary.nearest(word) for word in named[:MOST_SUGGESTED]}
        return self.prompts

    def words(self, kind: Literal["unknown", "undocumented", "dropped"]) -> tuple[str, ...]:
        """Words of that kind: the prompt's, then the negative prompt's."""
        found = (getattr(text, kind) for text in self.prompts or ())
        return tuple(dict.fromkeys(chain.from_iterable(found)))

    @property
    def guided(self) -> bool:
        """Whether the unconditional half makes a difference."""
        return self.request.guidance_scale != 1

    def finish(self, index: int, pixels: Pixels) -> None:
        """Put an image in its place; settle the job with the last one."""
        with self.lock:
            self.images[index] = self.kept_in(pixels)
            complete = len(self.images) == self.request.n
        if complete:
            self.settle(
                self.result(
                    [self.images[i] for i in range(self.request.n)],
                    unknown_words=self.words("unknown"),
                    undocumented_words=self.words("undocumented"),
                    suggestions=self.suggestions,
                    dropped_words=self.words("dropped"),
                )
            )

    def kept_in(self, pixels: Pixels) -> Pixels:
        """The pixels that the mask keeps, just as they were."""
        if not self.request.mask:
            return pixels
        given = np.frombuffer(self.request.init_image, np.uint8).reshape(pixels.shape)
        return composed(pixels, given, self.request.mask)

    def way(self, index: int, size: int) -> Way:
        """How image `index` is sampled: from noise of its own stream, whatever batch it runs in."""
        request = self.request
        stream = np.random.Generator(np.random.Philox(request.seed + index))
        noise = stream.standard_normal((4, size, size), dtype=np.float32)
        x, after = noise, unchanged
        if request.init_image:
            given = to_latent(np.frombuffer(request.init_image, np.uint8).reshape(size, size, 4))
            x = between(given, noise, self.times[0])
            if request.mask:
                mask = np.frombuffer(request.mask, np.uint8).reshape(size, size)
                after = partial(kept, given, noise, mask)
        way = SAMPLERS[request.sampler](x, self.times, after)
        return seamless(way, self.times[-2], stream) if request.tileable else way


def check_pictures(request: GenerateRequest, size: int) -> None:
    """Raises ValueError for an init image or a mask that does not fit the model."""
    area = size * size
    if len(request.init_image) not in (0, 4 * area) or len(request.mask) not in (0, area):
        raise ValueError(f"init_image has {size}x{size} RGBA pixels and mask {size}x{size} values")
    if not request.init_image and (request.mask or request.strength < 1):
        raise ValueError("mask and strength go with an init_image")


def between(picture: Latent, noise: Latent, t: np.float32) -> Latent:
    """What a picture is at time t of the flow."""
    return (1 - t) * picture + t * noise


def unchanged(x: Latent, t: np.float32) -> Latent:
    return x


def kept(
    picture: Latent, noise: Latent, mask: NDArray[np.uint8], x: Latent, t: np.float32
) -> Latent:
    """x where the mask draws anew, and the picture as it is at time t elsewhere."""
    return np.where(mask, x, between(picture, noise, t))


class Sample(msgspec.Struct, eq=False):
    """One image of a job on its way."""

    job: GenerateJob
    index: int
    way: Way | None = None
    query: Query | None = None
    """What it asks next."""
    end: Latent | None = None
    alone: bool = False
    """Its last call failed in company: the next one is made for it alone, to see whose fault it was."""

    def asked(self, size: int) -> Query:
        """Where the velocity is wanted."""
        if self.query is None:
            self.way = self.job.way(self.index, size)
            self.query = next(self.way)
        return self.query

    def advance(self, seen: Latent) -> None:
        """Goes on with the velocity [4, size, size] of what the net saw."""
        assert self.query is not None
        assert self.way is not None
        velocity = rolled_back(seen, self.query.shift)
        if self.job.on_preview is not None:
            careful(self.job.on_preview, self.index, partial(estimate, self.query, velocity))
        try:
            self.query = self.way.send(velocity)
        except StopIteration as end:
            self.end = end.value

    def finished(self) -> bool:
        return self.end is not None


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
            if sample.end is not None and not sample.job.over():
                sample.job.finish(sample.index, to_pixels(sample.end))

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
    found = model.run(feed(model, batch, guided), [sample.job.request.seed for sample in batch])
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
    asked = [sample.asked(size) for sample in batch]
    asked += [asked[i] for i in guided]
    if len(asked) == 1:
        # A single row takes another path through the matrix product and differs in the last bits (measured:
        # 4e-6 on ONNX Runtime 1.31, where two rows and more agree): an image alone is run twice over.
        asked, texts = asked * 2, texts * 2
    return {
        "x": np.stack([rolled(query.x, query.shift) for query in asked]),
        "t": np.array([query.time for query in asked], np.float32),
        "words": np.stack([text.words for text in texts]),
        "subwords": np.stack([text.subwords for text in texts]),
    }


def estimate(query: Query, velocity: Latent) -> Pixels:
    """The picture at the end of a straight way from here."""
    return to_pixels(query.x - query.time * velocity)
