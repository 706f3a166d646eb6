"""A version and the one in prod on the same inputs, in turns, on this server's own engine."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from gfedge import inference
from gfedge.inference.types import (
    Cancel,
    GenerateRequest,
    ModelFolder,
    Pixels,
    UpscaleRequest,
)
from gfedge.registry import golden

if TYPE_CHECKING:
    from gfedge.inference.types import Engine

ROUNDS = 5
"""Times that each input is run by each version; the fastest counts, which company on the machine disturbs least."""
STEPS = 4
"""Sampling steps of a golden prompt: enough to draw something and to be timed."""
PERFECT_PSNR = 100.0
"""What a picture without any difference counts for in a mean of decibels."""
PATIENCE = 300.0


class Showing(msgspec.Struct):
    """What a version showed."""

    seconds: float = math.inf
    """All inputs once, each at its fastest."""
    psnr: float = 0.0
    ssim: float = 0.0
    drawn: float = 0.0
    """Share of the prompts that gave a picture."""
    fastest: dict[int, float] = msgspec.field(default_factory=dict)
    outputs: dict[int, Pixels] = msgspec.field(default_factory=dict)


Run = Callable[[ModelFolder, int], Awaitable[Pixels]]


async def answer(engine: Engine, folder: ModelFolder) -> float:
    """Loads a version beside the others, lets it answer one golden input, and gives the seconds of both."""
    began = time.perf_counter()
    async with asyncio.timeout(PATIENCE):
        await asyncio.wrap_future(engine.load(folder))
        run, _, _ = await asyncio.to_thread(_inputs, engine, folder)
        await run(folder, 0)
    return time.perf_counter() - began


async def compare(engine: Engine, folders: Sequence[ModelFolder], rounds: int) -> list[Showing]:
    """What each version shows on the golden inputs of the first one."""
    run, count, finish = await asyncio.to_thread(_inputs, engine, folders[0])
    shown = [Showing() for _ in folders]
    async with asyncio.timeout(PATIENCE):
        for _ in range(rounds):
            for number in range(count):
                for folder, one in zip(folders, shown, strict=True):
                    began = time.perf_counter()
                    one.outputs[number] = await run(folder, number)
                    seconds = time.perf_counter() - began
                    one.fastest[number] = min(seconds, one.fastest.get(number, math.inf))
    for one in shown:
        one.seconds = sum(one.fastest.values())
        await asyncio.to_thread(finish, one)
    return shown


def _inputs(engine: Engine, folder: ModelFolder) -> tuple[Run, int, Callable[[Showing], None]]:
    """(what runs an input, how many there are, what judges the outputs) for a kind of model."""
    return _upscaling(engine, folder) if folder.kind == "superres" else _generating(engine, folder)


def _upscaling(engine: Engine, folder: ModelFolder) -> tuple[Run, int, Callable[[Showing], None]]:
    wanted = golden.pictures(folder)
    scale = int(folder.pipeline["scale"])
    given = [golden.shrunk(picture, scale) for picture in wanted]
    request = UpscaleRequest(scale=scale)  # type: ignore[arg-type]  # the folder was checked

    async def run(model: ModelFolder, number: int) -> Pixels:
        future = engine.upscale(model, given[number], request, _silent, Cancel())
        return (await asyncio.wrap_future(future)).images[0]

    def finish(shown: Showing) -> None:
        likenesses = [
            inference.likeness.compare(shown.outputs[number], picture)
            for number, picture in enumerate(wanted)
        ]
        shown.psnr = sum(min(one.psnr, PERFECT_PSNR) for one in likenesses) / len(likenesses)
        shown.ssim = sum(one.ssim or 0.0 for one in likenesses) / len(likenesses)

    return run, len(wanted), finish


def _generating(engine: Engine, folder: ModelFolder) -> tuple[Run, int, Callable[[Showing], None]]:
    wanted = golden.prompts(folder)

    async def run(model: ModelFolder, number: int) -> Pixels:
        request = GenerateRequest(prompt=wanted[number], seed=number + 1, steps=STEPS)
        future = engine.generate(model, request, _silent, Cancel())
        return (await asyncio.wrap_future(future)).images[0]

    def finish(shown: Showing) -> None:
        drawn = [golden.is_drawn(picture) for picture in shown.outputs.values()]
        shown.drawn = sum(drawn) / len(drawn)

    return run, len(wanted), finish


def _silent(done: int, total: int) -> None:
    """Nobody watches."""
