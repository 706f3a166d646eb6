"""A training set of sprites, as `gfedge dataset build` writes it: pictures, what is said of each, and a digest over both."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from gfedge.evaluation.colours import Bytes, dominant

Note = dict[str, Any]


def digest_of(pixels: bytes, notes: str) -> str:
    """sha256 over the pixels, then the notes."""
    return "sha256:" + hashlib.sha256(pixels + notes.encode()).hexdigest()


def known(path: Path) -> dict[str, str]:
    """By what a server knows a set again, and as what it is read here."""
    with np.load(path) as file:
        name = str(file["name"]) if "name" in file else path.stem
        digest = digest_of(file["pictures"].tobytes(), str(file["notes"]))
    return {"name": name, "digest": digest, "context": "evaluation"}


def load(path: Path) -> tuple[Bytes, list[Note], str]:
    """Pictures [n,side,side,4], notes and digest; colours are named here where the set does not name them."""
    with np.load(path) as file:
        pictures, text = file["pictures"], str(file["notes"])
    notes = json.loads(text)
    for note, picture in zip(notes, pictures, strict=True):
        note.setdefault("colours", dominant(picture))
    return pictures, notes, digest_of(pictures.tobytes(), text)
