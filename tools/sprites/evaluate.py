"""What a sprite model draws, judged: python -m sprites.evaluate --model models/sprite/1 [--data train.npz] [--write].

The judge (judge.py) looks at sprites of each of its words, several seeds each, drawn by the engine's own samplers, and
is held against itself: a word's score is how often it sees the word in them, over how often it does in held-out real
tiles. Besides, from the pixels: whether a colour word gives that colour, how different the seeds are, and, with the
training set, how near each sprite is to a training picture. numpy and ONNX Runtime only. `--write` puts the figures
into model.toml: `[metrics]`, which promotion gates look at, `[evaluation]`, by which judge, and `[vocabulary]`, the words that pass.
"""

import argparse
import hashlib
import json
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from gfedge.inference.engine import Engine
from gfedge.inference.folder import read_folder
from gfedge.inference.palette import quantise
from gfedge.inference.types import Cancel, EngineOptions, GenerateRequest, ModelFolder, Sampler
from gfedge.inference.words import Vocabulary
from sprites.colours import Bytes, dominant
from sprites.data import load
from sprites.likeness import ALIKE, SAME_OUTLINE, likeness
from sprites.recipe import COLOURS

JUDGE = Path(__file__).parent
DULL = ("black", "gray", "white", "brown")
"""Colours that most things have some of."""
COLOURED = ("potion", "dragon", "book", "shield")
"""Things that are drawn in every colour."""
PASSES = 0.5
"""Share of a word's sprites that the judge must see it in, among its first five, for the word to be documented."""


@dataclass(frozen=True)
class Verdict:
    """The judge's own accuracy is on tiles that it was not trained on."""

    words: list[str]
    real: dict[str, dict[str, float]]
    session: ort.InferenceSession
    digest: str
    """Scores are compared with those of the same judge alone."""

    @classmethod
    def load(cls, folder: Path) -> "Verdict":
        facts = json.loads((folder / "judge.json").read_text(encoding="utf-8"))
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        graph = (folder / "judge.onnx").read_bytes()
        session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        digest = "sha256:" + hashlib.sha256(graph).hexdigest()
        return cls(facts["words"], facts["real"], session, digest)

    def ranks(self, pictures: Bytes, word: str) -> np.ndarray:
        """Place of the word in what the judge says of each picture [n,32,32,4]; 0 is first."""
        values = pictures.astype(np.float32) / 255
        values[..., :3] *= values[..., 3:]
        planes = np.ascontiguousarray(values.transpose(0, 3, 1, 2))
        logits = self.session.run(None, {"pictures": planes})[0]
        return (logits > logits[:, [self.words.index(word)]]).sum(1)


@dataclass(frozen=True)
class Drawing:
    """How sprites are drawn for the judge."""

    engine: Engine
    model: ModelFolder
    seeds: int
    sampler: Sampler
    steps: int
    guidance: float
    drawn: dict[str, Bytes] = field(default_factory=dict)

    def sprites(self, prompt: str) -> Bytes:
        """[seeds,32,32,4], in the model's own number of colours; drawn once."""
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


def evaluate(drawing: Drawing, verdict: Verdict, words: list[str]) -> dict[str, dict[str, float]]:
    """Per word: how often it is the judge's first word, or among the first five; and how different the seeds are."""
    found = {}
    for word in words:
        sprites = drawing.sprites(word)
        ranks = verdict.ranks(sprites, word)
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


def colour_accuracy(drawing: Drawing, known: Vocabulary) -> dict[str, float]:
    """How often each colour word gives that colour, by the pixels' own names."""
    things = [thing for thing in COLOURED if thing in known.ids]
    found = {}
    for colour in (c for c in COLOURS if c in known.ids and c not in DULL):
        sprites = [one for thing in things for one in drawing.sprites(f"{colour} {thing}")]
        named = [dominant(sprite) for sprite in sprites]
        right = [colour in names or (colour == "gold" and "yellow" in names) for names in named]
        found[colour] = float(np.mean(right)) if right else 0.0
    return found


def copies(drawing: Drawing, words: list[str], pictures: Bytes) -> tuple[float, float]:
    """(share of sprites that are a training picture but for colours, mean likeness of the nearest one's outline)."""
    alike, nearest = [], []
    for word in words:
        for sprite in drawing.sprites(word):
            outline, shading = likeness(sprite, pictures)
            alike.append(bool(((outline > SAME_OUTLINE) & (shading > ALIKE)).any()))
            nearest.append(float(outline.max()))
    return float(np.mean(alike)), float(np.mean(nearest))


def summary(
    found: dict[str, dict[str, float]], real: dict[str, dict[str, float]]
) -> dict[str, float]:
    """Means over the words; the score is top-5 over the judge's own top-5 on held-out tiles."""
    words = [word for word in found if word in real]

    def mean(of: dict[str, dict[str, float]], name: str) -> float:
        return float(np.mean([of[word][name] for word in words]))

    return {
        "judge_top1": mean(found, "top1"),
        "judge_top5": mean(found, "top5"),
        "judge_top1_real": mean(real, "top1"),
        "judge_top5_real": mean(real, "top5"),
        "judge_score": mean(found, "top5") / mean(real, "top5"),
        "judge_words": float(len(words)),
        "diversity": mean(found, "diversity"),
    }


def seen_by_a_person(path: Path) -> list[str]:
    """Words of a judged.toml that enough sprites of its contact sheets showed."""
    judged = tomllib.loads(path.read_text(encoding="utf-8"))
    return [word for word, seen in judged["seen"].items() if seen >= judged["least"]]


def documented(
    found: dict[str, dict[str, float]], colours: dict[str, float], judged: Path | None
) -> list[str]:
    """What a person saw, and before one has looked the colours and words that the judge sees: it is easily pleased."""
    if judged is not None:
        return seen_by_a_person(judged)
    passed = [colour for colour, share in colours.items() if share >= PASSES]
    passed += [word for word, one in found.items() if one["top5"] >= PASSES]
    return list(dict.fromkeys(passed))


def write(manifest: Path, metrics: dict[str, float], words: list[str], judge: str) -> None:
    """Puts [metrics], [evaluation] and [vocabulary] into model.toml, in place of those that are there; nothing else changes."""
    text = manifest.read_text(encoding="utf-8")
    for section in ("metrics", "evaluation", "vocabulary"):
        text = re.sub(rf"(?ms)^\[{section}\]\n.*?(?=^\[|\Z)", "", text)
    lines = [f"{name} = {value:.4g}\n" for name, value in metrics.items()]
    listed = ", ".join(json.dumps(word) for word in words)
    text = text.rstrip() + "\n\n[metrics]\n" + "".join(lines)
    text += f'\n[evaluation]\njudge = "{judge}"\n\n[vocabulary]\ndocumented = [{listed}]\n'
    manifest.write_text(text, encoding="utf-8")


def main() -> None:
    """Command line."""
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--model", type=Path, required=True)
    ask.add_argument("--judge", type=Path, default=JUDGE)
    ask.add_argument("--data", type=Path, help="train.npz, for the likeness to training pictures")
    ask.add_argument("--words", type=int, default=100, help="the most frequent ones (default 100)")
    ask.add_argument("--seeds", type=int, default=8)
    ask.add_argument("--sampler", default="")
    ask.add_argument("--steps", type=int, default=0)
    ask.add_argument("--guidance", type=float, default=0.0)
    ask.add_argument(
        "--judged",
        type=Path,
        help="what a person saw in a contact sheet (judged.toml): the words to document",
    )
    ask.add_argument("--brief", action="store_true", help="the words alone: for comparing samplers")
    ask.add_argument("--write", action="store_true", help="put the figures into model.toml")
    options = ask.parse_args()
    print(json.dumps(run(options), indent=1))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Evaluates, and writes where that is asked for."""
    model = read_folder(options.model.resolve())
    verdict = Verdict.load(options.judge)
    known = Vocabulary.load(options.model / "vocab.json")
    words = [word for word in verdict.words if word in known.ids][: options.words]
    engine = Engine(EngineOptions(device="cpu", workers=1))
    engine.start()
    try:
        drawing = Drawing(
            engine,
            model,
            options.seeds,
            options.sampler or model.defaults.get("sampler", "euler"),
            options.steps or int(model.defaults.get("steps", 20)),
            options.guidance or float(model.defaults.get("guidance_scale", 2.5)),
        )
        found = evaluate(drawing, verdict, words)
        metrics = summary(found, verdict.real)
        colours = {} if options.brief else colour_accuracy(drawing, known)
        if colours:
            metrics["colour_accuracy"] = float(np.mean(list(colours.values())))
        if options.data is not None:
            pictures, _, _ = load(options.data)
            metrics["copied"], metrics["nearest_outline"] = copies(drawing, words, pictures)
    finally:
        engine.close()
    passed = documented(found, colours, options.judged)
    if options.write:
        write(options.model / "model.toml", metrics, passed, verdict.digest)
    rounded = {name: round(value, 4) for name, value in metrics.items()}
    shown = {} if options.brief else {"words": found, "documented": passed}
    return {"metrics": rounded, **shown}


if __name__ == "__main__":
    main()
