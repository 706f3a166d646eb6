"""Build the training set: python -m sprites.data crawl_0.28.0.orig.tar.xz --out train.npz.

The tarball (its sha256 stands in dcss_cleared.json) holds the tiles as PNG files; the list names
the cleared ones and recipe.py chooses among those. train.npz holds `pictures` uint8 [n,32,32,4]
(hard alpha, colour zero where transparent), `notes`, a JSON list in the same order (path, nouns,
words, colours, turn) and `licence`. The digest is a sha256 over pictures and notes, so two builds
can be compared whatever the zip container says.
"""

import argparse
import hashlib
import io
import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gfedge.evaluation.colours import Bytes, dominant
from gfedge.evaluation.sets import Note, digest_of
from sprites.recipe import ALIASES, BROADER, MISLEADING, SPELLINGS, STOP, Rule, rule_of

NAME = "dcss-cleared-subset"
LICENCE = "CC0-1.0, Dungeon Crawl Stone Soup contributors"
LISTED = Path(__file__).with_name("dcss_cleared.json")


def chosen(listed: dict[str, Any]) -> list[Note]:
    """Notes of the tiles that the recipe takes, ordered by path."""
    skip = {*listed["leftover_overlays"], *listed["near_listed_names"]}
    groups: dict[Rule, list[Note]] = {}
    for tile in sorted(listed["tiles"], key=lambda t: t["path"]):
        rule = rule_of(tile["path"])
        if tile["path"] not in skip and rule.cap:
            groups.setdefault(rule, []).append(note_of(tile, rule))
    kept = [note for rule, group in groups.items() for note in spread(group, rule.cap)]
    return sorted(kept, key=lambda n: n["path"])


def spread(group: list[Note], cap: int) -> list[Note]:
    """At most `cap` of a group, chosen evenly over it."""
    cap = min(cap, len(group))
    return [group[i * len(group) // cap] for i in range(cap)]


def note_of(tile: dict[str, Any], rule: Rule) -> Note:
    """Nouns by the rule, details from the file name, in the spelling of the vocabulary."""
    found = re.search(rule.pattern, tile["path"])
    named = found[1] if found and rule.nouns == "*" else rule.nouns
    nouns = folded(named.split())
    hidden = {w for noun in nouns for w in MISLEADING.get(noun, ())}
    words = folded(w for w in tile["words"] if w not in STOP)
    words += [BROADER[w] for w in words if w in BROADER]
    details = [w for w in dict.fromkeys(words) if w not in nouns and w not in hidden]
    return {"path": tile["path"], "nouns": nouns, "words": details, "turn": rule.turn}


def folded(words: Iterable[str]) -> list[str]:
    """Words in the vocabulary's spelling, each once."""
    spelled = (SPELLINGS.get(w, w) for w in words)
    return list(dict.fromkeys(ALIASES.get(w, w) for w in spelled))


def checked(tarball: Path, sha256: str) -> Path:
    """The tarball, if it is the one the list was made from."""
    found = hashlib.sha256(tarball.read_bytes()).hexdigest()
    if found != sha256:
        raise SystemExit(f"{tarball}: sha256 {found}, expected {sha256}")
    return tarball


def pictures_of(tarball: Path, root: str, paths: list[str]) -> Bytes:
    """Read [n,32,32,4] in the order of paths; alpha made hard, colours under alpha 0 cleared."""
    wanted, found = {f"{root}/{p}": p for p in paths}, {}
    with tarfile.open(tarball) as tar:
        for member in tar:
            if member.name in wanted:
                file = tar.extractfile(member)
                assert file is not None
                found[wanted[member.name]] = hard(
                    np.array(Image.open(io.BytesIO(file.read())).convert("RGBA"))
                )
    return np.stack([found[p] for p in paths])


def hard(picture: Bytes) -> Bytes:
    """Alpha 0 or 255."""
    opaque = picture[..., 3:] > 127
    return np.where(
        opaque, np.concatenate([picture[..., :3], np.full_like(opaque, 255, np.uint8)], -1), 0
    )


def words_of(note: Note) -> set[str]:
    """Every caption word of an unturned picture."""
    return {*note["nouns"], *note["words"], *note["colours"]}


def build(tarball: Path) -> tuple[Bytes, list[Note]]:
    """Pictures and notes of the whole set."""
    listed = json.loads(LISTED.read_text(encoding="utf-8"))
    notes = chosen(listed)
    root = listed["tarball"]["paths_relative_to"]
    pictures = pictures_of(
        checked(tarball, listed["tarball"]["sha256"]), root, [n["path"] for n in notes]
    )
    for note, picture in zip(notes, pictures, strict=True):
        note["colours"] = dominant(picture)
    return pictures, notes


def about(path: Path) -> dict[str, str]:
    """Name, licence and attributions of a train.npz."""
    with np.load(path) as file:
        licence = str(file["licence"]) if "licence" in file else ""
        name = str(file["name"]) if "name" in file else NAME
        notice = str(file["notice"]) if "notice" in file else ""
    return {"name": name, "licence": licence.split(",")[0], "notice": notice}


def main() -> None:
    """Command line."""
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("tarball", type=Path)
    ask.add_argument("--out", type=Path, required=True)
    options = ask.parse_args()
    pictures, notes = build(options.tarball)
    text = json.dumps(notes)
    np.savez_compressed(options.out, pictures=pictures, notes=text, licence=LICENCE)
    counts = Counter(w for n in notes for w in words_of(n))
    print(len(notes), "images;", len(counts), "words;", digest_of(pictures.tobytes(), text))
    print(Counter(n for note in notes for n in note["nouns"]).most_common(120))


if __name__ == "__main__":
    main()
