"""What a judge says of the sprites that a model draws, word by word, held against what it says of real pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gfedge.evaluation.colours import Bytes
from gfedge.evaluation.drawing import Drawing
from gfedge.evaluation.judge import Judge

MOST_WORDS = 100
"""The most frequent ones."""

Found = dict[str, dict[str, float]]
"""By word: top1, top5, diversity."""


def evaluate(
    drawing: Drawing,
    judge: Judge,
    words: list[str],
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> Found:
    """Per word: how often it is the judge's first word, or among the first five; and how different the seeds are."""
    found = {}
    for number, word in enumerate(words):
        tell(number, len(words))
        sprites = drawing.sprites(word)
        ranks = judge.ranks(sprites, word)
        found[word] = {
            "top1": float((ranks == 0).mean()),
            "top5": float((ranks < 5).mean()),
            "diversity": diversity(sprites),
        }
    return found


def diversity(sprites: Bytes) -> float:
    """Mean difference between two seeds, of what is seen; 0 where all are the same, 1 for black against white."""
    seen = sprites.astype(np.float32) / 255
    seen[..., :3] *= seen[..., 3:]
    pairs = [np.abs(a - b).mean() for i, a in enumerate(seen) for b in seen[:i]]
    return float(np.mean(pairs)) if pairs else 0.0


def summary(found: Found, judge: Judge) -> dict[str, float]:
    """Means over the words; the score is the judge's accuracy on the sprites over its own on held-out pictures."""
    words = [word for word in found if word in judge.real]

    def mean(of: Mapping[str, Mapping[str, float]], name: str) -> float:
        return float(np.mean([of[word][name] for word in words]))

    return {
        "judge_top1": mean(found, "top1"),
        "judge_top5": mean(found, "top5"),
        "judge_top1_real": mean(judge.real, "top1"),
        "judge_top5_real": mean(judge.real, "top5"),
        "judge_score": mean(found, judge.measure) / max(mean(judge.real, judge.measure), 1e-6),
        "judge_words": float(len(words)),
        "diversity": mean(found, "diversity"),
    }


def rounded(metrics: dict[str, float]) -> dict[str, float]:
    """As they are written everywhere: model.toml, the run and the registry say the same."""
    return {name: float(f"{value:.4g}") for name, value in metrics.items()}


def told(found: Found, judge: Judge) -> dict[str, dict[str, Any]]:
    """Each word with what the judge makes of held-out pictures of it."""
    return {
        word: {
            **{name: round(value, 4) for name, value in one.items()},
            "top1_real": judge.real[word]["top1"],
            "top5_real": judge.real[word]["top5"],
            "held_out": judge.real[word]["tiles"],
        }
        for word, one in found.items()
    }
