"""The files of registered versions: `<data>/models/<name>/<version>/`, put there whole or not at all.

A version is gathered and examined under a random name; its files are made durable before it gets its own name, and
only then does a row speak of it. What a crash leaves in between is never read.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import shutil
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from gfedge import errors
from gfedge.inference import manifest
from gfedge.inference.folder import FILE_NAME
from gfedge.inference.types import ModelRefused
from gfedge.registry import unpack

MANIFEST = "model.toml"
INCOMING = ".incoming"
DOCUMENTS = (".md", ".txt", "")
"""Suffixes of files that are kept beside a model but are no part of it, unless its manifest lists them."""
NOT_INHERITED = (
    "version",
    "files",
    "source",
    "created_at",
    "training",
    "dataset",
    "metrics",
    "evaluation",
    "vocabulary",
)
"""What a manifest says that holds for one version alone."""
CHUNK = 1 << 20


MOST_CARD = 1 << 20
"""Bytes of a card; what is beyond is not shown."""


class ModelFiles:
    """The folder of registered versions. Its methods block: call them in a thread."""

    def __init__(self, root: Path, max_bytes: int, min_free: int) -> None:
        self.root = root
        self.max_bytes = max_bytes
        self._min_free = min_free

    def open(self) -> None:
        """Makes the folder and removes what a crash left half-done."""
        shutil.rmtree(self.root / INCOMING, ignore_errors=True)
        (self.root / INCOMING).mkdir(parents=True)

    def path_of(self, name: str, version: str) -> Path:
        return self.root / name / version

    @contextlib.asynccontextmanager
    async def room(self) -> AsyncIterator[Path]:
        """An empty folder for one version on its way; it is gone in the end."""
        free = shutil.disk_usage(self.root).free
        if free < self._min_free:
            raise errors.NoSpace(
                f"the disk is nearly full: {self._min_free >> 20} MiB must stay free for the data folder "
                "(setting min_free_disk); free some space and try again"
            )
        path = self.root / INCOMING / secrets.token_hex(16)
        path.mkdir()
        try:
            yield path
        finally:
            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)

    def gather(self, source: Path, room: Path, earlier: Path | None) -> dict[str, Any]:
        """Brings the files of a folder, an archive or a single graph into `room`; gives the manifest with all digests.

        Where no manifest comes along, that of an `earlier` version is taken, with the files that are missing.
        """
        if source.is_dir():
            self._copy_all(source, room)
        elif unpack.kind_of(source) != "onnx":
            unpack.unpack(source, room, self.max_bytes)
        else:
            _copy(source, room / "model.onnx", self.max_bytes)
            beside = source.with_name(MANIFEST)
            if beside.is_file():
                _copy(beside, room / MANIFEST, self.max_bytes)
        try:
            if (room / MANIFEST).is_file():
                return _with_digests(manifest.read(room), room)
            if earlier is None:
                raise ModelRefused(
                    "no model.toml came along: send it with the files, or register a version of a model that is here "
                    "(POST to /models/{name}/versions), whose manifest is then taken"
                )
            return _with_digests(self._inherited(earlier, room), room)
        except ModelRefused as error:
            raise errors.Invalid(f"the model is refused: {error}", code="model_refused") from None

    def _inherited(self, earlier: Path, room: Path) -> dict[str, Any]:
        table = manifest.read(earlier)
        for name in table["files"]:
            if not (room / name).exists():
                _copy(earlier / name, room / name, self.max_bytes)
        return {key: value for key, value in table.items() if key not in NOT_INHERITED}

    def _copy_all(self, source: Path, room: Path) -> None:
        left, count = self.max_bytes, 0
        for path in sorted(source.iterdir()):
            if not stat.S_ISREG(path.lstat().st_mode) or not FILE_NAME.fullmatch(path.name):
                continue  # folders, links and files that no model loads
            count += 1
            if count > unpack.MAX_FILES:
                raise errors.TooLarge(f"the folder holds more than {unpack.MAX_FILES} files")
            left -= _copy(path, room / path.name, left)

    def place(self, room: Path, table: dict[str, Any]) -> Path:
        """Writes the manifest and gives what was gathered its name within the room, as it is examined."""
        (room / MANIFEST).write_text(manifest.dumps(table), encoding="utf-8")
        found = [path for path in room.iterdir() if path.is_file()]
        folder = room / str(table["name"]) / str(table["version"])
        folder.mkdir(parents=True)
        for path in found:
            path.rename(folder / path.name)
        return folder

    def keep(self, folder: Path, name: str, version: str) -> Path:
        """Gives an examined folder its lasting place, once its bytes are on the disk."""
        for path in folder.iterdir():
            path.chmod(0o444)
            _sync(path)
        _sync(folder)
        target = self.path_of(name, version)
        shutil.rmtree(target, ignore_errors=True)  # of a crash: no row speaks of it
        target.parent.mkdir(exist_ok=True)
        folder.rename(target)
        for parent in (target.parent, self.root):
            _sync(parent)
        return target

    def remove(self, name: str, version: str) -> None:
        shutil.rmtree(self.path_of(name, version), ignore_errors=True)
        with contextlib.suppress(OSError):
            self.path_of(name, version).parent.rmdir()


def _copy(source: Path, target: Path, room: int) -> int:
    size = 0
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(source, flags), "rb") as file, target.open("xb") as out:
        while chunk := file.read(CHUNK):
            size += len(chunk)
            if size > room:
                raise errors.TooLarge("the model is larger than is taken (setting max_model)")
            out.write(chunk)
    return size


def _with_digests(table: dict[str, Any], room: Path) -> dict[str, Any]:
    """The manifest with a digest for each file, where it lists none itself."""
    if table.get("files"):
        return table
    found = sorted(path for path in room.iterdir() if path.name != MANIFEST)
    digests = {p.name: _digest(p) for p in found if p.suffix.lower() not in DOCUMENTS}
    return {**table, "files": digests}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    if sys.platform == "win32" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def card(folder: Path) -> str:
    """What its makers wrote about a version; empty where they wrote nothing. It blocks."""
    path = folder / "CARD.md"
    if path.is_symlink() or not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(MOST_CARD).decode("utf-8", "replace")
