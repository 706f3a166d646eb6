"""The engine: runs sprite and superres requests on one device with a few threads.

Requests of one model form a lane; the threads take units of work (a denoising step, a tile) from the lanes in turn, so
a long job holds nobody up and a cancelled one stops within a unit. On a CPU there is a thread per core, each running
graphs by itself; a GPU has one. No HTTP, no database, no event loop: futures come in and results go out.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import msgspec
import numpy as np

from gfedge.inference.deadline import CLOSED
from gfedge.inference.denoise import DenoiseLane, GenerateJob, check_pictures
from gfedge.inference.device import closer_look, first_look, on_cpu, surroundings
from gfedge.inference.jobs import Job
from gfedge.inference.lanes import Lane, ModelLane, Place, Unit, settle_loads
from gfedge.inference.pixelart import PixelJob, PixelLane
from gfedge.inference.sessions import Key, Sessions, key_of, reason
from gfedge.inference.tiles import TileLane, UpscaleJob
from gfedge.inference.types import (
    Cancel,
    Cancelled,
    Device,
    EngineError,
    EngineOptions,
    GenerateRequest,
    LoadedModel,
    ModelFolder,
    OnPreview,
    Pixels,
    Progress,
    Result,
    UpscaleRequest,
    WorkerState,
)

log = logging.getLogger(__name__)

REST_SECONDS = 20.0
"""After this long without work the memory arenas are shrunk."""
CLOSE_SECONDS = 30.0
"""How long a thread that does not come back (a GPU that hangs) is waited for at the end."""
LOOKING = "looking for a CUDA device"
PIXEL_LANE: Key = ("", "", "")

AnyLane = Lane[Any]


class Engine:
    """Runs requests on the models of this machine. Its methods may be called from any thread and do not wait.

    Futures end with a Result, or with Cancelled or EngineError; callbacks come from engine threads.
    """

    def __init__(self, options: EngineOptions) -> None:
        self.options = options
        self.changed = threading.Condition()
        self.lanes: OrderedDict[Key, AnyLane] = OrderedDict()
        self.threads: list[threading.Thread] = []
        self.place: Place | None = None
        self.found: Device | None = None
        self.closing = False
        self.rested = True
        self.looked = threading.Event()
        """The device is known."""

    @property
    def device(self) -> Device:
        """Where graphs run. Known right after `start` on a machine without a GPU, a second or two later with one."""
        return self.found or on_cpu(LOOKING)

    @property
    def surroundings(self) -> dict[str, str]:
        """What a result may depend on besides its request: device, threads, libraries, processor."""
        threads = str(self.place.workers) if self.place is not None else ""
        return {"provider": self.device.provider, "threads": threads, **surroundings()}

    @property
    def failure(self) -> str:
        return ""

    def workers(self) -> list[WorkerState]:
        return []

    def start(self) -> None:
        """Look for the device and start the threads. Does not wait, nor import ONNX Runtime."""
        device = first_look(self.options)
        if device is not None:
            self._begin(device)
        else:
            self._spawn("engine-look", self._look)

    def close(self) -> None:
        """Cancel every job, end the runs in flight, stop the threads, unload the models."""
        with self.changed:
            self.closing = True
            lanes, self.lanes = list(self.lanes.values()), OrderedDict()
            self.changed.notify_all()
        for lane in lanes:
            lane.abandon(Cancelled())
        if self.place is not None:
            self.place.sessions.deadline.close()
        self._join()
        if self.place is not None:
            self.place.sessions.clear()

    def _join(self) -> None:
        until = time.monotonic() + CLOSE_SECONDS
        while self.threads:
            thread = self.threads.pop()
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                log.error("%s does not end and is left", thread.name)

    def generate(
        self,
        model: ModelFolder,
        request: GenerateRequest,
        progress: Progress,
        cancel: Cancel,
        on_preview: OnPreview | None = None,
    ) -> Future[Result]:
        """Sample `request.n` sprites, uint8 [size, size, 4] each. Raises ValueError for a request that makes no sense."""
        if model.kind != "generate":
            raise ValueError(f"{model.name}/{model.version} is a {model.kind} model")
        if request.n < 1 or request.steps < 1 or request.seed < 0 or not 0 < request.strength <= 1:
            raise ValueError(
                "n, steps at least 1, the seed not negative, strength above 0 and at most 1"
            )
        check_pictures(request, int(model.pipeline["size"]))
        job = GenerateJob(request, progress, cancel, on_preview)
        self._add(key_of(model), partial(self._lane_of, model), job)
        return job.future

    def upscale(
        self,
        model: ModelFolder | None,
        image: Pixels,
        request: UpscaleRequest,
        progress: Progress,
        cancel: Cancel,
    ) -> Future[Result]:
        """Enlarge a picture. `model` may be None for mode "pixel". Raises ValueError as `generate` does."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 4 or not image.size:
            raise ValueError("a picture is uint8 [height, width, 4] with at least one pixel")
        if request.mode == "pixel":
            pixels = PixelJob(image, request.scale, progress, cancel)
            self._add(PIXEL_LANE, partial(PixelLane, self.changed), pixels)
            return pixels.future
        if model is None or model.kind != "superres":
            raise ValueError("mode smooth needs a superres model")
        job = UpscaleJob(image, request, progress, cancel)
        self._add(key_of(model), partial(self._lane_of, model), job)
        return job.future

    def load(self, model: ModelFolder) -> Future[float]:
        """Load a model and warm it up; the seconds it took. It stays until others need its room."""
        future: Future[float] = Future()
        with self.changed:
            if not self.closing:
                lane = self._lane(key_of(model), partial(self._lane_of, model))
                assert isinstance(lane, ModelLane)
                lane.loads.append(future)
                self.changed.notify()
                return future
        settle_loads([future], EngineError(CLOSED))
        return future

    def keep(self, model: ModelFolder, seconds: float) -> None:
        """Unload this one last, for so long."""
        if self.place is not None:
            self.place.sessions.keep(model, seconds)

    def loaded(self) -> list[LoadedModel]:
        """The models in memory now."""
        return self.place.sessions.loaded() if self.place is not None else []

    def _lane_of(self, model: ModelFolder) -> AnyLane:
        if model.kind == "generate":
            return DenoiseLane(model, self.changed, self.options.max_batch)
        return TileLane(model, self.changed)

    def _lane(self, key: Key, make: Callable[[], AnyLane]) -> AnyLane:
        if key not in self.lanes:
            self.lanes[key] = make()
        return self.lanes[key]

    def _add(self, key: Key, make: Callable[[], AnyLane], job: Job) -> None:
        with self.changed:
            if not self.closing:
                self._lane(key, make).add(job)
                self.changed.notify()
                return
        job.settle(EngineError(CLOSED))

    def _spawn(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _look(self) -> None:
        try:
            device = closer_look(self.options)
        except Exception as error:
            log.exception("looking for a CUDA device failed")
            device = on_cpu(f"CUDA cannot be used ({error}): running on CPU")
        self._begin(device)

    def _begin(self, device: Device) -> None:
        """Start as many threads as the device can use."""
        on_gpu = device.provider == "CUDAExecutionProvider"
        workers = 1 if on_gpu else self.options.workers or cores()
        sessions = Sessions(self.options, device)
        sessions.lost = partial(self._lost, sessions)
        self.place = Place(options=self.options, sessions=sessions, workers=workers, on_gpu=on_gpu)
        self.found = device
        self.looked.set()
        for number in range(workers):
            self._spawn(f"engine-{number}", partial(self._work, self.place))

    def _lost(self, sessions: Sessions, text: str) -> None:
        """The GPU no longer answers. The call that met it fails; what waits goes to the CPU if that is set."""
        with self.changed:
            if self.closing or self.place is None or self.place.sessions is not sessions:
                return
            if self.device.lost:
                return
            log.error("the GPU was lost: %s", text)
            if not self.options.cpu_fallback:
                self.found = msgspec.structs.replace(
                    self.device, note=f"the GPU was lost: {text}", lost=text
                )
                return
            for lane in self.lanes.values():
                lane.move()
        self._begin(
            msgspec.structs.replace(on_cpu(f"the GPU was lost ({text}): running on CPU"), lost=text)
        )

    def _work(self, place: Place) -> None:
        """What each thread does: take a unit from the lane whose turn it is, run it, look again."""
        while unit := self._take(place):
            unit()
            del unit  # it holds its job and so its pictures, and the next one may be long in coming

    def _take(self, place: Place) -> Unit | None:
        """Wait for something to do; None when the engine closes."""
        with self.changed:
            while not self.closing and place is self.place:
                if found := self._next_unit(place):
                    lane, unit = found
                    lane.in_flight += 1
                    self.rested = False
                    return partial(self._run, lane, unit)
                woken = self.changed.wait(None if self.rested else REST_SECONDS)
                if not woken and not self.lanes and not self.rested:
                    self.rested = True
                    return place.sessions.shrink
        return None

    def _run(self, lane: AnyLane, unit: Unit) -> None:
        """Run a unit. That one raises is a mistake in the lane; its jobs fail rather than wait for ever."""
        try:
            unit()
        except Exception as error:
            log.exception("a unit of work raised, which no unit may")
            lane.abandon(EngineError(f"the engine made a mistake: {reason(error)}"))
        with self.changed:
            lane.in_flight -= 1
            self.changed.notify_all()

    def _next_unit(self, place: Place) -> tuple[AnyLane, Unit] | None:
        """A unit of the next lane that has one, in turn; lanes without jobs give their models back."""
        for key, lane in list(self.lanes.items()):
            self.lanes.move_to_end(key)
            if unit := lane.take(place):
                return lane, unit
            if lane.idle():
                lane.close(place.sessions)
                del self.lanes[key]
        return None


def cores() -> int:
    """Cores that this process may use; a container or taskset may allow fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
