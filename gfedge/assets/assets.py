"""The asset store: bytes to files, files to rows."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

from gfedge import content, errors
from gfedge.assets import files, store
from gfedge.assets.types import AssetRow, Pin
from gfedge.db import Database

REMEMBERED = 10_000
"""Rows kept in memory, so that a picture sent again is not looked up again."""


class Assets:
    """Stores pictures by content under one folder."""

    def __init__(self, db: Database, root: Path, min_free: int) -> None:
        self._db = db
        self.root = root
        self._min_free = min_free
        self._recent: OrderedDict[str, AssetRow] = OrderedDict()

    def open(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        files.remove_parts(self.root)

    def check_space(self) -> None:
        """Refuses new work before the disk is full."""
        free = shutil.disk_usage(self.root).free
        if free < self._min_free:
            raise errors.NoSpace(
                f"only {free >> 20} MiB are free for the data folder, and {self._min_free >> 20} MiB must stay "
                "(setting min_free_disk): free some space and try again"
            )

    async def find(self, sha256: str) -> AssetRow | None:
        if (row := self._recent.get(sha256)) is not None:
            return row
        if (row := await self._db.read(store.find_asset, sha256)) is not None:
            self.remember(row)
        return row

    async def hold(self, sha256: str) -> AssetRow | None:
        """An asset that a job is going to read: its file stays for a while. None where row or file is gone."""
        row = await self.find(sha256)
        held = row is not None and content.keep(files.path_of(self.root, sha256, row.media_type))
        return row if held else None

    def forget(self, digests: Iterable[str]) -> None:
        for sha256 in digests:
            self._recent.pop(sha256, None)

    async def pin(self, sha256: str, now: float) -> Pin:
        """Keeps an asset, and all that it came from, whatever the retention policy says."""
        if await self.hold(sha256) is None:
            raise errors.NotFound(f"asset {sha256} is not here", code="asset_not_found")
        return await self._db.write(store.pin, sha256, now)

    async def unpin(self, sha256: str) -> Pin:
        if (was := await self._db.write(store.unpin, sha256)) is None:
            raise errors.NotFound(f"asset {sha256} is not pinned", code="not_pinned")
        return was

    async def find_same_pixels(self, pixels_sha256: str) -> AssetRow | None:
        return await self._db.read(store.find_same_pixels, pixels_sha256)

    def remember(self, row: AssetRow) -> None:
        self._recent[row.sha256] = row
        self._recent.move_to_end(row.sha256)
        if len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)

    async def read(self, sha256: str) -> bytes:
        """The bytes of an asset; NotFound where the file is gone."""
        return await asyncio.to_thread(lambda: files.find(self.root, sha256).read_bytes())

    async def known(self, row: AssetRow, stored: bool) -> AssetRow:
        """The row that stands for this picture: an earlier one, where its bytes were here before."""
        return row if stored else await self.find(row.sha256) or row

    def put(
        self, data: bytes, *, pixels_sha256: str, media_type: str, width: int, height: int
    ) -> tuple[AssetRow, bool]:
        """Writes the file; returns its row and whether it was new. Blocks: call it in a thread."""
        sha256, new = files.write(self.root, data, media_type)
        row = AssetRow(
            sha256=sha256,
            pixels_sha256=pixels_sha256,
            media_type=media_type,
            width=width,
            height=height,
            bytes=len(data),
            created_at=time.time(),
        )
        return row, new
