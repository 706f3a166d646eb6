"""Training sets of sprites from folders of PNGs: captions, licences, one size, hard alpha, no picture twice, a digest.

A set is an .npz as gfedge/evaluation/sets.py reads it: `pictures` uint8 [n, side, side, 4], `notes` (a JSON list in the same order:
path, nouns, words, licence), `licence` and `name`. The digest is over pixels and notes, so two builds can be compared.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gfedge import inference
from gfedge.evaluation.sets import digest_of
from gfedge.inference.types import ImageError, Pixels

FEWEST_PIXELS = 16
"""A picture with fewer visible pixels shows nothing."""
MAX_PIXELS = 1 << 26
Text = Annotated[str, Meta(min_length=1)]
_camel = re.compile(r"(?<=[a-z])(?=[A-Z])")
_cell = re.compile(r"#\d+$")
_not_letters = re.compile(r"[\W\d_]+")


class Source(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A folder of PNGs."""

    folder: Text
    licence: Annotated[Text, Meta(description="SPDX: CC0-1.0, MIT, … or LicenseRef-ours.")]
    captions: str = ""
    """A file of lines `path,caption` (CSV) that replaces the names; pictures that it does not name are left out.

    A cell of a sheet is `path#3`, counted from 0 from left to right and down, or `path#row,column`; `path` names the others."""
    grid: Annotated[int, Meta(ge=0, le=1024)] = 0
    """Sheets are cut into squares of so many pixels; 0 takes each file as one picture."""
    margin: Annotated[int, Meta(ge=0, le=1024)] = 0
    """Pixels around the squares of a sheet."""
    spacing: Annotated[int, Meta(ge=0, le=1024)] = 0
    """Pixels between the squares of a sheet."""
    words: str = ""
    """Words that every caption of it gets: a style."""
    turn: bool = True
    """Whether copies in other hues may be made of it."""
    weight: Annotated[float, Meta(gt=0, le=100)] = 1
    """How often a picture of it is drawn in training, against pictures of other sources."""
    attribution: str = ""
    """Who is to be named where something made from it is passed on: a line of the model's NOTICE."""


class Recipe(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What a set is made of."""

    name: Text
    sources: Annotated[list[Source], Meta(min_length=1)]
    size: Literal[32, 64] = 32
    """Pixels of a picture's side, and of what a model that is trained on them draws. Smaller ones are enlarged whole times."""


class Built(msgspec.Struct):
    """A set, and what was left out of it."""

    name: str
    pictures: list[Pixels] = msgspec.field(default_factory=list)
    notes: list[dict[str, Any]] = msgspec.field(default_factory=list)
    left_out: Counter[str] = msgspec.field(default_factory=Counter)
    """How many pictures, by why."""
    unreadable: list[str] = msgspec.field(default_factory=list)
    sources: Counter[str] = msgspec.field(default_factory=Counter)
    """How many pictures, by folder."""
    attributions: list[str] = msgspec.field(default_factory=list)

    @property
    def licence(self) -> str:
        return " AND ".join(sorted({note["licence"] for note in self.notes}))

    @property
    def digest(self) -> str:
        return digest_of(self.pixels(), json.dumps(self.notes))

    def pixels(self) -> bytes:
        return b"".join(picture.tobytes() for picture in self.pictures)

    def profile(self) -> dict[str, Any]:
        """What is told of it where it is registered."""
        words = Counter(word for note in self.notes for word in (*note["nouns"], *note["words"]))
        return {
            "images": len(self.notes),
            "sources": dict(self.sources),
            "licences": dict(Counter(note["licence"] for note in self.notes)),
            "words": len(words),
            "frequent": dict(words.most_common(20)),
            "left_out": dict(self.left_out),
        }


def read_recipe(path: Path) -> Recipe:
    """A recipe, its folders relative to it. Raises ValueError with the reason, OSError."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Recipe)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from None


def build(recipe: Recipe, root: Path) -> Built:
    """The set that a recipe describes. Raises ValueError where a folder is missing or nothing is left."""
    built, seen = Built(name=recipe.name), set()
    for source in recipe.sources:
        built.attributions += [source.attribution] * bool(source.attribution)
        folder = root / source.folder
        if (source.margin or source.spacing) and not source.grid:
            raise ValueError(f"{source.folder}: margin and spacing are of sheets: say grid as well")
        if not folder.is_dir():
            raise ValueError(f"there is no folder {folder}")
        captions = _captions(root / source.captions) if source.captions else None
        missed = {name for name in captions or () if "#" in name}
        for path, cell, picture in _pictures(folder, source, built):
            name = path.relative_to(folder).as_posix()
            names = [f"{name}#{one}" for one in cell] + [name]
            missed.difference_update(names)
            caption = path.stem if captions is None else _first(captions, names)
            if caption is None or not split(caption):
                built.left_out["no caption"] += 1
                continue
            fitted = hard(inference.drawing.fitted(picture, recipe.size))
            if (fitted[..., 3] > 0).sum() < FEWEST_PIXELS:
                built.left_out["shows nothing"] += 1
            elif (key := hashlib.sha256(fitted.tobytes()).digest()) in seen:
                built.left_out["there already"] += 1
            else:
                seen.add(key)
                built.sources[source.folder] += 1
                built.pictures.append(fitted)
                built.notes.append(_note(f"{source.folder}/{names[0]}", caption, source))
        if missed:
            built.left_out["captioned, but no such cell"] += len(missed)
    if not built.pictures:
        raise ValueError(f"no picture is left: {dict(built.left_out) or 'the folders hold no PNG'}")
    return built


def hard(picture: Pixels) -> Pixels:
    """Alpha 0 or 255, and no colour under nothing."""
    out = picture.copy()
    visible = picture[..., 3] > 127
    out[..., 3] = visible * 255
    out[~visible] = 0
    return out


def split(caption: str) -> list[str]:
    """Words of a file name or a caption, each once: `redDragon_02` is red, dragon."""
    pieces = _not_letters.split(_camel.sub(" ", caption))
    return inference.words.split(" ".join(pieces))


def save(built: Built, path: Path) -> None:
    """Writes the set beside its place, then moves it there."""
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part.npz")
    np.savez_compressed(
        part,
        pictures=np.stack(built.pictures),
        notes=json.dumps(built.notes),
        licence=built.licence,
        notice="\n".join(built.attributions),
        name=built.name,
    )
    part.replace(path)


# Inside


def _note(path: str, caption: str, source: Source) -> dict[str, Any]:
    """What follows `|` is what the picture shows, or else the last word, as in `red dragon`; the others say how."""
    before, _, after = caption.partition("|")
    words = split(before)
    nouns = split(after) or words[-1:]
    details = [word for word in dict.fromkeys((*words, *split(source.words))) if word not in nouns]
    weight = {"weight": source.weight} if source.weight != 1 else {}
    return {
        "path": path,
        "nouns": nouns,
        "words": details,
        "turn": source.turn,
        "licence": source.licence,
        **weight,
    }


def _first(captions: dict[str, str], names: list[str]) -> str | None:
    return next((captions[name] for name in names if name in captions), None)


def _captions(path: Path) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"captions {path} cannot be read: {error}") from None
    if wrong := next((row for row in rows if len(row) < 2), None):
        raise ValueError(f"captions {path}: a line has a path and a caption, not only {wrong[0]!r}")
    return dict(_line(row) for row in rows)


def _line(row: list[str]) -> tuple[str, str]:
    """What a line names, and its caption; the comma of `sheet.png#row,column` needs no quotes."""
    place, *rest = (field.strip() for field in row)
    if _cell.search(place) and len(rest) > 1 and rest[0].isdigit():
        place, rest = f"{place},{rest[0]}", rest[1:]
    return place, ",".join(rest)


def _pictures(
    folder: Path, source: Source, built: Built
) -> Iterator[tuple[Path, tuple[str, ...], Pixels]]:
    """Every PNG below a folder in the order of its path, or each cell of its grid, with what the cell is called."""
    for path in sorted(folder.rglob("*.png")):
        try:
            picture = inference.png.decode(path.read_bytes(), MAX_PIXELS)
        except (ImageError, OSError) as error:
            built.unreadable.append(f"{path}: {error}")
            built.left_out["unreadable"] += 1
            continue
        if not source.grid:
            yield path, (), picture
            continue
        (rows, begun), (columns, across) = (_starts(side, source) for side in picture.shape[:2])
        if cut := begun * across - len(rows) * len(columns):
            built.left_out["cut off at the edge"] += cut
        for row, y in enumerate(rows):
            for column, x in enumerate(columns):
                cell = (str(row * len(columns) + column), f"{row},{column}")
                yield path, cell, picture[y : y + source.grid, x : x + source.grid]


def _starts(side: int, source: Source) -> tuple[list[int], int]:
    """Where whole cells begin along a side of a sheet, and how many begin, those that it cuts off among them."""
    starts = range(source.margin, side - source.margin, source.grid + source.spacing)
    return [start for start in starts if start + source.grid <= side], len(starts)
