"""Files that come in parts: each part a file of its own under a random name, put together when all are there.

What is under way is known to this process alone: an upload does not outlive the server.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from gfedge import errors
from gfedge.tracking.artifacts import FULL

MAX_UPLOADS = 64
"""Under way at once; past it the one that began first is given up."""
MAX_PARTS = 10_000
CHUNK = 1 << 20


class Upload:
    """One file on its way."""

    def __init__(self, folder: Path, target: str, parts: int) -> None:
        self.id = secrets.token_hex(16)
        self.secret = secrets.token_urlsafe(24)
        self.target = target
        self.parts = parts
        self.sizes: dict[int, int] = {}
        self.folder = folder / self.id

    def path_of(self, number: int) -> Path:
        return self.folder / str(number)


class Uploads:
    """The uploads under way. Together they have at most `max_bytes`, as one file does."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._known: dict[str, Upload] = {}

    def open(self) -> None:
        """Makes the folder, without what a server before this one left in it."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)

    async def begin(self, target: str, parts: int) -> Upload:
        if not 1 <= parts <= MAX_PARTS:
            raise errors.Invalid(
                f"num_parts: a file comes in 1 to {MAX_PARTS} parts", field="num_parts"
            )
        while len(self._known) >= MAX_UPLOADS:
            await self.end(next(iter(self._known)))
        upload = Upload(self._folder, target, parts)
        upload.folder.mkdir()
        self._known[upload.id] = upload
        return upload

    def find(self, upload_id: str) -> Upload:
        if (found := self._known.get(upload_id)) is None:
            raise errors.NotFound(
                f"no upload {upload_id!r:.80} is under way: begin it anew", code="upload_not_found"
            )
        return found

    async def put(self, upload: Upload, number: int, chunks: AsyncIterator[bytes]) -> None:
        """Takes a part, in the place of one of that number."""
        if not 1 <= number <= upload.parts:
            raise errors.Invalid(f"part {number}: this upload has {upload.parts}", field="number")
        room = self._max_bytes - sum(one for n, one in upload.sizes.items() if n != number)
        try:
            with upload.path_of(number).open("wb") as file:
                async for chunk in chunks:
                    room -= len(chunk)
                    if room < 0:
                        raise errors.TooLarge(
                            f"an artifact has at most {self._max_bytes} bytes (setting max_artifact)"
                        )
                    await asyncio.to_thread(file.write, chunk)
        except OSError as error:
            if error.errno in FULL:
                raise errors.NoSpace("the disk is full: free some space and try again") from error
            raise
        upload.sizes[number] = upload.path_of(number).stat().st_size

    async def content(self, upload: Upload) -> AsyncIterator[bytes]:
        """All parts, one after the other; Invalid where one is missing."""
        if lacking := [n for n in range(1, upload.parts + 1) if n not in upload.sizes]:
            raise errors.Invalid(f"part {lacking[0]} of {upload.parts} did not come", field="parts")
        for number in range(1, upload.parts + 1):
            with upload.path_of(number).open("rb") as file:
                while chunk := await asyncio.to_thread(file.read, CHUNK):
                    yield chunk

    async def end(self, upload_id: str) -> None:
        """Forgets an upload and its parts."""
        if (upload := self._known.pop(upload_id, None)) is not None:
            await asyncio.to_thread(shutil.rmtree, upload.folder, ignore_errors=True)
