"""One job while it runs, and what a kind of job is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from gfedge import errors, inference
from gfedge.ai.types import GenerateParams, SheetParams, Submission, SuperresParams, Timings
from gfedge.assets.assets import Assets
from gfedge.inference.types import Cancel, ModelFolder, Pixels, Result
from gfedge.registry.registry import Registry
from gfedge.registry.types import ModelRef
from gfedge.settings import Settings

if TYPE_CHECKING:
    from gfedge.inference.types import Engine

Params = GenerateParams | SuperresParams | SheetParams
Report = Callable[[str, int, int], None]
"""Called with (stage, done, all), from any thread."""
Preview = Callable[[int, Callable[[], Pixels]], None]
"""Called with the index of a picture and what makes it as it would be now, from any thread."""


class Work(msgspec.Struct, kw_only=True):
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
    measures: dict[str, float] = msgspec.field(default_factory=dict)
    """Metrics of the run besides its timings."""
    surroundings: dict[str, str] = msgspec.field(default_factory=dict)
    """Of the worker that ran it, where there are several."""
    seam_scores: list[float] = msgspec.field(default_factory=list)
    """Of each picture, where they are textures."""
    unknown_words: tuple[str, ...] = ()
    undocumented_words: tuple[str, ...] = ()
    dropped_words: tuple[str, ...] = ()
    suggestions: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)

    def progress(self, stage: str) -> Callable[[int, int], None]:
        return lambda done, total: self.report(stage, done, total)

    def account(self, result: Result) -> None:
        """Takes over what a run of the engine cost."""
        self.timings.load_seconds += result.load_seconds
        self.timings.inference_seconds += result.inference_seconds
        self.measures["batch_size"] = result.batch_size
        self.surroundings |= result.ran_on

    async def decoded(self, sha256: str) -> Pixels:
        """The pixels of an input asset."""
        data = await self.assets.read(sha256)
        began = time.perf_counter()
        image = await asyncio.to_thread(inference.png.decode, data, self.settings.max_pixels)
        self.timings.decode_seconds += time.perf_counter() - began
        return image

    def model(self, ref: ModelRef | None) -> ModelFolder:
        """The very version that the job was acknowledged with; a restart may have lost it."""
        assert ref is not None
        if (model := self.registry.exact(ref)) is None:
            raise errors.Invalid(
                f"model {ref.id} with digest {ref.digest} is no longer here: restore its folder and send the job again",
                code="model_gone",
            )
        return model


class Pipeline(msgspec.Struct, frozen=True, kw_only=True):
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


def bytes_per_pixel(scale: int) -> int:
    """Of input: itself, its output in RGBA, and the same again while that is encoded."""
    return 4 + 2 * 4 * scale**2
