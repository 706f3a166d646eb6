"""The superres lane: tiles of all its jobs, one after the other on a CPU, in batches of one shape on a GPU.

A tile is cut, run, reduced, rounded and written into its place in the uint8 output by whichever thread took it, so
a big picture uses every core and needs a fixed amount of memory beyond its input and output.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from functools import partial

import msgspec
import numpy as np

from gfedge.inference.jobs import Job
from gfedge.inference.lanes import ModelLane, Place, Unit, distinct
from gfedge.inference.png import opaque
from gfedge.inference.sessions import Model, is_out_of_memory
from gfedge.inference.superres import Plane, Tile, grid, padding, passes, paste, planes
from gfedge.inference.types import Cancel, ModelFolder, Pixels, Progress, UpscaleRequest

GPU_BATCH_PIXELS = 1 << 19
"""Window pixels in one graph call on a GPU: about eight tiles of 256; small tiles fill a card only together."""
GPU_BATCH_TILES = 32
SMALL_BYTES = 16 << 20
"""Outputs up to this size are begun beside the large ones, which are begun one per worker: both take room at once."""
SMALL_TOGETHER_BYTES = 128 << 20
LEAST_TILE = 32
"""Below this a tile is not halved any more when memory runs out: its surroundings are most of it."""


class Pass(msgspec.Struct, eq=False):
    """One run over a picture: `source` enlarged by `factor` into `out`, tile by tile."""

    source: Pixels
    factor: int
    out: Pixels
    tiles: deque[Tile]
    remaining: int


class UpscaleJob(Job):
    """A picture and how far it is."""

    def __init__(
        self, image: Pixels, request: UpscaleRequest, progress: Progress, cancel: Cancel
    ) -> None:
        super().__init__(progress, cancel)
        self.source = image
        self.request = request
        self.factors = passes(request.scale)
        self.current: Pass | None = None
        self.is_opaque: bool | None = None
        self.tile = 0
        """Largest side of its tiles; 0 before the first pass."""
        self.alone = False
        """A call with tiles of this job and of others failed: its tiles go by themselves."""

    def output_bytes(self) -> int:
        """What the output of the next pass, or of the one that runs, takes."""
        if self.current is not None:
            return self.current.out.nbytes
        return self.source.nbytes * (self.factors[0] ** 2 if self.factors else 0)

    def begin_pass(self, folder: ModelFolder) -> Pass:
        """The next pass, or this one again with smaller tiles."""
        if self.is_opaque is None:
            self.is_opaque = opaque(self.source)
        factor = self.factors[0]
        height, width, _ = self.source.shape
        tiles = self._cut(height, width, folder)
        later = self._cut(height * factor, width * factor, folder) if self.factors[1:] else []
        self.units = self.done + len(tiles) + len(later)
        out = np.empty((height * factor, width * factor, 4), np.uint8)
        return Pass(self.source, factor, out, deque(tiles), len(tiles))

    def _cut(self, height: int, width: int, folder: ModelFolder) -> list[Tile]:
        radius = folder.pipeline["radius"]
        return grid(height, width, self.tile, radius, padding(self.request.tileable, radius))

    def end_pass(self) -> bool:
        """Whether it was the last; its output is then in `source`, as that of every pass."""
        assert self.current is not None
        self.source = self.current.out
        self.current = None
        del self.factors[0]
        return not self.factors


class Piece(msgspec.Struct, frozen=True):
    """A tile that a thread has taken."""

    job: UpscaleJob
    work: Pass
    tile: Tile

    def planes(self) -> list[Plane]:
        return planes(
            self.work.source,
            self.tile,
            tileable=self.job.request.tileable,
            is_opaque=bool(self.job.is_opaque),
        )

    def paste(self, made: list[Plane]) -> None:
        paste(self.work.out, self.tile, made, self.work.factor)


class TileLane(ModelLane[UpscaleJob]):
    """The tiles of one superres model. Jobs begin in the order in which they came and then take turns."""

    def __init__(self, folder: ModelFolder, lock: threading.Condition) -> None:
        super().__init__(folder, lock)
        self.open: list[UpscaleJob] = []
        """Jobs with a pass that is being prepared or runs, and so with an output in memory; next turn first."""

    def forget(self, jobs: Sequence[UpscaleJob]) -> None:
        self.open = [job for job in self.open if job not in jobs]

    def take_work(self, model: Model, place: Place) -> Unit | None:
        if (job := self._next_to_begin(place)) is not None:
            self.open.append(job)
            job.tile = job.tile or place.options.tile
            return partial(self._prepare, job)
        pieces = self._take_pieces(place.on_gpu)
        return partial(self._run, model, pieces, place.on_gpu) if pieces else None

    def _next_to_begin(self, place: Place) -> UpscaleJob | None:
        """The first job that waits for its next pass and for whose output there is room."""
        begun = set(self.open)
        # No factor is left between the last tile and the job's end, which comes without the lock.
        waiting = [job for job in self.jobs if job.factors and job not in begun]
        sizes = [job.output_bytes() for job in self.open] if waiting else []
        small = [size for size in sizes if size <= SMALL_BYTES]
        room = SMALL_TOGETHER_BYTES - sum(small)
        for job in waiting:
            size = job.output_bytes()
            if size <= room if size <= SMALL_BYTES else len(sizes) - len(small) < place.workers:
                return job
        return None

    def _prepare(self, job: UpscaleJob) -> None:
        try:
            work = job.begin_pass(self.folder)
        except Exception as error:
            job.settle(self.failure(error))
            return
        with self.lock:
            job.current = work

    def _take_pieces(self, on_gpu: bool) -> list[Piece]:
        """A tile of the job whose turn it is; on a GPU with company of the same shape."""
        ready = [job for job in self.open if job.current and job.current.tiles]
        if not ready:
            return []
        first = ready[0]
        self.open.remove(first)
        self.open.append(first)
        if not on_gpu or first.alone:
            return [_next_piece(first)]
        return self._company([job for job in ready if not job.alone])

    def _company(self, jobs: list[UpscaleJob]) -> list[Piece]:
        """As many tiles with windows of the first one's shape as make a good batch."""
        shape = _window_shape(jobs[0])
        limit = min(GPU_BATCH_TILES, max(1, GPU_BATCH_PIXELS // (shape[0] * shape[1])))
        pieces: list[Piece] = []
        for job in jobs:
            weight = 1 if job.is_opaque else 2
            while limit > 0 and job.current and job.current.tiles and _window_shape(job) == shape:
                pieces.append(_next_piece(job))
                limit -= weight
        return pieces

    def _run(self, model: Model, pieces: list[Piece], on_gpu: bool) -> None:
        started = time.perf_counter()
        try:
            windows = [piece.planes() for piece in pieces]
            made = (
                run_together(model, windows)
                if on_gpu
                else [run_singly(model, pieces[0].job, windows[0])]
            )
            for piece, outputs in zip(pieces, made, strict=True):
                if not piece.job.over():
                    piece.paste(outputs)
        except Exception as error:
            self._trouble(pieces, error)
            return
        jobs = distinct(piece.job for piece in pieces)
        for job in jobs:
            job.count_call(started, len(pieces))
        finished = self._note_done(pieces)
        for job in jobs:
            job.tell()
        for job in finished:
            job.settle(job.result([job.source], tiles=job.done))

    def _note_done(self, pieces: list[Piece]) -> list[UpscaleJob]:
        """Count the tiles; gives back the jobs that are complete."""
        finished = []
        with self.lock:
            for piece in pieces:
                # A tile of a pass that was begun again with smaller tiles does not count.
                if piece.work is piece.job.current and not piece.job.over():
                    piece.job.done += 1
                    piece.work.remaining -= 1
                    if not piece.work.remaining:
                        self.open.remove(piece.job)
                        if piece.job.end_pass():
                            finished.append(piece.job)
        return finished

    def _trouble(self, pieces: list[Piece], error: Exception) -> None:
        """A call failed: in company every job tries alone, without memory with half the tile, else the job fails."""
        with self.lock:
            if len(pieces) > 1:
                for piece in pieces:
                    piece.job.alone = True
                    piece.work.tiles.appendleft(piece.tile)
                return
            if is_out_of_memory(error) and self._halve(pieces[0]):
                return
        pieces[0].job.settle(self.failure(error))

    def _halve(self, piece: Piece) -> bool:
        """Have the pass begun again with half the tile; False if the tile is as small as it gets."""
        job, side = piece.job, max(piece.tile.height, piece.tile.width)
        if piece.work is not job.current:
            return True
        if side <= LEAST_TILE:
            return False
        job.tile = side // 2
        job.current = None
        self.forget([job])
        return True


def _next_piece(job: UpscaleJob) -> Piece:
    assert job.current is not None
    return Piece(job, job.current, job.current.tiles.popleft())


def _window_shape(job: UpscaleJob) -> tuple[int, int]:
    assert job.current is not None
    tile = job.current.tiles[0]
    return tile.window_height, tile.window_width


def run_singly(model: Model, job: UpscaleJob, windows: list[Plane]) -> list[Plane]:
    """Each plane by itself: on a CPU a batch gains nothing and holds more memory. Stops between planes if cancelled."""
    return [model.run({"image": plane}) for plane in windows if not job.over()]


def run_together(model: Model, windows: list[list[Plane]]) -> list[list[Plane]]:
    """All planes of all tiles, which have one shape, in one call."""
    made = model.run({"image": np.concatenate([plane for window in windows for plane in window])})
    out, at = [], 0
    for window in windows:
        out.append([made[i : i + 1] for i in range(at, at + len(window))])
        at += len(window)
    return out
