"""Training a judge on the set that a model was trained on; needs torch (the extra `train`). A minute or two on one core.

Colours are left to `colours.py`: hue-turned copies teach it that a potion is one in any colour. Learning rate and
momentum follow one cycle (Smith & Topin 2018) over the steps, or over the seconds that it may take if those end first.
"""

from __future__ import annotations

import math
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  as everybody calls it
from torch import Tensor, nn

from gfedge.evaluation.colours import Bytes, recoloured
from gfedge.evaluation.judge import GRAPH, Judge, planes
from gfedge.evaluation.sets import Note
from gfedge.evaluation.split import (
    FEWEST_HELD_OUT,
    accuracy,
    check_enough,
    held_out,
    targets,
)

COPIES = 3
"""Hue-turned copies of each picture that may be turned."""
CHANNELS = (32, 64, 128)
BATCH, EPOCHS, FEWEST_STEPS = 64, 45, 600
PEAK = 6e-3

Tell = Callable[[int, int], None]
"""Is called with the steps that are done, and how many there are at most; what it raises ends the training."""


class Net(nn.Module):  # type: ignore[misc]
    """Pictures [n,4,side,side], premultiplied RGBA in 0..1 -> logits [n,words]; a word's sigmoid is its chance."""

    def __init__(self, words: int, side: int) -> None:
        super().__init__()
        layers: list[Any] = []
        before = 16  # four pixels at once
        for channels in CHANNELS:
            for i in range(2):
                layers += [
                    nn.Conv2d(before if i == 0 else channels, channels, 3, padding=1, bias=False),
                    nn.BatchNorm2d(channels),
                    nn.ReLU(),
                ]
            layers.append(nn.MaxPool2d(2))
            before = channels
        self.seen = nn.Sequential(*layers)
        seen = before * (side // 16) ** 2
        self.said = nn.Sequential(nn.Flatten(), nn.Dropout(0.4), nn.Linear(seen, words))

    def forward(self, pictures: Tensor) -> Tensor:
        return self.said(self.seen(F.pixel_unshuffle(pictures, 2)))


def judge_of(
    pictures: Bytes,
    notes: list[Note],
    digest: str,
    words: list[str] | None = None,
    *,
    fewest: int = FEWEST_HELD_OUT,
    epochs: int = 0,
    seed: int = 1,
    seconds: float = math.inf,
    tell: Tell = lambda step, steps: None,
) -> Judge:
    """A judge of a set, with its accuracy on held-out pictures. Raises Unjudged where the set has too few."""
    words = words or check_enough(notes)
    out = held_out(notes, words, fewest)
    kept = [note for note, o in zip(notes, out, strict=True) if not o]
    left = [note for note, o in zip(notes, out, strict=True) if o]
    steps = epochs * len(kept) // BATCH or max(FEWEST_STEPS, EPOCHS * len(kept) // BATCH)
    began = time.monotonic()
    net = trained(pictures[~out], kept, words, steps, seed, began + seconds, tell)
    with torch.no_grad():
        logits = net(torch.from_numpy(planes(pictures[out]))).numpy()
    real = accuracy(logits, left, words)
    facts = {
        "data": digest,
        "size": pictures.shape[1],
        "trained_on": len(kept),
        "held_out": len(left),
        "seconds": round(time.monotonic() - began),
        "top1": _mean(real, "top1"),
        "top5": _mean(real, "top5"),
        "words": words,
        "real": {
            word: {name: round(value, 4) for name, value in one.items()}
            for word, one in real.items()
        },
    }
    return Judge.of(exported(net, pictures.shape[1]), facts)


def trained(
    pictures: Bytes,
    notes: list[Note],
    words: list[str],
    steps: int,
    seed: int,
    until: float,
    tell: Tell,
) -> Net:
    """AdamW over one cycle; rare words are drawn more often."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    bank = torch.from_numpy(_bank(pictures, notes, rng))
    wanted = torch.from_numpy(targets(notes, words))
    chance = (wanted / wanted.sum(0).clamp(min=1).sqrt()).max(1).values.numpy()
    chance = chance.astype(np.float64) + 0.02
    chance /= chance.sum()
    net = Net(len(words), pictures.shape[1])
    optimiser = torch.optim.AdamW(net.parameters(), PEAK, weight_decay=0.02)
    net.train()
    step, began = 0, time.monotonic()
    while (done := max(step / steps, (time.monotonic() - began) / (until - began))) < 1:
        rate, momentum = cycle(done)
        optimiser.param_groups[0].update(lr=rate, betas=(momentum, 0.999))
        pick = rng.choice(len(notes), BATCH, p=chance)
        turn = rng.integers(0, COPIES + 1, BATCH)
        said = net(shifted(bank[turn, pick], rng))
        loss = F.binary_cross_entropy_with_logits(said, wanted[pick]) * len(words) / 8
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        tell(step, steps)
    net.eval()
    return net


def cycle(done: float) -> tuple[float, float]:
    """Learning rate and momentum when that share of the training is done: up over 30% of it, then down to nothing."""
    if done < 0.3:
        return _between(PEAK / 25, PEAK, done / 0.3), _between(0.95, 0.85, done / 0.3)
    fallen = (done - 0.3) / 0.7
    return _between(PEAK, PEAK / 25e4, fallen), _between(0.85, 0.95, fallen)


def shifted(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Each moved by up to 3 pixels, half of them mirrored, some with a little noise."""
    padded = F.pad(pictures, (3, 3, 3, 3))
    out = torch.empty_like(pictures)
    side = pictures.shape[-1]
    moves = rng.integers(0, 7, (len(pictures), 2))
    mirrored = rng.random(len(pictures)) < 0.5
    for i, (y, x) in enumerate(moves.tolist()):
        one = padded[i, :, y : y + side, x : x + side]
        out[i] = one.flip(2) if mirrored[i] else one
    noisy = torch.from_numpy((rng.random(len(pictures)) < 0.5).astype(np.float32) * 0.05)
    noise = torch.from_numpy(rng.standard_normal(out.shape, dtype=np.float32))
    return out + noise * noisy[:, None, None, None] * out[:, 3:]


def exported(net: Net, side: int) -> bytes:
    """The graph: pictures [n,4,side,side] -> logits [n,words]."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / GRAPH
        torch.onnx.export(
            net,
            (torch.rand(2, 4, side, side),),
            str(path),
            input_names=["pictures"],
            output_names=["logits"],
            dynamic_axes={"pictures": {0: "n"}, "logits": {0: "n"}},
            opset_version=17,
            dynamo=False,
        )
        return path.read_bytes()


# Inside


def _bank(pictures: Bytes, notes: list[Note], rng: np.random.Generator) -> Any:
    """The pictures and their copies, [1 + COPIES, n, 4, side, side]."""
    banks = [pictures]
    for _ in range(COPIES):
        turned = [
            recoloured(picture, rng.uniform(0.08, 0.92)) if note["turn"] else picture
            for picture, note in zip(pictures, notes, strict=True)
        ]
        banks.append(np.stack(turned))
    return np.stack([planes(one) for one in banks])


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


def _mean(real: dict[str, dict[str, float]], name: str) -> float:
    return round(float(np.mean([one[name] for one in real.values()])), 4)
