"""How much a model copies: python -m sprites.likeness --model models/sprite/1 --data train.npz.

For each sprite of the contact sheet, the nearest training picture, whatever its colours: the share
of pixels whose alpha agrees, and the correlation of brightness where both are opaque. A small set
trained for hundreds of epochs is partly learned by heart; this says how much.
"""

import argparse
from pathlib import Path

import numpy as np

from gfedge.evaluation.likeness import ALIKE, SAME_OUTLINE, brightness, likeness
from gfedge.evaluation.sets import load
from gfedge.inference.words import Vocabulary
from sprites.sheet import prompts_of


def main() -> None:
    """Command line."""
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--model", type=Path, required=True)
    ask.add_argument("--data", type=Path, required=True)
    options = ask.parse_args()
    from sprites.export import SEEDS, drawn, opened  # torch

    pictures, notes, _ = load(options.data)
    vocabulary = Vocabulary.load(options.model / "vocab.json")
    prompts = prompts_of(vocabulary)
    sprites = drawn(opened(options.model / "model.onnx"), vocabulary, prompts, SEEDS)
    copies, known = 0, brightness(pictures)
    for i, prompt in enumerate(prompts):
        row = [likeness(sprite, known) for sprite in sprites[i * SEEDS : (i + 1) * SEEDS]]
        alike = [(o > SAME_OUTLINE) & (c > ALIKE) for o, c in row]
        copies += sum(bool(a.any()) for a in alike)
        nearest = [notes[int(np.argmax(o + c))]["path"].rsplit("/", 1)[-1] for o, c in row]
        print(f"{prompt}: {sum(bool(a.any()) for a in alike)} of {SEEDS};", " ".join(nearest))
    print(f"{copies} of {len(sprites)} sprites are a training picture but for colours")


if __name__ == "__main__":
    main()
