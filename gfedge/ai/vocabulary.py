"""The words of a generate model: what its evaluation found it draws, what it was trained on, and what comes near a word."""

from __future__ import annotations

from typing import Annotated, Any, get_args

import msgspec
from msgspec import Meta

from gfedge.inference.folder import vocabulary_of
from gfedge.inference.types import ModelFolder, Sampler
from gfedge.inference.words import Vocabulary, split
from gfedge.registry.types import ModelReference
from gfedge.registry.versions import version_id

MOST_WORDS = 100


class VocabularyQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which model, and which words to look up."""

    model: Annotated[
        ModelReference | None, Meta(description="By default the one of `generate`.")
    ] = None
    words: Annotated[
        str, Meta(max_length=2000, description="A prompt, to see which of its words are known.")
    ] = ""


class Word(msgspec.Struct, kw_only=True, frozen=True):
    """A word that the model was trained on."""

    word: str
    pictures: Annotated[int, Meta(description="Training pictures with it.")]
    documented: Annotated[bool, Meta(description="The model was found to draw it.")]


class Looked(msgspec.Struct, kw_only=True, frozen=True):
    """A word that was asked for."""

    word: str
    means: Annotated[
        str | None,
        Meta(
            description="The word of the vocabulary that it is read as; absent where it is unknown."
        ),
    ]
    undocumented: Annotated[
        bool,
        Meta(
            description="It is known from the training, but the model, which names the words that it was found to draw, does not name this one."
        ),
    ]
    nearest: Annotated[
        list[str],
        Meta(
            description="For an unknown word, known words or phrases of about that meaning, or spelled alike where none is known; for an undocumented one, documented ones of about that meaning; else empty."
        ),
    ]


class Known(msgspec.Struct, kw_only=True, frozen=True):
    """What a model knows. A word outside is read by its letters alone, and named in the job's `unknown_words`; one
    that was not found to be drawn, in its `undocumented_words`."""

    model: str
    documented: Annotated[list[str], Meta(description="The words to build on.")]
    words: Annotated[list[Word], Meta(description="All words, those with most pictures first.")]
    aliases: Annotated[dict[str, str], Meta(description="Words that are read as another.")]
    styles: Annotated[
        dict[str, dict[str, Any]], Meta(description="Values of `style`, and what each adds.")
    ]
    samplers: list[str]
    looked_up: list[Looked]


def known(model: ModelFolder, query: VocabularyQuery) -> Known:
    """Blocks: it reads the model's vocabulary."""
    vocabulary = vocabulary_of(model)
    documented = [word for word in vocabulary.documented if word in vocabulary.ids]
    shown = set(documented)
    counts = vocabulary.counts
    words = sorted(vocabulary.ids, key=lambda word: (-counts.get(word, 0), word))
    return Known(
        model=version_id(model),
        documented=documented,
        words=[
            Word(word=word, pictures=counts.get(word, 0), documented=word in shown)
            for word in words
        ],
        aliases=dict(vocabulary.aliases),
        styles=model.styles,
        samplers=list(get_args(Sampler)),
        looked_up=[_looked(vocabulary, word) for word in split(query.words)[:MOST_WORDS]],
    )


def _looked(vocabulary: Vocabulary, word: str) -> Looked:
    means = vocabulary.fold(word)
    undocumented = vocabulary.undocumented(word)
    nearest = vocabulary.nearest(word) if means is None or undocumented else ()
    return Looked(word=word, means=means, undocumented=undocumented, nearest=list(nearest))
