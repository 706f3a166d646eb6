"""The files behind assets: `assets/ab/cdef….png`, named by content, whole or absent."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from gfedge import content, digests, errors

SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}
MEDIA_TYPES = {suffix: kind for kind, suffix in SUFFIXES.items()}


def path_of(root: Path, sha256: str, media_type: str = "image/png") -> Path:
    """The file of a picture; NotFound for everything but 64 lower-case hex digits."""
    try:
        return digests.path_of(root, sha256, SUFFIXES[media_type])
    except ValueError:
        raise errors.NotFound(
            "an asset is named by its sha256: 64 hexadecimal digits, lower case",
            code="asset_not_found",
        ) from None


def find(root: Path, sha256: str) -> Path:
    """The file of an asset, whatever its type; NotFound where there is none."""
    for kind in SUFFIXES:
        if (path := path_of(root, sha256, kind)).is_file():
            return path
    raise errors.NotFound(f"asset {sha256} is not here", code="asset_not_found")


def write(root: Path, data: bytes, media_type: str) -> tuple[str, bool]:
    """Stores bytes once and durably: temporary name, fsync, rename, fsync of the folder.

    Returns their sha256 and whether they were new.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    path = path_of(root, sha256, media_type)
    if content.keep(path):
        return sha256, False
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            _sync_folder(root)
        _write_through(temporary, data)
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in content.FULL:
            raise errors.NoSpace("the disk is full: free some space and try again") from error
        raise
    return sha256, True


def remove_parts(root: Path) -> int:
    """Removes what a crash left half-written; returns how many."""
    parts = list(root.glob("??/.*.part"))
    for part in parts:
        part.unlink(missing_ok=True)
    return len(parts)


def _write_through(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    if os.name == "nt":
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
