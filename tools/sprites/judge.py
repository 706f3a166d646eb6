"""The judge: a small classifier of sprites, trained on real tiles; python -m sprites.judge --data train.npz --out tools/sprites.

It says which nouns of the recipe a 32x32 picture shows. A quarter of the tiles of each noun is held out and never
trained on; `judge.json` names the words, in the order of the outputs, and how often the judge is right on those tiles.
Colours are left to `colours.py`, which reads them from the pixels. Training needs torch, judging ONNX Runtime alone
(evaluate.py). A minute on one core.
"""

import argparse
import hashlib
import json
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sprites.colours import Bytes, recoloured
from sprites.data import load

FEWEST = 5
"""Tiles that a word needs to be judged."""
HELD_OUT = 0.25
COPIES = 3
"""Hue-turned copies of each tile that may be turned: the noun must be known in any colour."""
CHANNELS = (32, 64, 128)


class Judge(nn.Module):
    """Pictures [n,4,32,32], premultiplied RGBA in 0..1 -> logits [n,words]; a word's sigmoid is its chance."""

    def __init__(self, words: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
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
        self.said = nn.Sequential(nn.Flatten(), nn.Dropout(0.4), nn.Linear(before * 4, words))

    def forward(self, pictures: Tensor) -> Tensor:
        out: Tensor = self.said(self.seen(F.pixel_unshuffle(pictures, 2)))
        return out


def words_judged(notes: list[dict[str, Any]]) -> list[str]:
    """The nouns with enough tiles, the most frequent first."""
    counts = Counter(noun for note in notes for noun in note["nouns"])
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return [word for word in ranked if counts[word] >= FEWEST]


def held_out(notes: list[dict[str, Any]], words: list[str]) -> np.ndarray:
    """Which tiles are kept from training: of every word a quarter, chosen by the digest of the path."""
    ranks = [hashlib.sha256(note["path"].encode()).hexdigest() for note in notes]
    out = np.zeros(len(notes), bool)
    for word in reversed(words):
        mine = sorted((i for i, n in enumerate(notes) if word in n["nouns"]), key=ranks.__getitem__)
        most = max(1, round(HELD_OUT * len(mine)))
        out[[i for i in mine if not out[i]][: max(0, most - int(out[mine].sum()))]] = True
    return out


def planes(pictures: Bytes) -> np.ndarray:
    """Pictures [n,32,32,4] as the judge sees them: float32 [n,4,32,32]."""
    values = pictures.astype(np.float32) / 255
    values[..., :3] *= values[..., 3:]
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def shifted(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Each moved by up to 3 pixels, half of them mirrored, some with a little noise."""
    padded = F.pad(pictures, (3, 3, 3, 3))
    out = torch.empty_like(pictures)
    moves = rng.integers(0, 7, (len(pictures), 2))
    mirrored = rng.random(len(pictures)) < 0.5
    for i, (y, x) in enumerate(moves.tolist()):
        one = padded[i, :, y : y + 32, x : x + 32]
        out[i] = one.flip(2) if mirrored[i] else one
    noisy = torch.from_numpy((rng.random(len(pictures)) < 0.5).astype(np.float32) * 0.05)
    noise = torch.from_numpy(rng.standard_normal(out.shape, dtype=np.float32))
    return out + noise * noisy[:, None, None, None] * out[:, 3:]


def targets(notes: list[dict[str, Any]], words: list[str]) -> np.ndarray:
    """Which words are true of each tile, [n,words]."""
    place = {word: i for i, word in enumerate(words)}
    out = np.zeros((len(notes), len(words)), np.float32)
    for row, note in enumerate(notes):
        out[row, [place[noun] for noun in note["nouns"] if noun in place]] = 1
    return out


def train(
    pictures: Bytes, notes: list[dict[str, Any]], words: list[str], epochs: int, seed: int
) -> Judge:
    """Adam with one cycle of the learning rate; rare words are drawn more often."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    banks = [pictures] + [
        np.stack(
            [
                recoloured(p, rng.uniform(0.08, 0.92)) if n["turn"] else p
                for p, n in zip(pictures, notes, strict=True)
            ]
        )
        for _ in range(COPIES)
    ]
    bank = torch.from_numpy(np.stack([planes(one) for one in banks]))
    wanted = torch.from_numpy(targets(notes, words))
    rare = (wanted / wanted.sum(0).clamp(min=1).sqrt()).max(1).values.numpy().astype(
        np.float64
    ) + 0.02
    net, batch = Judge(len(words)), 64
    steps = epochs * len(notes) // batch
    optimiser = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=0.02)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=steps)
    net.train()
    for _ in range(steps):
        pick = rng.choice(len(notes), batch, p=rare / rare.sum())
        turn = rng.integers(0, COPIES + 1, batch)
        loss = (
            F.binary_cross_entropy_with_logits(net(shifted(bank[turn, pick], rng)), wanted[pick])
            * len(words)
            / 8
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        cycle.step()
    return net.eval()


def accuracy(
    logits: np.ndarray, notes: list[dict[str, Any]], words: list[str]
) -> dict[str, dict[str, float]]:
    """Per word, over the tiles with it: how many there are, and how often it is the first, or among the first five."""
    order = np.argsort(-logits, 1)
    found = {}
    for i, word in enumerate(words):
        mine = [row for row, note in enumerate(notes) if word in note["nouns"]]
        if mine:
            ranks = [int(np.argmax(order[row] == i)) for row in mine]
            others = [sum(n in words and n != word for n in notes[row]["nouns"]) for row in mine]
            found[word] = {
                "tiles": len(mine),
                # A second noun of the same tile may come before this one: it is true as well.
                "top1": float(np.mean([r <= o for r, o in zip(ranks, others, strict=True)])),
                "top5": float(np.mean([r < 5 for r in ranks])),
            }
    return found


def export(net: Judge, path: Path) -> None:
    """The graph: pictures [n,4,32,32] -> logits [n,words]."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (torch.rand(2, 4, 32, 32),),
            str(path),
            input_names=["pictures"],
            output_names=["logits"],
            dynamic_axes={"pictures": {0: "n"}, "logits": {0: "n"}},
            opset_version=17,
            dynamo=False,
        )


def main() -> None:
    """Command line."""
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--data", type=Path, required=True)
    ask.add_argument("--out", type=Path, required=True)
    ask.add_argument("--epochs", type=int, default=60)
    ask.add_argument("--seed", type=int, default=1)
    options = ask.parse_args()
    torch.set_num_threads(1)
    pictures, notes, digest = load(options.data)
    words = words_judged(notes)
    out = held_out(notes, words)
    kept = [note for note, o in zip(notes, out, strict=True) if not o]
    left = [note for note, o in zip(notes, out, strict=True) if o]
    began = time.monotonic()
    net = train(pictures[~out], kept, words, options.epochs, options.seed)
    with torch.no_grad():
        logits = net(torch.from_numpy(planes(pictures[out]))).numpy()
    real = accuracy(logits, left, words)
    options.out.mkdir(parents=True, exist_ok=True)
    export(net, options.out / "judge.onnx")
    facts = {
        "data": digest,
        "trained_on": len(kept),
        "held_out": len(left),
        "seconds": round(time.monotonic() - began),
        "top1": round(float(np.mean([one["top1"] for one in real.values()])), 4),
        "top5": round(float(np.mean([one["top5"] for one in real.values()])), 4),
        "words": words,
        "real": {
            word: {name: round(value, 4) for name, value in one.items()}
            for word, one in real.items()
        },
    }
    (options.out / "judge.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print({name: facts[name] for name in ("trained_on", "held_out", "seconds", "top1", "top5")})


if __name__ == "__main__":
    main()
