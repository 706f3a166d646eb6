"""Contact sheets: sprites enlarged on grey, each row with its prompt; and the prompts shown."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from gfedge.inference.words import Vocabulary
from sprites.sample import Bytes

PROMPTS = (
    "red potion", "blue potion", "green potion", "long sword", "golden sword",
    "battle axe", "dagger", "spear", "mace", "bow", "gold ring", "amulet",
    "blue book", "scroll", "wand", "purple staff", "red shield", "helmet", "boots",
    "armour", "apple", "gold coin", "red dragon", "blue dragon", "skeleton",
    "skeleton warrior", "zombie", "ghost", "green slime", "spider", "snake",
    "bat", "dog", "orc", "knight", "wizard", "demon", "golem", "eye",
    "stone wall", "brick wall", "tree", "door", "statue", "grass", "water",
)  # fmt: skip
WIDE = (
    "red potion", "long sword", "red dragon", "skeleton warrior", "stone wall", "blue book", "gold coin", "green slime",
    "tree", "spider", "heart", "flat heart", "apple", "flat mushroom", "flower", "flat fish", "butterfly", "cat", "dog",
    "car", "flat truck", "boat", "house", "castle", "key", "lock", "bag", "bottle", "cup", "cake", "flat pizza", "ball",
    "star", "sun", "moon", "cloud", "umbrella", "hat", "crown", "glove", "bomb", "hammer", "camera", "robot", "alien", "card",
)  # fmt: skip
"""Of a vocabulary that tells pixel art from flat icons."""
GAP, GREY = 4, (64, 64, 72)


def prompts_of(vocabulary: Vocabulary) -> tuple[str, ...]:
    """The prompts that a model has words for, then its most frequent words: art of one's own may know no potion."""
    asked = WIDE if {"pixel", "flat"} <= vocabulary.ids.keys() else PROMPTS
    known = (prompt for prompt in asked if not vocabulary.encode(prompt).unknown)
    frequent = sorted(vocabulary.ids, key=lambda word: (-vocabulary.counts.get(word, 0), word))
    return tuple(dict.fromkeys((*known, *frequent)))[: len(PROMPTS)]


def contact_sheet(
    sprites: Bytes, path: Path, columns: int, labels: Sequence[str] = (), zoom: int = 2
) -> None:
    """Write sprites [n,32,32,4] as a PNG, row by row, a label left of each row if there are any."""
    side = sprites.shape[1] * zoom
    cell, left = side + GAP, 110 if labels else 0
    rows = -(-len(sprites) // columns)
    sheet = Image.new("RGB", (left + columns * cell, rows * cell), GREY)
    for i, sprite in enumerate(sprites):
        large = Image.fromarray(sprite).resize((side, side), Image.Resampling.NEAREST)
        sheet.paste(
            large, (left + i % columns * cell + GAP // 2, i // columns * cell + GAP // 2), large
        )
    for row, label in enumerate(labels):
        ImageDraw.Draw(sheet).text((4, row * cell + cell // 2 - 6), label, fill="white")
    sheet.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def two_halves(sprites: Bytes, path: Path, columns: int, labels: Sequence[str]) -> None:
    """As contact_sheet, the second half of the rows to the right of the first."""
    half = -(-len(labels) // 2)
    parts = [(sprites[: half * columns], labels[:half]), (sprites[half * columns :], labels[half:])]
    pictures = []
    for some, names in parts:
        contact_sheet(some, path, columns, names)
        pictures.append(np.array(Image.open(path).convert("RGB")))
    height = max(len(p) for p in pictures)
    grown = [
        np.pad(p, ((0, height - len(p)), (0, 0), (0, 0)), constant_values=64) for p in pictures
    ]
    Image.fromarray(np.concatenate(grown, 1)).quantize(256, dither=Image.Dither.NONE).save(
        path, optimize=True
    )
