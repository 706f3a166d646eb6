"""Making backups of a data folder that is in use.

Files come first and once more after the database's snapshot: a row is written after its file, and collected before it,
so whatever the snapshot names was in one of the two rounds.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from pathlib import Path

import msgspec

from gfedge import __version__, errors, snapshot
from gfedge.backup import files
from gfedge.backup.types import Backup, Content, Manifest
from gfedge.db import Database

MANIFEST = "manifest.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
ARCHIVE = "archive.json"
"""What an export ends with (`gfedge.export`): it can be verified as a backup can."""


class BackupFolder:
    """The backups beside one database, made one after another."""

    def __init__(self, db: Database, data: Path) -> None:
        self._db = db
        self._data = data
        self.root = data / snapshot.FOLDER
        self._making = asyncio.Lock()

    def open(self) -> None:
        """Removes what a crash left unfinished."""
        self.root.mkdir(parents=True, exist_ok=True)
        for part in self.root.glob(".*.part"):
            shutil.rmtree(part, ignore_errors=True)

    async def make(self, name: str | None) -> Backup:
        """A backup: the database at one moment and every file that it names."""
        async with self._making:
            part, target = self._begin(name)
            try:
                await asyncio.to_thread(files.gather, self._data, part)
                rows = await self._db.aside(snapshot.copy_database, part / files.DATABASE)
                await asyncio.to_thread(files.gather, self._data, part)
                return await asyncio.to_thread(_finish, part, target, rows)
            finally:
                await asyncio.to_thread(shutil.rmtree, part, ignore_errors=True)

    def list(self) -> list[Backup]:
        """What is there, the newest first. Blocks: it reads the manifests."""
        found = [read(path) for path in self.root.iterdir() if is_backup(path)]
        return sorted(found, key=lambda backup: backup.made_at, reverse=True)

    def remove(self, name: str) -> Backup:
        """Deletes a backup and says what it was; NotFound where there is none of that name."""
        path = self.root / name
        if not NAME.fullmatch(name) or not is_backup(path):
            raise errors.NotFound(f"no backup {name!r} is here", code="backup_not_found")
        removed = read(path)
        shutil.rmtree(path)
        return removed

    def _begin(self, name: str | None) -> tuple[Path, Path]:
        name = name or time.strftime("backup-%Y%m%dT%H%M%SZ", time.gmtime())
        target, part = self.root / name, self.root / f".{name}.part"
        if target.exists():
            raise errors.Conflict(
                f"a backup {name!r} is here already: choose another name", code="backup_exists"
            )
        part.mkdir(parents=True)
        return part, target


def _finish(part: Path, target: Path, rows: dict[str, int]) -> Backup:
    """Digests what was made, writes the manifest and gives the folder its name, durably."""
    contents = files.contents(part)
    made = Manifest(gfedge=__version__, made_at=time.time(), rows=rows, files=contents)
    (part / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(made)))
    for path in (*(part / name for name in contents if not files.named(Path(name))), part):
        files.sync(path)
    files.sync(part / MANIFEST)
    part.rename(target)
    files.sync(target.parent)
    return read(target)


def is_backup(folder: Path) -> bool:
    """Whether a folder holds a backup that was finished."""
    return (folder / MANIFEST).is_file()


def manifest_of(folder: Path) -> Manifest:
    """The manifest of a backup, or the contents of an archive; Invalid where it cannot be read."""
    for name in (MANIFEST, ARCHIVE):
        if (path := folder / name).is_file():
            try:
                return msgspec.json.decode(path.read_bytes(), type=Manifest)
            except msgspec.MsgspecError as error:
                raise errors.Invalid(
                    f"{path} cannot be read ({error}): it is damaged, or of a newer gfedge"
                ) from None
    raise errors.Invalid(
        f"{folder} is no backup: it has no {MANIFEST}, and no {ARCHIVE} of an export"
    )


def read(folder: Path) -> Backup:
    """A backup as clients see it."""
    manifest = manifest_of(folder)
    sizes: list[Content] = list(manifest.files.values())
    return Backup(
        name=folder.name,
        path=str(folder),
        made_at=manifest.made_at,
        bytes=sum(one.bytes for one in sizes),
        files=len(sizes),
        rows=sum(manifest.rows.values()),
    )
