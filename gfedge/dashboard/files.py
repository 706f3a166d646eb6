"""The files of the dashboard: read once, each with its digest and its compressed form; nothing is built.

Pages name the others below a folder that is the digest of all of them. So every file there may be kept for ever, and a
new version of the server brings new addresses. Under their plain names the same files are asked for again each time.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
from pathlib import Path

import msgspec

WEB = Path(__file__).parent / "web"
MEDIA_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".ts": "text/plain",
    ".svg": "image/svg+xml",
}
"""What is served; the licences and digests beside the libraries are not."""
HERE = b"@here@"
"""Stands in index.html for the folder's digest."""


class File(msgspec.Struct, kw_only=True, frozen=True):
    """A file as it goes out."""

    media_type: str
    body: bytes
    gzipped: bytes
    sha256: str


class Web:
    """All of them, read when they are first asked for."""

    @functools.cached_property
    def _read(self) -> dict[str, bytes]:
        paths = sorted(path for path in WEB.rglob("*") if path.suffix in MEDIA_TYPES)
        return {path.relative_to(WEB).as_posix(): path.read_bytes() for path in paths}

    @functools.cached_property
    def digest(self) -> str:
        """Of all names and contents; the folder in which they may be kept for ever."""
        found = hashlib.sha256()
        for name, body in self._read.items():
            found.update(f"{name} {len(body)}\n".encode() + body)
        return found.hexdigest()[:16]

    @functools.cached_property
    def _files(self) -> dict[str, File]:
        return {name: self._file(name, body) for name, body in self._read.items()}

    def _file(self, name: str, body: bytes) -> File:
        if name == "index.html":
            body = body.replace(HERE, self.digest.encode())
        return File(
            media_type=MEDIA_TYPES[Path(name).suffix],
            body=body,
            gzipped=gzip.compress(body, 9, mtime=0),
            sha256=hashlib.sha256(body).hexdigest(),
        )

    def find(self, path: str) -> tuple[File | None, bool]:
        """(the file at a path, whether it may be kept for ever)."""
        folder, _, rest = path.partition("/")
        kept = folder == self.digest
        return self._files.get(rest if kept else path), kept
