"""Verifying: every block of the database can be read, every file that a row names is there with its digest."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path
from threading import Event

import msgspec

from gfedge import digests, snapshot
from gfedge.assets import files as asset_files
from gfedge.backup import files, store
from gfedge.backup.backups import manifest_of
from gfedge.backup.types import Fault, Subject, Verification
from gfedge.db import Cursor, Database
from gfedge.inference.folder import read_folder
from gfedge.inference.types import ModelRefused


class Item(msgspec.Struct, frozen=True):
    """A file, or the folder of a model version, as a row of the database names it."""

    kind: Subject
    id: str
    path: Path
    sha256: str
    bytes: int = 0

    def fault(self) -> str:
        """What is wrong with it; empty where it is as it should be. Blocks."""
        if self.kind == "model_version":
            return _fault_of_version(self.path, self.sha256)
        return _fault_of_file(self.path, self.sha256, self.bytes)


async def verify(db: Database, data: Path, models: Iterable[Path]) -> Verification:
    """Looks at a data folder whose database is open; `models` are the folders that hold versions."""
    tables, broken = await db.read(snapshot.read_through)
    faults = [
        Fault(kind="table", id=table, text=f"cannot be read: {text}")
        for table, text in broken.items()
    ]
    items = await db.read(_items, data, list(models)) if not faults else []
    faults += await _read(items)
    checked: Counter[str] = Counter(item.kind for item in items)
    checked["table"] = tables
    return Verification(sound=not faults, checked=dict(checked), faults=faults)


async def _read(items: list[Item]) -> list[Fault]:
    """What is wrong with them. A stop of the server waits for the file that is being read, not for all."""
    stop = Event()
    try:
        return await asyncio.to_thread(
            lambda: list(_faults(takewhile(lambda _: not stop.is_set(), items)))
        )
    finally:
        stop.set()


def verify_backup(folder: Path) -> Verification:
    """Looks at every file of a backup or an export. Blocks."""
    items = [
        Item("file", name, folder / name, content.sha256, content.bytes)
        for name, content in manifest_of(folder).files.items()
    ]
    faults = list(_faults(items))
    return Verification(sound=not faults, checked={"file": len(items)}, faults=faults)


def _items(cursor: Cursor, data: Path, models: list[Path]) -> list[Item]:
    """Everything on the disk that the database names."""
    pictures = [
        Item("asset", sha256, asset_files.path_of(data / "assets", sha256, kind), sha256, size)
        for sha256, kind, size in store.pictures(cursor)
    ]
    artifacts = [
        Item("artifact", name, digests.path_of(data / "artifacts", sha256), sha256, size)
        for name, sha256, size in store.artifacts(cursor)
    ]
    versions = [
        Item("model_version", key, _first_folder(models, name, version), digest)
        for key, name, version, digest in store.versions(cursor)
    ]
    return [*pictures, *artifacts, *versions]


def _first_folder(roots: list[Path], name: str, version: str) -> Path:
    folders = [root / name / version for root in roots]
    return next((folder for folder in folders if folder.is_dir()), folders[0])


def _faults(items: Iterable[Item]) -> Iterator[Fault]:
    for item in items:
        if text := item.fault():
            yield Fault(kind=item.kind, id=item.id, text=text)


def _fault_of_file(path: Path, sha256: str, size: int) -> str:
    if not path.is_file():
        return "its file is missing"
    if (found := path.stat().st_size) != size:
        return f"its file has {found} bytes, {size} were recorded"
    return "" if files.digest(path) == sha256 else "its file's bytes are not those of its digest"


def _fault_of_version(folder: Path, digest: str) -> str:
    if not folder.is_dir():
        return "its folder is missing"
    try:
        found = read_folder(folder).digest
    except ModelRefused as error:
        return str(error)
    return "" if found == digest else "its files are not those that were registered"
