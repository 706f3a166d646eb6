"""The files of runs: bytes by content under one folder, names in the database; the pictures of jobs are listed with them.

A file is written under a random name, counted and digested on the way, made durable and then named by its sha256; only
then does a row give it a name within its run. A crash in between leaves bytes that nothing names.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from gfedge import content, digests, errors
from gfedge.db import Cursor, rows
from gfedge.tracking import store
from gfedge.tracking.artifact_types import ArtifactEntry, ArtifactQuery, ArtifactRow

FULL = content.FULL
CHECK_EVERY = 64 << 20
"""Bytes after which free space is looked at again."""


class Made(NamedTuple):
    """A file of a run that is kept by what made it: a picture of a job."""

    row: ArtifactRow
    file: Path


class ArtifactFiles:
    """The folder of bytes. What is named here is a digest or a random name, never what a client sent."""

    def __init__(self, root: Path, max_bytes: int, min_free: int) -> None:
        self.root = root
        self._max_bytes = max_bytes
        self._min_free = min_free
        self.made: Callable[[Cursor, str], list[Made]] = lambda cursor, run_id: []
        """Files of the run of a job: whoever does jobs knows their pictures."""

    def open(self) -> None:
        """Makes the folder and removes what a crash left half-written."""
        (self.root / "parts").mkdir(parents=True, exist_ok=True)
        for part in (self.root / "parts").iterdir():
            part.unlink(missing_ok=True)

    def path_of(self, sha256: str) -> Path:
        return digests.path_of(self.root, sha256)

    async def write(
        self, chunks: AsyncIterator[bytes], announced: int, wanted: str
    ) -> tuple[str, int]:
        """Stores a stream; gives its sha256 and size. `announced` bytes may be 0 and `wanted`, a digest, empty."""
        self._check(announced, announced)
        part = self.root / "parts" / secrets.token_hex(16)
        try:
            with part.open("xb") as file:
                sha256, size = await self._copy(chunks, file)
                if wanted and wanted != sha256:
                    raise errors.Invalid(
                        f"the bytes that came have the sha256 {sha256}, not the one announced",
                        code="digest_mismatch",
                        field="Content-Digest",
                    )
                await asyncio.to_thread(_make_durable, file, part, self.path_of(sha256))
            return sha256, size
        except OSError as error:
            if error.errno in FULL:
                raise errors.NoSpace("the disk is full: free some space and try again") from error
            raise
        finally:
            part.unlink(missing_ok=True)

    async def _copy(self, chunks: AsyncIterator[bytes], file: BinaryIO) -> tuple[str, int]:
        digest, size, checked = hashlib.sha256(), 0, 0
        async for chunk in chunks:
            size += len(chunk)
            if size - checked > CHECK_EVERY or size > self._max_bytes:
                self._check(size, 0)
                checked = size
            await asyncio.to_thread(_take, chunk, digest, file)
        return digest.hexdigest(), size

    def _check(self, size: int, coming: int) -> None:
        """Refuses what is too large, and what would fill the disk."""
        if size > self._max_bytes:
            raise errors.TooLarge(
                f"an artifact has at most {self._max_bytes} bytes (setting max_artifact)"
            )
        free = shutil.disk_usage(self.root).free - coming
        if free < self._min_free:
            raise errors.NoSpace(
                f"the disk is nearly full: {self._min_free >> 20} MiB must stay free for the data folder "
                "(setting min_free_disk); free some space and try again"
            )


def _take(chunk: bytes, digest: hashlib._Hash, file: BinaryIO) -> None:
    digest.update(chunk)
    file.write(chunk)


def _make_durable(file: BinaryIO, part: Path, path: Path) -> None:
    """From a random name to that of the content, once the bytes are on the disk; bytes that are there stay."""
    file.flush()
    os.fsync(file.fileno())
    if content.keep(path):
        return
    path.parent.mkdir(exist_ok=True)
    if sys.platform == "win32":
        file.close()
    part.replace(path)
    if sys.platform != "win32":
        for folder in (path.parent, path.parent.parent):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


# Names: functions of a cursor


def find_artifact(cursor: Cursor, run_id: str, path: str) -> ArtifactRow | None:
    found = rows(cursor, "select * from artifacts where run_id = $1 and path = $2", [run_id, path])
    return ArtifactRow(**found[0]) if found else None


def list_artifacts(
    cursor: Cursor, run_id: str, folder: str, query: ArtifactQuery
) -> list[ArtifactEntry]:
    """What is in a folder, by name, and one entry more than asked for."""
    prefix = f"{folder}/" if folder else ""
    found = cursor.execute(
        """
        with below as (
            select substr(path, length($2) + 1) as rest, sha256, media_type, bytes, created_at
            from artifacts where run_id = $1 and starts_with(path, $2)
        ), entries as (
            select split_part(rest, '/', 1) as name, contains(rest, '/') as folder, * from below
        )
        select name, folder, sum(bytes), count(*), max(created_at), any_value(sha256), any_value(media_type)
        from entries where name > $3 group by name, folder order by name limit $4
        """,
        [run_id, prefix, query.cursor, query.limit + 1],
    ).fetchall()
    return [
        ArtifactEntry(
            path=prefix + name,
            name=name,
            is_folder=is_folder,
            bytes=int(size),
            files=count,
            created_at=created_at,
            sha256=None if is_folder else sha256,
            media_type=None if is_folder else media_type,
        )
        for name, is_folder, size, count, created_at, sha256, media_type in found
    ]


def listed_with(
    found: list[ArtifactEntry], made: Iterable[Made], query: ArtifactQuery
) -> list[ArtifactEntry]:
    """What is in the folder of a run, with what its job made."""
    more = [_entry(row) for row, _ in made if row.path > query.cursor]
    return sorted([*found, *more], key=lambda entry: entry.name)[: query.limit + 1]


def _entry(row: ArtifactRow) -> ArtifactEntry:
    return ArtifactEntry(
        path=row.path,
        name=row.path,
        is_folder=False,
        bytes=row.bytes,
        files=1,
        created_at=row.created_at,
        sha256=row.sha256,
        media_type=row.media_type,
    )


def files_below(cursor: Cursor, owner: str, folder: str) -> list[ArtifactRow]:
    """All files of an owner below a folder, with paths from there."""
    prefix = f"{folder}/" if folder else ""
    found = rows(
        cursor,
        """
        select * replace (substr(path, length($2) + 1) as path) from artifacts
        where run_id = $1 and starts_with(path, $2) order by path
        """,
        [owner, prefix],
    )
    return [ArtifactRow(**row) for row in found]


def put_artifact(cursor: Cursor, row: ArtifactRow) -> bool:
    """Names a file, in the place of one of that name; says whether there was none. A file is never a folder too."""
    parts = row.path.split("/")
    above = ["/".join(parts[:i]) for i in range(1, len(parts))]
    found = cursor.execute(
        """
        select path from artifacts
        where run_id = $1 and (list_contains($2::varchar[], path) or starts_with(path, $3 || '/') or path = $3)
        """,
        [row.run_id, above, row.path],
    ).fetchall()
    for (path,) in found:
        if path != row.path:
            what = "a file" if path in above else "a folder"
            name = path if path in above else row.path
            raise errors.Conflict(f"{name!r} is {what} of this run", code="artifact_exists")
    if found:
        delete_artifact(cursor, row.run_id, row.path)
    store.insert(cursor, [row])
    return not found


def delete_artifact(cursor: Cursor, run_id: str, path: str) -> int:
    """Takes the name of a file away, or those of all files in a folder; says how many."""
    where = "where run_id = $1 and (path = $2 or starts_with(path, $2 || '/'))"
    ((count,),) = cursor.execute(
        f"select count(*) from artifacts {where}",  # noqa: S608 - constant
        [run_id, path],
    ).fetchall()
    cursor.execute(f"delete from artifacts {where}", [run_id, path])  # noqa: S608 - constant
    return int(count)
