"""Captions of training pictures: the vocabulary, and words drawn anew for each sample."""

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from gfedge.inference.words import Vocabulary
from sprites.data import words_of
from sprites.recipe import ALIASES, COLOUR_NAMES, COLOURS

LENGTH, GRAMS, BUCKETS = 8, 12, 2048
KEEP_NOUN, KEEP_WORD, KEEP_COLOUR, KEEP_COLOUR_TURNED = 0.95, 0.75, 0.5, 0.9
NO_CAPTION = 0.1
NO_WORD_ID = 0.15

Note = dict[str, Any]
Ints = npt.NDArray[np.int64]


def vocabulary_of(notes: list[Note]) -> Vocabulary:
    """Colours first, then every other caption word; aliases for words that are not among them."""
    counts = Counter(w for n in notes for w in words_of(n))
    words = ["<pad>", *COLOURS, *sorted(set(counts) - set(COLOURS))]
    aliases = {
        a: w for a, w in ALIASES.items() if a not in counts and a not in COLOURS and w in words
    }
    return Vocabulary(
        words=tuple(words),
        aliases=aliases,
        buckets=BUCKETS,
        length=LENGTH,
        grams=GRAMS,
        counts={w: counts[w] for w in words[1:]},
    )


class Captions:
    """Draws word and sub-word ids for pictures of the bank."""

    def __init__(
        self, vocabulary: Vocabulary, notes: list[Note], colours: list[list[list[str]]]
    ) -> None:
        self.vocabulary, self.notes, self.colours = vocabulary, notes, colours
        self.subwords = np.zeros((len(vocabulary.words), GRAMS), np.int64)
        for i, word in enumerate(vocabulary.words[1:], 1):
            self.subwords[i] = vocabulary.ids_of([word])[1][0]

    def words(self, rng: np.random.Generator, i: int, turn: int) -> list[str]:
        """The caption of picture i: nouns, details and colours, each kept or not by chance."""
        if rng.random() < NO_CAPTION:
            return []
        note = self.notes[i]
        details = [w for w in note["words"] if not (turn and w in COLOUR_NAMES)]
        kept = [w for w in note["nouns"] if rng.random() < KEEP_NOUN]
        kept += [w for w in details if rng.random() < KEEP_WORD]
        chance = KEEP_COLOUR_TURNED if turn else KEEP_COLOUR
        kept += [w for w in self.colours[turn][i] if rng.random() < chance]
        kept = list(dict.fromkeys(kept))[:LENGTH]
        return [kept[j] for j in rng.permutation(len(kept))]

    def draw(self, rng: np.random.Generator, pick: Ints, turn: Ints) -> tuple[Ints, Ints]:
        """Words [b,8], some ids left out though their sub-words stay, and subwords [b,8,12]."""
        words = np.zeros((len(pick), LENGTH), np.int64)
        for row, (i, h) in enumerate(zip(pick.tolist(), turn.tolist(), strict=True)):
            ids = [self.vocabulary.ids[w] for w in self.words(rng, i, h)]
            words[row, : len(ids)] = ids
        subwords = self.subwords[words]
        return words * (rng.random(words.shape) >= NO_WORD_ID), subwords
