"""Restoring a backup into a new data folder: every file is held against its digest on the way. Blocks."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from gfedge import errors
from gfedge.backup import files
from gfedge.backup.backups import is_backup, manifest_of
from gfedge.backup.types import Content, Manifest

CHUNK = 1 << 20


def restore(
    backup: Path, data: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> Manifest:
    """Copies a backup to `data`, which must be new or empty; it appears there whole or not at all.

    Raises Conflict where something is there, Invalid where the folder is no sound backup.
    """
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise errors.Conflict(
            f"{data} is not empty: restore into a new folder, look at it, and then serve that one (--data)"
        )
    if not is_backup(backup):
        raise errors.Invalid(f"{backup} is no backup: make one with `gfedge backup`")
    manifest = manifest_of(backup)
    part = data.with_name(f"{data.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        for number, (name, content) in enumerate(manifest.files.items(), 1):
            _copy(backup / name, part / name, name, content)
            progress(number, len(manifest.files))
        if data.exists():
            data.rmdir()
        part.rename(data)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return manifest


def _copy(path: Path, to: Path, name: str, content: Content) -> None:
    """Copies and digests in one reading."""
    if ".." in Path(name).parts or Path(name).is_absolute():
        raise errors.Invalid(f"the backup names a file outside of itself: {name}")
    to.parent.mkdir(parents=True, exist_ok=True)
    found = hashlib.sha256()
    try:
        with path.open("rb") as source, to.open("xb") as target:
            while chunk := source.read(CHUNK):
                found.update(chunk)
                target.write(chunk)
    except FileNotFoundError:
        raise errors.Invalid(f"the backup is not whole: {name} is missing") from None
    if found.hexdigest() != content.sha256:
        raise errors.Invalid(f"the backup is damaged: {name} is not what was backed up")
    files.sync(to)
