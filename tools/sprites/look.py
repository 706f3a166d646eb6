"""A set to look at, before anything is trained on it: python -m sprites.look --data set.npz --out sheet.png [--word potion].

Pictures with their captions below, nouns first; of a word, a folder, or spread evenly over all. What a model gets wrong
is mostly to be seen here: look at each frequent word.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from gfedge.evaluation.sets import Note, load
from sprites.data import words_of

ZOOM, WIDE, HIGH, GREY = 2, 100, 90, (64, 64, 72)


def caption_of(note: Note) -> list[str]:
    """Two lines: nouns, and the rest."""
    rest = [word for word in (*note["words"], *note["colours"]) if word not in note["nouns"]]
    return [" ".join(note["nouns"]), " ".join(dict.fromkeys(rest))]


def draw(pictures: np.ndarray, notes: list[Note], columns: int) -> Image.Image:
    """Each picture twice as large, over its caption."""
    rows = -(-len(notes) // columns)
    sheet = Image.new("RGB", (columns * WIDE, rows * HIGH), GREY)
    pen = ImageDraw.Draw(sheet)
    for i, (picture, note) in enumerate(zip(pictures, notes, strict=True)):
        x, y = i % columns * WIDE, i // columns * HIGH
        size = (picture.shape[1] * ZOOM, picture.shape[0] * ZOOM)
        large = Image.fromarray(picture).resize(size, Image.Resampling.NEAREST)
        sheet.paste(large, (x + (WIDE - size[0]) // 2, y), large)
        for line, text in enumerate(caption_of(note)):
            pen.text((x + 2, y + 66 + 11 * line), text[:18], fill=("white", (170, 170, 180))[line])
    return sheet


def main() -> None:
    """Command line."""
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--data", type=Path, required=True)
    ask.add_argument("--out", type=Path, required=True)
    ask.add_argument("--word", help="those with this word")
    ask.add_argument("--folder", default="", help="those whose path begins so")
    ask.add_argument("--most", type=int, default=160)
    ask.add_argument("--columns", type=int, default=16)
    options = ask.parse_args()
    pictures, notes, _ = load(options.data)
    found = [
        i for i, note in enumerate(notes)
        if note["path"].startswith(options.folder) and (not options.word or options.word in words_of(note))
    ]  # fmt: skip
    step = max(1, len(found) / options.most)
    shown = [found[int(i * step)] for i in range(min(len(found), options.most))]
    draw(pictures[shown], [notes[i] for i in shown], options.columns).save(options.out)
    print(f"{len(shown)} of {len(found)} pictures")


if __name__ == "__main__":
    main()
