"""The files beside the database: into a backup by hard link where that is safe, and read for their digests."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from gfedge import snapshot
from gfedge.backup.types import Content

CONTENT_ADDRESSED = ("assets", "artifacts")
"""Folders whose files are named by their sha256 (`ab/cdef….png`) and never change: they are linked, and not read."""
LINKED = (*CONTENT_ADDRESSED, "models")
"""Folders whose files are written once."""
LEFT_OUT = frozenset({snapshot.FOLDER, "exports", "tmp", "server.json"})
"""Not of a backup: other backups, the archive, and what a running server tells the commands of its machine."""
DATABASE = "gfedge.duckdb"
_digest = re.compile(r"[0-9a-f]{64}")


def gather(data: Path, target: Path) -> None:
    """Brings every file of the data folder but the database that `target` does not have yet."""
    for path in walk(data):
        to = target / path.relative_to(data)
        if not to.exists():
            to.parent.mkdir(parents=True, exist_ok=True)
            _bring(path, to, link=path.relative_to(data).parts[0] in LINKED)


def walk(data: Path) -> Iterator[Path]:
    """The files of a data folder that a backup holds, in order."""
    for top in sorted(data.iterdir()):
        if top.name in LEFT_OUT or top.name.startswith((DATABASE, ".")):
            continue
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and not path.is_symlink() and not _half_written(path):
                yield path


def _half_written(path: Path) -> bool:
    return path.suffix == ".part" or "parts" in path.parts


def _bring(path: Path, to: Path, *, link: bool) -> None:
    """Links a file that never changes, where the file system can; copies the others. What vanished is not wanted."""
    try:
        if link:
            try:
                os.link(path, to)
                return
            except FileNotFoundError:
                raise
            except OSError:  # another file system, or one without links
                pass
        shutil.copy2(path, to)
    except FileNotFoundError:
        to.unlink(missing_ok=True)


def contents(folder: Path) -> dict[str, Content]:
    """Every file below a folder with its digest; content-addressed ones are known by their names."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            inner = path.relative_to(folder)
            sha256 = named(inner) or digest(path)
            found[inner.as_posix()] = Content(sha256=sha256, bytes=path.stat().st_size)
    return found


def named(inner: Path) -> str:
    """The sha256 that a content-addressed file's name says; empty for others."""
    if len(inner.parts) != 3 or inner.parts[0] not in CONTENT_ADDRESSED:
        return ""
    sha256 = inner.parts[1] + inner.stem
    return sha256 if _digest.fullmatch(sha256) else ""


def digest(path: Path) -> str:
    """The sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def move(folder: Path, target: Path) -> None:
    """Gives a folder another name, whose parent exists; on another file system that is a copy under a hidden name first.

    So the name shows a whole folder or none: a killed copy leaves `.NAME.part`. OSError: nothing has the name. What cannot
    be removed after a copy stays where it was.
    """
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        part = target.with_name(f".{target.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        try:
            _copy(folder, part)
            part.rename(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        _sync_names(target.parent)
        shutil.rmtree(folder, ignore_errors=True)
    _sync_names(target.parent)


def _sync_names(folder: Path) -> None:
    with contextlib.suppress(PermissionError):  # names may be made in it, but not read
        sync(folder)


def _copy(folder: Path, target: Path) -> None:
    """Copies a folder durably; ends at the first file that cannot be, unlike shutil.copytree."""
    target.mkdir()
    for path in sorted(folder.rglob("*")):
        to = target / path.relative_to(folder)
        if path.is_dir():
            to.mkdir()
        else:
            shutil.copy2(path, to)
    for path in (*target.rglob("*"), target):
        sync(path)


def sync(path: Path) -> None:
    """Makes a file, or the names in a folder, durable."""
    if os.name == "nt" and path.is_dir():
        return
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
