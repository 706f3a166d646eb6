"""A shipped model, judged: python -m sprites.evaluate --model models/sprite/1 [--data train.npz] [--write].

As `gfedge evaluate` does it (gfedge/evaluation), and besides, from the pixels, whether a colour word gives that colour,
with any sampler, and with what a person saw. numpy and ONNX Runtime only. `--write` puts the figures into model.toml:
`[metrics]`, which promotion gates look at, `[evaluation]`, by which judge, and `[vocabulary]`, the words that pass.
"""

import argparse
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from gfedge.evaluation import likeness, scores, written
from gfedge.evaluation.colours import dominant
from gfedge.evaluation.drawing import Drawing, drawing
from gfedge.evaluation.judge import Judge
from gfedge.evaluation.sets import load
from gfedge.inference.folder import read_folder
from gfedge.inference.words import Vocabulary
from sprites.recipe import COLOURS

JUDGE = Path(__file__).parent
DULL = ("black", "gray", "white", "brown")
"""Colours that most things have some of."""
COLOURED = ("potion", "dragon", "book", "shield")
"""Things that are drawn in every colour."""
PASSES = 0.5
"""Share of a word's sprites that the judge must see it in, among its first five, for the word to be documented."""


def colour_accuracy(draw: Drawing, known: Vocabulary) -> dict[str, float]:
    """How often each colour word gives that colour, by the pixels' own names."""
    things = [thing for thing in COLOURED if thing in known.ids]
    found = {}
    for colour in (c for c in COLOURS if c in known.ids and c not in DULL):
        sprites = [one for thing in things for one in draw.sprites(f"{colour} {thing}")]
        named = [dominant(sprite) for sprite in sprites]
        right = [colour in names or (colour == "gold" and "yellow" in names) for names in named]
        found[colour] = float(np.mean(right)) if right else 0.0
    return found


def seen_by_a_person(path: Path) -> list[str]:
    """Words of a judged.toml that enough sprites of its contact sheets showed."""
    judged = tomllib.loads(path.read_text(encoding="utf-8"))
    return [word for word, seen in judged["seen"].items() if seen >= judged["least"]]


def documented(found: scores.Found, colours: dict[str, float], judged: Path | None) -> list[str]:
    """What a person saw, and before one has looked the colours and words that the judge sees: it is easily pleased."""
    if judged is not None:
        return seen_by_a_person(judged)
    passed = [colour for colour, share in colours.items() if share >= PASSES]
    passed += [word for word, one in found.items() if one["top5"] >= PASSES]
    return list(dict.fromkeys(passed))


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
    judge = Judge.load(options.judge)
    how = (options.seeds, options.sampler or None, options.steps, options.guidance)
    with drawing(model, *how) as draw:
        words = judge.words_for(set(draw.vocabulary.ids), draw.size, options.words)
        found = scores.evaluate(draw, judge, words)
        metrics = scores.summary(found, judge)
        colours = {} if options.brief else colour_accuracy(draw, draw.vocabulary)
        if colours:
            metrics["colour_accuracy"] = float(np.mean(list(colours.values())))
        if options.data is not None:
            pictures, _, _ = load(options.data)
            sprites = np.concatenate([draw.sprites(word) for word in words])
            metrics["copied"], metrics["nearest_outline"] = likeness.copies(sprites, pictures)
    passed = documented(found, colours, options.judged)
    if options.write:
        tables = {"metrics": metrics, "evaluation": {"judge": judge.digest}}
        written.sections(options.model / "model.toml", **tables, vocabulary={"documented": passed})
    rounded = {name: round(value, 4) for name, value in metrics.items()}
    shown = {} if options.brief else {"words": found, "documented": passed}
    return {"metrics": rounded, **shown}


if __name__ == "__main__":
    main()
