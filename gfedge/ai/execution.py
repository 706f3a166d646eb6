"""The execution of one job: its pipeline, then its pictures to files. Whatever goes wrong ends this job alone."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from typing import TYPE_CHECKING

import msgspec

from gfedge import __version__, errors, inference
from gfedge.ai import metadata
from gfedge.ai.budget import Budget
from gfedge.ai.feed import Feed, Picture
from gfedge.ai.live import Live, Outcome
from gfedge.ai.pipelines import PIPELINES
from gfedge.ai.types import JobError
from gfedge.ai.work import Work
from gfedge.assets.assets import Assets
from gfedge.assets.types import AssetRow
from gfedge.inference.types import Cancelled, EngineError, ImageError, Pixels, PoisonousJob
from gfedge.registry.registry import Registry
from gfedge.settings import Settings

if TYPE_CHECKING:
    from gfedge.inference.types import Engine

log = logging.getLogger(__name__)


class Executor:
    """What executing needs, whatever the job."""

    def __init__(
        self, settings: Settings, engine: Engine, registry: Registry, assets: Assets, feed: Feed
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._registry = registry
        self._assets = assets
        self._feed = feed
        self._memory = Budget(settings.max_job_memory)

    async def execute(self, live: Live) -> Outcome:
        """Runs a job to its end, of whatever kind that is; raises nothing but the task's own cancellation."""
        work = self._work(live)
        try:
            outputs = await self._execute(live, work)
        except Cancelled:
            outcome = Outcome(status="cancelled")
        except Exception as error:
            outcome = Outcome(status="failed", error=reason(error))
        else:
            outcome = Outcome(status="succeeded", outputs=outputs)
        outcome.measures = {**work.measures, "peak_memory_bytes": peak_memory_bytes()}
        outcome.seam_scores = work.seam_scores
        outcome.surroundings = {
            "gfedge": __version__,
            **(work.surroundings or self._engine.surroundings),
        }
        outcome.unknown_words, outcome.dropped_words = work.unknown_words, work.dropped_words
        outcome.undocumented_words, outcome.suggestions = work.undocumented_words, work.suggestions
        return outcome

    async def _execute(self, live: Live, work: Work) -> list[AssetRow]:
        live.cancel.check()
        pipeline = PIPELINES[live.submission.kind]
        params = msgspec.convert(live.submission.params, pipeline.params)
        async with self._memory.hold(await pipeline.memory(work, params), live.cancel.check):
            return await self._store(live, await pipeline.run(work, params))

    def _work(self, live: Live) -> Work:
        loop = asyncio.get_running_loop()

        def report(stage: str, done: int, total: int) -> None:
            loop.call_soon_threadsafe(self._report, live, stage, done, total)

        def preview(index: int, picture: Picture) -> None:
            loop.call_soon_threadsafe(self._feed.previewed, live, index, picture)

        image, live.image = live.image, None
        return Work(
            submission=live.submission,
            image=image,
            engine=self._engine,
            registry=self._registry,
            assets=self._assets,
            settings=self._settings,
            report=report,
            preview=preview,
            cancel=live.cancel,
            timings=live.timings,
        )

    def _report(self, live: Live, stage: str, done: int, total: int) -> None:
        live.report(stage, done, total)
        if live.submission.shadow_of is None:
            self._feed.progressed(live)

    async def _store(self, live: Live, images: list[Pixels]) -> list[AssetRow]:
        """Encodes and writes the pictures in worker threads; their rows are inserted with the job's end."""
        began = time.perf_counter()
        rows = []
        for index, image in enumerate(images):
            rows.append(await asyncio.to_thread(self._encode, live, image, index))
            live.made.append(rows[-1].sha256)
            live.cancel.check()
        live.timings.encode_seconds = time.perf_counter() - began
        return rows

    def _encode(self, live: Live, image: Pixels, index: int) -> AssetRow:
        """A job that runs another one again and gets its very pixels writes its very file, and that stays one asset."""
        height, width = image.shape[:2]
        pixels = inference.png.pixels_sha256(image)
        maker, again = live.submission, live.submission.original
        if again is not None and pixels in again.pixels_sha256[index : index + 1]:
            maker = msgspec.structs.replace(maker, id=again.job_id)
        texts = metadata.texts(maker, self._settings.address, width, height, index)
        row, _ = self._assets.put(
            inference.png.encode(image, texts, live.cancel.check),
            pixels_sha256=pixels,
            media_type="image/png",
            width=width,
            height=height,
        )
        return row


def reason(error: Exception) -> JobError:
    """Why a job failed, in words for its owner; what nobody foresaw also goes to the log."""
    if isinstance(error, errors.ApiError):
        return JobError(code=error.code, detail=error.detail)
    if isinstance(error, ImageError):
        return JobError(code="bad_image", detail=str(error))
    if isinstance(error, MemoryError):
        return JobError(code="out_of_memory", detail="there was not enough memory for this job")
    if isinstance(error, PoisonousJob):
        return JobError(code="poisonous_job", detail=str(error))
    if isinstance(error, EngineError):
        return JobError(code="engine_error", detail=str(error))
    log.error("a job failed for an unforeseen reason", exc_info=error)
    return JobError(
        code="internal", detail=f"the server failed at this job: {type(error).__name__}"
    )


def peak_memory_bytes() -> float:
    """The most memory that this process has held since it began (resident set): jobs that run together cannot be told
    apart, so it is no job's own, and what worker processes hold is not in it.
    """
    if sys.platform == "win32":
        return 0.0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else peak * 1024)
