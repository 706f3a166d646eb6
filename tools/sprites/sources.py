"""The art behind the mixed set, as folders of PNGs: python -m sprites.sources --from DOWNLOADS --out ART.

Reads the four files that README.md says how to get (their sha256s stand here) and writes a folder of 32x32 PNGs for each
source, its captions beside it, and mixed.toml: what `gfedge dataset build` reads. SVGs are drawn by resvg, which only
this module needs (`make sprites`). What fills one corner alone is left out: in tile sets that is a sign laid over the
picture of something (29 of the 49 files named potion in Dungeon Crawl), and a model that sees it draws corner blobs.
"""

import argparse
import csv
import hashlib
import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from gfedge.evaluation.colours import Bytes
from sprites import data, icons, kenney

SIDE = 32
HERE = Path(__file__).parent


class Piece(NamedTuple):
    """A picture [h,w,4] of a source, and what is said of it."""

    name: str
    caption: str
    turn: bool
    picture: Bytes


class Source(NamedTuple):
    """A file with art; `pieces` reads it."""

    name: str
    file: str
    sha256: str
    pieces: Callable[[Path], Iterator[Piece]]


def of_dcss(path: Path) -> Iterator[Piece]:
    """The tiles that recipe.py chooses among the cleared ones."""
    listed = json.loads(data.LISTED.read_text(encoding="utf-8"))
    notes = data.chosen(listed)
    paths = [note["path"] for note in notes]
    pictures = data.pictures_of(path, listed["tarball"]["paths_relative_to"], paths)
    for note, picture in zip(notes, pictures, strict=True):
        caption = f"{' '.join(note['words'])}|{' '.join(note['nouns'])}"
        yield Piece(note["path"].removesuffix(".png"), caption, note["turn"], picture)


def of_kenney(path: Path) -> Iterator[Piece]:
    """Pictures of the wheel of arcade that kenney.py names."""
    with zipfile.ZipFile(path) as wheel:
        for name in sorted(wheel.namelist()):
            inside = name.removeprefix(kenney.ROOT)
            if inside == name or not name.endswith(".png"):
                continue
            if caption := kenney.caption_of(inside):
                picture = np.array(Image.open(io.BytesIO(wheel.read(name))).convert("RGBA"))
                piece = inside.removesuffix(".png")
                yield Piece(piece, caption, kenney.may_turn(inside), trimmed(picture))


def trimmed(picture: Bytes) -> Bytes:
    """Without what is empty around it: keys and coins lie small in the cells of platforms."""
    rows, columns = (np.flatnonzero((picture[..., 3] > 127).any(axis)) for axis in (1, 0))
    return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def of_icons(path: Path) -> Iterator[Piece]:
    """Icons of an Iconify package that icons.py chooses, drawn at 32 px."""
    import resvg_py

    with tarfile.open(path) as tar:
        read = {one: _json(tar, f"package/{one}.json") for one in ("icons", "metadata")}
    drawn, width, height = (read["icons"].get(one, 16) for one in ("icons", "width", "height"))
    for name, caption, turn in icons.chosen(read["metadata"]["categories"]):
        if (icon := drawn.get(name)) is None:
            continue
        box = f"0 0 {icon.get('width', width)} {icon.get('height', height)}"
        body = icon["body"].replace("currentColor", "#e8e8f0")
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{body}</svg>'
        png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=SIDE, height=SIDE))
        yield Piece(name, caption, turn, np.array(Image.open(io.BytesIO(png)).convert("RGBA")))


def _json(tar: tarfile.TarFile, name: str) -> dict:  # type: ignore[type-arg]
    file = tar.extractfile(name)
    assert file is not None, name
    return json.loads(file.read())  # type: ignore[no-any-return]


SOURCES = (
    Source("dcss", "crawl_0.28.0.orig.tar.xz", "5a6be168f8888b84bdb199184ca20bd8636f77ba7e9e0124ebee8850092f2f47", of_dcss),
    Source("kenney", "arcade-3.3.3-py3-none-any.whl", "25f4e0e5b8bcbe7a7d087c0a23b19e9f423b0c70ec00945c8712c9a3e541ebd2", of_kenney),
    Source("fluent", "iconify-json-fluent-emoji-flat-1.2.6.tgz", "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175", of_icons),
    Source("noto", "iconify-json-noto-1.2.9.tgz", "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad", of_icons),
)  # fmt: skip


def in_a_corner(picture: Bytes) -> bool:
    """Whether all that is seen lies in one corner, less than 19 of 32 pixels wide and high."""
    rows, columns = (np.flatnonzero((picture[..., 3] > 127).any(axis)) for axis in (1, 0))
    if not len(rows):
        return False
    far = 14 / 32
    ends = [(seen.min() / side >= far, (seen.max() + 1) / side <= 1 - far)
            for seen, side in ((rows, picture.shape[0]), (columns, picture.shape[1]))]  # fmt: skip
    return all(map(any, ends))


def unpack(source: Source, file: Path, out: Path) -> dict[str, int]:
    """Writes what a source holds below `out`, in a folder for what may be turned and one for what may not."""
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != source.sha256:
        raise SystemExit(f"{file}: sha256 {found}, expected {source.sha256}")
    rows: dict[str, list[tuple[str, str]]] = {}
    left_out = 0
    for piece in source.pieces(file):
        if in_a_corner(piece.picture):
            left_out += 1
            continue
        folder = source.name if piece.turn else f"{source.name}-still"
        name = f"{piece.name}.png"
        (out / folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(piece.picture).save(out / folder / name)
        rows.setdefault(folder, []).append((name, piece.caption))
    for folder, lines in rows.items():
        _captions(out / f"{folder}.csv", lines)
    return {folder: len(lines) for folder, lines in rows.items()} | {"in a corner": left_out}


def _captions(path: Path, lines: Iterable[tuple[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)


def main() -> None:
    """Command line."""
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument(
        "--from", type=Path, required=True, dest="downloads", help="folder of the four files"
    )
    ask.add_argument("--out", type=Path, required=True)
    options = ask.parse_args()
    for source in SOURCES:
        print(source.name, unpack(source, options.downloads / source.file, options.out))
    shutil.copyfile(HERE / "mixed.toml", options.out / "mixed.toml")
    print(f"now: gfedge dataset build {options.out / 'mixed.toml'}")


if __name__ == "__main__":
    main()
