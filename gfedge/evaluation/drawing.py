"""Sprites drawn for a judge, by the engine's own samplers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from gfedge.evaluation.colours import Bytes
from gfedge.inference.engine import Engine
from gfedge.inference.folder import vocabulary_of
from gfedge.inference.palette import quantise
from gfedge.inference.types import Cancel, EngineOptions, GenerateRequest, ModelFolder, Sampler
from gfedge.inference.words import Vocabulary

SEEDS = 6


@dataclass(frozen=True)
class Drawing:
    """How sprites of a model are drawn."""

    engine: Engine
    model: ModelFolder
    seeds: int
    sampler: Sampler
    steps: int
    guidance: float
    drawn: dict[str, Bytes] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return int(self.model.pipeline["size"])

    @property
    def vocabulary(self) -> Vocabulary:
        return vocabulary_of(self.model)

    def sprites(self, prompt: str) -> Bytes:
        """[seeds,size,size,4], in the model's own number of colours; drawn once."""
        if prompt not in self.drawn:
            self.drawn[prompt] = self._draw(prompt)
        return self.drawn[prompt]

    def _draw(self, prompt: str) -> Bytes:
        request = GenerateRequest(
            prompt=prompt,
            n=self.seeds,
            steps=self.steps,
            sampler=self.sampler,
            guidance_scale=self.guidance,
        )
        made = self.engine.generate(self.model, request, lambda done, units: None, Cancel())
        colours = int(self.model.defaults.get("palette", 24))
        return np.stack([quantise(image, colours) for image in made.result().images])


@contextmanager
def drawing(
    model: ModelFolder,
    seeds: int = SEEDS,
    sampler: Sampler | None = None,
    steps: int = 0,
    guidance: float = 0.0,
) -> Iterator[Drawing]:
    """Draws on one core of the CPU, as the model does by default but for what is given."""
    engine = Engine(EngineOptions(device="cpu", workers=1))
    engine.start()
    told = model.defaults
    try:
        yield Drawing(
            engine,
            model,
            seeds,
            sampler or told.get("sampler", "euler"),
            steps or int(told.get("steps", 20)),
            guidance or float(told.get("guidance_scale", 2.5)),
        )
    finally:
        engine.close()
