"""The one place where a digest becomes a path."""

from __future__ import annotations

import re
from pathlib import Path

DIGEST = re.compile(r"[0-9a-f]{64}")


def path_of(root: Path, sha256: str, suffix: str = "") -> Path:
    """`root/ab/cdef…`, the file that holds the bytes of this digest; ValueError for what is no digest.

    A full match, not a prefix or a line of one: a digest from a client is the only part of a path that clients name.
    """
    if DIGEST.fullmatch(sha256) is None:
        raise ValueError("a digest has 64 hexadecimal digits, lower case")
    return root / sha256[:2] / f"{sha256[2:]}{suffix}"
