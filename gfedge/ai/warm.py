"""The engine and its models as they come up, while the server answers already."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import TYPE_CHECKING

from gfedge import errors, inference
from gfedge.ai.execution import Executor
from gfedge.ai.queue import JobQueue
from gfedge.ai.shadow import Watcher
from gfedge.assets.assets import Assets
from gfedge.inference.types import Device, EngineOptions, ModelFolder
from gfedge.registry.registry import Registry
from gfedge.registry.versions import version_id
from gfedge.settings import Settings

if TYPE_CHECKING:
    from gfedge.inference.types import Engine

log = logging.getLogger("gfedge")

AGAIN_SECONDS = 1.0
"""Pause before the models are tried again."""


class Warm:
    """The engine as it comes up."""

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.failure = ""
        self.stopping = asyncio.Event()
        self._reading = False
        """The model folders are being read, and examined where they are new."""

    @property
    def device(self) -> str:
        return self.engine.device.note if self.engine is not None else "starting"

    async def up(
        self,
        settings: Settings,
        known: Registry,
        queue: JobQueue,
        stored: Assets,
        watcher: Watcher,
    ) -> None:
        """Reads the model folders, starts the engine and the queue, and loads what serves."""
        try:
            self._reading = True
            await self._open(known)
            self._reading = False
            self.engine = await asyncio.to_thread(_engine, settings)
            if self.stopping.is_set():
                return
        except Exception as error:
            self.failure = f"no jobs can run: {error}"
            raise
        known.engine = self.engine
        executor = Executor(settings, self.engine, known, stored, queue.feed)
        queue.start(executor)
        if not (serving := known.serving()):
            log.warning("no model is here: put some under %s (--models)", settings.models)
        for number, model in enumerate(serving):
            await self._load(self.engine, model, known)
            if self.stopping.is_set():
                return
            if number == 0:
                _tell(self.engine.device, settings.device)
        await watcher.start(executor, lambda: any(queue.counts.values()))

    async def down(self, task: asyncio.Task[None]) -> None:
        """Ends the engine and what comes up with it; `task` is that of `up`."""
        self.stopping.set()
        if self._reading:
            task.cancel()  # an examination would go on; the next start makes it
        if self.engine is not None:
            await asyncio.to_thread(self.engine.close)  # which ends loads that wait for a worker
        # Not cancelled while a thread makes the engine: it would be left running.
        await asyncio.wait([task])
        if self.engine is not None:
            await asyncio.to_thread(self.engine.close)

    @property
    def problem(self) -> str:
        """Why no jobs can run now, if so; they may wait."""
        return self.failure or (self.engine.failure if self.engine is not None else "")

    async def _open(self, known: Registry) -> None:
        """Reads the model folders; a disk that is full for a while holds that up, it does not end it."""
        while True:
            try:
                await known.open()
            except (errors.NoSpace, errors.Unavailable) as failure:
                if self.stopping.is_set():
                    raise
                self.failure = f"no jobs can run yet: {failure}"
                log.error("the models cannot be recorded and are tried again: %s", failure)
            else:
                self.failure = ""
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), AGAIN_SECONDS)

    async def _load(self, engine: Engine, model: ModelFolder, known: Registry) -> None:
        key = version_id(model)
        known.states[key] = "loading"
        try:
            seconds = await asyncio.wrap_future(engine.load(model))
        except Exception as error:
            known.states[key] = f"failed: {error}"
            if not self.stopping.is_set():
                log.error("model %s", error)  # which it names
        else:
            known.states[key] = "ready"
            log.info("model %s is ready (%.2f s)", key, seconds)


def _engine(settings: Settings) -> Engine:
    options = EngineOptions(
        device=settings.device,
        workers=settings.workers,
        tile=settings.tile,
        cpu_fallback=settings.cpu_fallback,
        run_seconds=settings.run_seconds,
        memory_bytes=settings.model_memory,
        gpu_memory_bytes=settings.gpu_memory,
        cuda_folder=settings.cuda_dir,
        cudnn_search=settings.cudnn_search,
        fault=os.environ.get("GFEDGE_FAULT", ""),
    )
    made = _made(settings, options)
    made.start()
    return made


def _made(settings: Settings, options: EngineOptions) -> Engine:
    if settings.engine == "ray":
        return inference.cluster.RayEngine(options, settings.ray_address, settings.ray_actors)
    if settings.engine == "isolated" or settings.isolate_inference:
        return inference.isolated.IsolatedEngine(options)
    return inference.engine.Engine(options)


def _tell(found: Device, asked: str) -> None:
    missed = asked == "cuda" and not found.provider.startswith("CUDA")
    log.log(logging.WARNING if missed else logging.INFO, found.note)
