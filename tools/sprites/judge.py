"""The judge of a shipped model's set: python -m sprites.judge --data train.npz --out tools/sprites.

As `gfedge train sprites` trains one at its end (gfedge/evaluation), but of words with five tiles or more, one of them held
out, and for so many epochs: how the judges that are committed here were made. Needs torch; a minute or two on one core.
"""

import argparse
from pathlib import Path

import torch

from gfedge.evaluation.judge_training import judge_of
from gfedge.evaluation.sets import load
from gfedge.evaluation.split import words_judged

FEWEST, FEWEST_HELD_OUT = 5, 1


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
    words = words_judged(notes, FEWEST)
    how = {"fewest": FEWEST_HELD_OUT, "epochs": options.epochs, "seed": options.seed}
    judge = judge_of(pictures, notes, digest, words, **how)
    judge.save(options.out)
    told = ("trained_on", "held_out", "seconds", "top1", "top5")
    print({name: judge.facts[name] for name in told})


if __name__ == "__main__":
    main()
