"""A judge: a small classifier of pictures, as a folder with judge.onnx and judge.json.

judge.json names its words, in the order of the outputs, and how often it is right on pictures that it was not trained
on. Its digest is that of judge.onnx: scores are compared with those of the same judge alone. Training one needs torch
(judge_training.py), asking it ONNX Runtime.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from gfedge.evaluation.colours import Bytes

GRAPH, FACTS = "judge.onnx", "judge.json"
FEWEST_WORDS = 5
"""Words that a judge needs to tell apart."""
MANY_WORDS = 25
"""From so many on a word counts that is among the judge's first five; of fewer it has to be the first."""
USABLE = 0.4
"""Held-out pictures whose word a judge must see for its word on others to count."""

Accuracy = dict[str, dict[str, float]]
"""By word: `top1` and `top5`, the share of pictures where it is first, or among the first five."""


class Unjudged(Exception):
    """There can be no score; the text says why, and what would help."""


@dataclass(frozen=True)
class Judge:
    """Its own accuracy, `real`, is on pictures that it was not trained on."""

    words: list[str]
    real: Accuracy
    size: int
    digest: str
    facts: dict[str, Any] = field(repr=False)
    graph: bytes = field(repr=False)
    session: ort.InferenceSession = field(repr=False)

    @classmethod
    def load(cls, folder: Path) -> Judge:
        """Raises Unjudged where the folder holds none."""
        try:
            graph = (folder / GRAPH).read_bytes()
            facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            return cls.of(graph, facts)
        except FileNotFoundError as missing:
            name = Path(str(missing.filename)).name
            raise Unjudged(
                f"{folder} holds no judge ({name} is missing): one is made by a training that is evaluated, or by "
                "`gfedge evaluate NAME@VERSION --data SET`"
            ) from None
        except Exception as error:  # whatever a file may hold
            raise Unjudged(f"the judge in {folder} cannot be read: {error}") from None

    @classmethod
    def of(cls, graph: bytes, facts: dict[str, Any]) -> Judge:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        digest = "sha256:" + hashlib.sha256(graph).hexdigest()
        words = [str(word) for word in facts["words"]]
        return cls(words, facts["real"], int(facts.get("size", 32)), digest, facts, graph, session)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / GRAPH).write_bytes(self.graph)
        text = json.dumps(self.facts, indent=1) + "\n"
        (folder / FACTS).write_text(text, encoding="utf-8")

    @property
    def measure(self) -> str:
        """The accuracy that its score goes by."""
        return "top5" if len(self.words) >= MANY_WORDS else "top1"

    @property
    def accuracy(self) -> float:
        """How often it sees the word of a held-out picture, over its words."""
        return float(np.mean([one[self.measure] for one in self.real.values()] or [0.0]))

    def words_for(self, known: set[str], size: int, most: int) -> list[str]:
        """Its words that a model knows, the most frequent first. Raises Unjudged where it cannot judge that model."""
        if size != self.size:
            raise Unjudged(
                f"this judge looks at {self.size}x{self.size} pictures, and the model draws {size}x{size}: take one "
                "that was trained on pictures of that size"
            )
        found = [word for word in self.words if word in known and word in self.real]
        if len(found) < max(FEWEST_WORDS, len(self.words) / 2):
            lacking = ", ".join([word for word in self.words if word not in known][:8])
            raise Unjudged(
                f"this judge knows other words: of its {len(self.words)} the model was trained on {len(found)} "
                f"(not on {lacking}); half of them, and {FEWEST_WORDS}, are needed: take a judge of the model's own set"
            )
        return found[:most]

    def check_usable(self) -> None:
        """Raises Unjudged for a judge that hardly knows what it looks at."""
        if self.accuracy < USABLE:
            raise Unjudged(
                f"the judge sees the word of only {self.accuracy:.0%} of the held-out pictures, and {USABLE:.0%} are "
                "needed for a score: more pictures of each word, or words that differ more, help; so do more judge_minutes "
                f"where its training was cut short ({self.facts.get('seconds', 0)} s)"
            )

    def logits(self, pictures: Bytes) -> npt.NDArray[np.float32]:
        found: npt.NDArray[np.float32] = self.session.run(None, {"pictures": planes(pictures)})[0]
        return found

    def ranks(self, pictures: Bytes, word: str) -> npt.NDArray[np.int64]:
        """Place of the word in what it says of each picture [n,side,side,4]; 0 is first."""
        found = self.logits(pictures)
        place: npt.NDArray[np.int64] = (found > found[:, [self.words.index(word)]]).sum(1)
        return place


def planes(pictures: Bytes) -> npt.NDArray[np.float32]:
    """Pictures [n,side,side,4] as a judge sees them: premultiplied, 0..1, [n,4,side,side]."""
    values = pictures.astype(np.float32) / 255
    values[..., :3] *= values[..., 3:]
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))
