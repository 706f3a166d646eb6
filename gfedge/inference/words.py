"""Words of a prompt as the sprite generator reads them: word ids and hashed character n-grams.

A token is a word id (0 for a word the training never saw) and up to `grams` bucket ids of its
character n-grams, the way fastText does it (Bojanowski et al. 2017), so an unseen word still lands
near words that are spelled alike. Training and serving both import this module, so both read a
prompt the same way. Standard library and numpy only.
"""

import difflib
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from gfedge.arrays import np
from gfedge.inference import meanings

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 1
STOP_WORDS = frozenset(
    (
        "a", "an", "and", "at", "by", "for", "from", "her", "his", "in", "is", "it", "its", "my",
        "of", "on", "or", "some", "that", "the", "their", "this", "to", "very", "with", "your",
    )
)  # fmt: skip
WORD = re.compile(r"[^\W\d_]+")

Ids: TypeAlias = "NDArray[np.int64]"


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A prompt for the net: words [length], subwords [length, grams]; and what it cannot use."""

    words: Ids
    subwords: Ids
    unknown: tuple[str, ...]
    undocumented: tuple[str, ...]
    """Words of the training that the model was not found to draw."""
    dropped: tuple[str, ...]
    """Words beyond the length; everything, if nothing in the prompt is a word that counts."""


def split(text: str) -> list[str]:
    """Lower-case words of a text, each once, without stop words, digits and single letters."""
    words = (w for w in WORD.findall(text.lower()) if len(w) > 1 and w not in STOP_WORDS)
    return list(dict.fromkeys(words))


def grams_of(word: str, buckets: int, grams: int) -> list[int]:
    """Bucket ids (1..buckets) of the 3-grams, then the 4-grams of "<word>"; at most `grams`."""
    marked = f"<{word}>"
    pieces = [marked[i : i + n] for n in (3, 4) for i in range(len(marked) - n + 1)]
    return [zlib.crc32(p.encode()) % buckets + 1 for p in dict.fromkeys(pieces)][:grams]


def singulars(word: str) -> list[str]:
    """Spellings a plural may have in the singular: dragons, torches, bodies, wolves, staves."""
    found = []
    for ending, repair in (("ves", "f"), ("ves", "ff"), ("ies", "y"), ("es", ""), ("s", "")):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            found.append(word.removesuffix(ending) + repair)
    return found


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The words a sprite model was trained on: id = place in `words`, place 0 is padding."""

    words: tuple[str, ...]
    aliases: Mapping[str, str]
    buckets: int
    length: int
    grams: int
    counts: Mapping[str, int] = field(default_factory=dict)
    documented: Sequence[str] = ()
    """The words that the model was found to draw; not part of the file."""
    styled: Sequence[str] = ()
    """The words that its styles add: nobody need be warned of them; not part of the file."""
    ids: Mapping[str, int] = field(init=False, repr=False)
    drawn: frozenset[str] = field(init=False, repr=False)
    """The documented ones as the vocabulary has them; `dressed` are the styles' ones."""
    dressed: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        ids = {w: i for i, w in enumerate(self.words) if i > 0}
        astray = sorted(a for a, w in self.aliases.items() if w not in ids)
        if astray:
            raise ValueError(f"aliases of words outside the vocabulary: {', '.join(astray)}")
        object.__setattr__(self, "ids", ids)
        for name, given in (("drawn", self.documented), ("dressed", self.styled)):
            known = frozenset(filter(None, map(self.fold, given)))
            object.__setattr__(self, name, known)

    @classmethod
    def load(cls, path: str | Path) -> "Vocabulary":
        """Read a vocab.json."""
        return cls.loads(Path(path).read_bytes())

    @classmethod
    def loads(
        cls, data: bytes, documented: Sequence[str] = (), styled: Sequence[str] = ()
    ) -> "Vocabulary":
        """The vocabulary from the bytes of a vocab.json."""
        raw = json.loads(data.decode())
        if raw.get("format") != FORMAT:
            raise ValueError(f"vocabulary format {raw.get('format')!r}, expected {FORMAT}")
        return cls(
            words=tuple(raw["words"]),
            aliases=raw["aliases"],
            buckets=raw["buckets"],
            length=raw["length"],
            grams=raw["grams"],
            counts=raw["counts"],
            documented=documented,
            styled=styled,
        )

    def to_json(self) -> str:
        """The text of a vocab.json."""
        body = {
            "format": FORMAT,
            "words": list(self.words),
            "aliases": dict(self.aliases),
            "buckets": self.buckets,
            "length": self.length,
            "grams": self.grams,
            "counts": dict(self.counts),
        }
        return json.dumps(body, indent=1) + "\n"

    def fold(self, word: str) -> str | None:
        """The vocabulary's word for this one: itself, its alias or its singular, or None."""
        for spelling in (word, *singulars(word)):
            if spelling in self.ids:
                return spelling
            if spelling in self.aliases:
                return self.aliases[spelling]
        return None

    def encode(self, prompt: str) -> Encoded:
        """Ids of a prompt. Past `length` words, unknown ones are dropped first, then the last."""
        tokens: dict[str, str] = {}
        unknown = []
        for word in split(prompt):
            known = self.fold(word)
            if known is None:
                unknown.append(word)
            tokens.setdefault(known or word, word)
        ranked = sorted(tokens, key=lambda token: token not in self.ids)
        kept = set(ranked[: self.length])
        words, subwords = self.ids_of([token for token in tokens if token in kept])
        left_out = (word for token, word in tokens.items() if token not in kept)
        dropped = tuple(left_out if tokens else dict.fromkeys(prompt.split()))
        return Encoded(
            words=words,
            subwords=subwords,
            unknown=tuple(unknown),
            undocumented=tuple(filter(self.undocumented, split(prompt))),
            dropped=dropped,
        )

    def ids_of(self, tokens: list[str]) -> tuple[Ids, Ids]:
        """Ids of at most `length` tokens as they are: [length] and [length, grams]."""
        words = np.zeros(self.length, np.int64)
        subwords = np.zeros((self.length, self.grams), np.int64)
        for i, token in enumerate(tokens):
            words[i] = self.ids.get(token, 0)
            pieces = grams_of(token, self.buckets, self.grams)
            subwords[i, : len(pieces)] = pieces
        return words, subwords

    def nearest(self, word: str, n: int = 3) -> tuple[str, ...]:
        """Up to n words or phrases of the vocabulary that mean about the same, those that are drawn well first; where none
        is known, those of words spelled alike. For an undocumented word: documented ones of about that meaning alone.
        """
        forms = (word.lower(), *singulars(word.lower()))
        if self.undocumented(word):
            meant = (*forms, self.fold(word) or "")
            drawn = [
                one for form in meant for one in meanings.nearest(form, self.drawn.__contains__)
            ]
            return tuple(dict.fromkeys(drawn))[:n]
        near = [one for form in forms for one in meanings.nearest(form, self.knows)]
        best = sorted(near, key=lambda one: not set(one.split()) <= set(self.documented))
        return tuple(dict.fromkeys(best or self._spelled(forms[0], 2 * n)))[:n]

    def _spelled(self, word: str, n: int) -> list[str]:
        """A slip of the pen first (`casle`: stone wall), then what merely looks alike in the vocabulary."""
        slips = difflib.get_close_matches(word, meanings.table(), n, cutoff=0.8)
        alike = difflib.get_close_matches(word, [*self.ids, *self.aliases], n, cutoff=0.6)
        return [near for other in (*slips, *alike) for near in self._meant(other)]

    def knows(self, word: str) -> bool:
        """Whether the word is read as one of the vocabulary."""
        return self.fold(word) is not None

    def undocumented(self, word: str) -> bool:
        """Whether the training had the word but the model was not found to draw it. Never, where it documents none."""
        known = self.fold(word.lower()) if self.drawn else None
        return known is not None and known not in self.drawn | self.dressed

    def _meant(self, word: str) -> tuple[str, ...]:
        known = self.fold(word)
        return (known,) if known else meanings.nearest(word, self.knows)
