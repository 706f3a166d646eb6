"""Files that no row names: what a crash left, and what a collection let go. Blocks: call it in a thread.

A file is removed only if it was neither written nor asked for lately, and under the lock that a writer of the same
bytes takes: who finds it there may rely on it, who comes later writes it anew.
"""

from __future__ import annotations

import contextlib
import shutil
import stat
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import msgspec

from gfedge import content
from gfedge.digests import DIGEST
from gfedge.retention.types import Report

LOG = "log.txt"
"""What a training printed."""


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a folder that is named by content."""

    path: Path
    name: str
    """Its digest, or its random name where it is not whole."""
    whole: bool
    bytes: int
    used_at: float


def stored(root: Path) -> Iterator[Stored]:
    """The files of a folder `ab/cdef…`, and the unfinished ones beside them; what else lies there is not ours."""
    for path in root.glob("*/*"):
        name = path.parent.name + path.name.partition(".")[0]
        whole = DIGEST.fullmatch(name) is not None
        if not whole and path.suffix != ".part" and path.parent.name != "parts":
            continue
        with contextlib.suppress(FileNotFoundError):
            found = path.stat()
            yield Stored(
                path=path,
                name=name if whole else path.name,
                whole=whole,
                bytes=found.st_size,
                used_at=found.st_mtime,
            )


def sweep(
    root: Path,
    kind: str,
    is_known: Callable[[str], bool],
    before: float,
    report: Report,
    reasons: dict[str, str],
) -> None:
    """Removes (with a dry run: tells of) what is not known and was last used before a time."""
    for file in stored(root):
        if file.whole and is_known(file.name):
            continue
        goes = file.used_at < before
        if goes and not report.dry_run:
            goes = content.remove_unused(file.path, before)
        if not goes:
            report.young += 1
            continue
        reason = reasons.get(file.name, "nothing names it") if file.whole else "left by a crash"
        report.add(kind if file.whole else "temporary", file.name, file.bytes, reason)


def sweep_trainings(root: Path, ended: Collection[str], report: Report, reason: str) -> None:
    """Empties (with a dry run: tells of) the folders of ended trainings, but for the log."""
    for job_id in sorted(ended):
        gone = [path for path in (root / job_id).glob("*") if path.name != LOG]
        if not gone:
            continue
        report.add("training", job_id, sum(map(_size, gone)), reason)
        for path in gone if not report.dry_run else ():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    """Bytes of a file, or of all in a folder; a link's target is not ours."""
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    return sum(found.st_size for file in files if not stat.S_ISDIR((found := file.lstat()).st_mode))
