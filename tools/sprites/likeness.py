"""How much a model copies: python -m sprites.likeness --model models/sprite/1 --data train.npz.

For each sprite of the contact sheet, the nearest training picture, whatever its colours: the share
of pixels whose alpha agrees, and the correlation of brightness where both are opaque. A small set
trained for hundreds of epochs is partly learned by heart; this says how much.
"""

import argparse
from pathlib import Path

import numpy as np

from gfedge.inference.words import Vocabulary
from sprites.data import load
from sprites.sample import Bytes, Floats
from sprites.sheet import prompts_of

ALIKE, SAME_OUTLINE = 0.9, 0.97


def brightness(pictures: Bytes) -> tuple[Floats, Floats]:
    """Grey values 0..1 and opacity 0 or 1 of pictures [n,32,32,4], each [n,1024]."""
    flat = pictures.reshape(len(pictures), -1, 4).astype(np.float32) / 255
    return flat[..., :3].mean(-1), flat[..., 3]


def likeness(sprite: Bytes, pictures: Bytes) -> tuple[Floats, Floats]:
    """Agreement of alpha and correlation of brightness with each of pictures [n,32,32,4]."""
    (grey, opaque), (greys, opaques) = brightness(sprite[None]), brightness(pictures)
    both = opaque * opaques
    count = np.maximum(both.sum(1, keepdims=True), 1)
    a = (grey - (grey * both).sum(1, keepdims=True) / count) * both
    b = (greys - (greys * both).sum(1, keepdims=True) / count) * both
    spread = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    return (opaque == opaques).mean(1), (a * b).sum(1) / np.maximum(spread, 1e-6)


def main() -> None:
    """Command line."""
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--model", type=Path, required=True)
    ask.add_argument("--data", type=Path, required=True)
    options = ask.parse_args()
    from sprites.export import SEEDS, drawn, opened  # torch, which the functions above do without

    pictures, notes, _ = load(options.data)
    vocabulary = Vocabulary.load(options.model / "vocab.json")
    prompts = prompts_of(vocabulary)
    sprites = drawn(opened(options.model / "model.onnx"), vocabulary, prompts, SEEDS)
    copies = 0
    for i, prompt in enumerate(prompts):
        row = [likeness(sprite, pictures) for sprite in sprites[i * SEEDS : (i + 1) * SEEDS]]
        alike = [(o > SAME_OUTLINE) & (c > ALIKE) for o, c in row]
        copies += sum(bool(a.any()) for a in alike)
        nearest = [notes[int(np.argmax(o + c))]["path"].rsplit("/", 1)[-1] for o, c in row]
        print(f"{prompt}: {sum(bool(a.any()) for a in alike)} of {SEEDS};", " ".join(nearest))
    print(f"{copies} of {len(sprites)} sprites are a training picture but for colours")


if __name__ == "__main__":
    main()
