"""Which words of a set a judge can learn, and which pictures are kept from it to see whether it did. Pure.

A picture is held out by the digest of its path: the same set is always split alike, and a picture that was held out
still is when others join it.
"""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import numpy.typing as npt

from gfedge.evaluation.judge import FEWEST_WORDS, Accuracy, Unjudged
from gfedge.evaluation.sets import Note

FEWEST = 8
"""Pictures that a word needs to be judged."""
HELD_OUT = 0.25
FEWEST_HELD_OUT = 3
"""Of each word: an accuracy of one picture is none."""


def words_judged(notes: list[Note], fewest: int = FEWEST) -> list[str]:
    """The nouns with enough pictures, the most frequent first."""
    counts = Counter(noun for note in notes for noun in note["nouns"])
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return [word for word in ranked if counts[word] >= fewest]


def check_enough(notes: list[Note]) -> list[str]:
    """As words_judged. Raises Unjudged where they are too few for a judge, with how many are needed."""
    if len(words := words_judged(notes)) >= FEWEST_WORDS:
        return words
    nearly = [word for word in words_judged(notes, 1) if word not in words][:5]
    counts = Counter(noun for note in notes for noun in note["nouns"])
    said = ", ".join(f"{word} has {counts[word]}" for word in nearly)
    raise Unjudged(
        f"too few pictures for a judge: it needs {FEWEST} or more of each of {FEWEST_WORDS} words, and of {len(words)} "
        f"there are so many{f' ({said})' if said else ''}; what counts is what a picture shows, the last word of its caption"
    )


def held_out(
    notes: list[Note], words: list[str], fewest: int = FEWEST_HELD_OUT
) -> npt.NDArray[np.bool_]:
    """Which pictures are kept from training: of every word a quarter, and no fewer than `fewest`."""
    ranks = [hashlib.sha256(note["path"].encode()).hexdigest() for note in notes]
    out = np.zeros(len(notes), bool)
    for word in reversed(words):
        mine = sorted((i for i, n in enumerate(notes) if word in n["nouns"]), key=ranks.__getitem__)
        most = max(fewest, round(HELD_OUT * len(mine)))
        out[[i for i in mine if not out[i]][: max(0, most - int(out[mine].sum()))]] = True
    return out


def targets(notes: list[Note], words: list[str]) -> npt.NDArray[np.float32]:
    """Which words are true of each picture, [n,words]."""
    place = {word: i for i, word in enumerate(words)}
    out = np.zeros((len(notes), len(words)), np.float32)
    for row, note in enumerate(notes):
        out[row, [place[noun] for noun in note["nouns"] if noun in place]] = 1
    return out


def accuracy(logits: npt.NDArray[np.float32], notes: list[Note], words: list[str]) -> Accuracy:
    """Per word, over the pictures with it: how many there are, and how often it is the first, or among the first five."""
    order = np.argsort(-logits, 1)
    found = {}
    for i, word in enumerate(words):
        mine = [row for row, note in enumerate(notes) if word in note["nouns"]]
        if mine:
            ranks = [int(np.argmax(order[row] == i)) for row in mine]
            others = [sum(n in words and n != word for n in notes[row]["nouns"]) for row in mine]
            found[word] = {
                "tiles": len(mine),
                # A second noun of the same picture may come before this one: it is true as well.
                "top1": float(np.mean([r <= o for r, o in zip(ranks, others, strict=True)])),
                "top5": float(np.mean([r < 5 for r in ranks])),
            }
    return found
