"""Samplers of a rectified flow: the way from noise at t = 1 to a picture at t = 0 along dx/dt = v (Liu et al. 2022).

Each is a generator that asks for the velocity at a place and a time and is sent it, so that the lane may batch whatever
is asked for next by all samples. Euler asks once a step. Heun asks twice, for the mean of the slopes at both ends, but
for the last step (Karras et al. 2022, algorithm 1). DPM++ 2M asks once and extrapolates the picture from the last two
(Lu et al. 2022, algorithm 2, with alpha = 1 - t and sigma = t; of first order at both ends, where it is Euler).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gfedge.inference.latents import Latent
from gfedge.inference.types import Sampler

Times: TypeAlias = NDArray[np.float32]
After: TypeAlias = Callable[[Latent, np.float32], Latent]
"""What is done to x at a time, after each step."""


class Query(NamedTuple):
    """Where the velocity is wanted. The net sees x rolled by `shift` (rows, columns); who asks gets it rolled back."""

    x: Latent
    time: np.float32
    shift: tuple[int, int] = (0, 0)


Way: TypeAlias = Generator[Query, Latent, Latent]


def euler(x: Latent, times: Times, after: After) -> Way:
    for now, then in pairwise(times):
        velocity = yield Query(x, now)
        x = after(x + (then - now) * velocity, then)
    return x


def heun(x: Latent, times: Times, after: After) -> Way:
    for now, then in pairwise(times):
        velocity = yield Query(x, now)
        if then > 0:
            ahead = yield Query(x + (then - now) * velocity, then)
            velocity = (velocity + ahead) / np.float32(2)
        x = after(x + (then - now) * velocity, then)
    return x


def dpmpp_2m(x: Latent, times: Times, after: After) -> Way:
    before, last = None, math.inf
    for now, then in pairwise(times):
        picture = x - now * (yield Query(x, now))
        step = _log_snr(then) - _log_snr(now)
        towards = picture
        if before is not None and math.isfinite(step):
            share = np.float32(step / last / 2)
            towards = picture + share * (picture - before)
        x = after(then / now * x + (1 - then / now) * towards, then)
        before, last = picture, step
    return x


def _log_snr(t: np.float32) -> float:
    if t <= 0:
        return math.inf
    return math.log((1 - float(t)) / float(t)) if t < 1 else -math.inf


SAMPLERS: dict[Sampler, Callable[[Latent, Times, After], Way]] = {
    "euler": euler,
    "heun": heun,
    "dpmpp_2m": dpmpp_2m,
}


def seamless(way: Way, last: np.float32, stream: np.random.Generator) -> Way:
    """A way to a texture whose edges meet: the net sees it rolled by another offset each time, so that no place is at
    its border for long. At time `last` what it says is the mean of four views half a picture apart, each weighted by
    the distance from its border.
    """
    query = next(way)
    size = query.x.shape[-1]
    weights = _weights(size)
    while True:
        down, right = (int(offset) for offset in stream.integers(0, size, 2))
        if query.time != last:
            velocity = yield query._replace(shift=(down, right))
        else:
            velocity = np.zeros_like(query.x)
            for d, r in ((0, 0), (size // 2, 0), (0, size // 2), (size // 2, size // 2)):
                shift = (down + d, right + r)
                velocity += rolled_back(weights, shift) * (yield query._replace(shift=shift))
        try:
            query = way.send(velocity)
        except StopIteration as end:
            return np.asarray(end.value)


def rolled(x: Latent, shift: tuple[int, int]) -> Latent:
    return np.roll(x, shift, (-2, -1)) if any(shift) else x


def rolled_back(x: Latent, shift: tuple[int, int]) -> Latent:
    return rolled(x, (-shift[0], -shift[1]))


def _weights(size: int) -> Latent:
    """[size, size]; four of them, half a picture apart, are 1 everywhere."""
    one = np.sin((np.arange(size) + 0.5) * np.pi / size) ** 2
    weights: Latent = (one[:, None] * one[None]).astype(np.float32)
    return weights


def times_of(steps: int, strength: float) -> Times:
    """The grid from `strength` down to 0; as many of `steps` as lie below it, at least one."""
    return np.linspace(strength, 0, max(1, round(steps * strength)) + 1, dtype=np.float32)


def evaluations(sampler: Sampler, steps: int, *, tileable: bool) -> int:
    """How often the velocity is asked for in so many steps."""
    at_last = 2 if sampler == "heun" and steps > 1 else 1
    return (2 * steps - 1 if sampler == "heun" else steps) + (3 * at_last if tileable else 0)
