"""Archives to plain files: a tar, tar.gz or zip whose files lie side by side, perhaps in one folder.

Nothing that an archive says is trusted: names, kinds, sizes and counts are checked, and bytes are counted as they come
out. Links, devices, nested folders and names that mean anything but a file are refused, not skipped.
"""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from gfedge import errors
from gfedge.inference.folder import FILE_NAME

MAX_FILES = 64
MAX_RATIO = 200
"""How much larger than itself an archive may become; weights shrink little, only bombs shrink this much."""
FREE_RATIO_BYTES = 8 << 20
"""What any archive may become, however small it is."""
MAX_DIRECTORY_BYTES = 256 << 10
CHUNK = 256 << 10
IGNORED = ("__MACOSX", ".DS_Store")
"""What the archivers of some systems put in unasked; also files that begin with `._`."""

Entry = tuple[str, IO[bytes]]


def kind_of(path: Path) -> str:
    """`zip`, `tar`, `gzip` or, for anything else, `onnx`: by the first bytes, never by the name."""
    with path.open("rb") as file:
        head = file.read(512)
    if head[:4] == b"PK\x03\x04":
        return "zip"
    if head[:2] == b"\x1f\x8b":
        return "gzip"
    return "tar" if head[257:262] == b"ustar" else "onnx"


def unpack(archive: Path, folder: Path, max_bytes: int) -> None:
    """Writes the files of an archive into an empty folder. Raises Invalid or TooLarge; a part may be written then."""
    size = archive.stat().st_size
    room = min(max_bytes, max(FREE_RATIO_BYTES, MAX_RATIO * size))
    tops: set[str] = set()
    count = 0
    try:
        for name, stream in _zip(archive) if kind_of(archive) == "zip" else _tar(archive, room):
            file, top = _name(name)
            if not file:
                continue
            count += 1
            tops.add(top)
            if count > MAX_FILES or len(tops) > 1:
                raise _refused(
                    f"more than {MAX_FILES} files"
                    if count > MAX_FILES
                    else "its files must lie side by side, in one folder or in none"
                )
            room -= _copy(stream, folder / file, room)
    except FileExistsError:
        raise _refused("two of its files have the same name") from None
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, struct.error) as error:
        raise _refused(f"it cannot be read ({error})") from None
    except (gzip.BadGzipFile, NotImplementedError, RuntimeError, ValueError) as error:
        raise _refused(f"it cannot be read ({error})") from None


def _name(name: str) -> tuple[str, str]:
    """(file, the folder that it lies in); the file is empty for what is ignored."""
    parts = name.removeprefix("./").split("/")
    if parts[0] == IGNORED[0] or parts[-1] in IGNORED or parts[-1].startswith("._"):
        return "", ""
    if len(parts) > 2 or not all(FILE_NAME.fullmatch(part) for part in parts):
        raise _refused(
            f"{name!r:.120} is no plain name of a file (letters, digits, `.`, `_`, `-`; one folder at most)"
        )
    return parts[-1], parts[0] if len(parts) == 2 else ""


def _copy(stream: IO[bytes], path: Path, room: int) -> int:
    size = 0
    with path.open("xb") as out:
        while chunk := stream.read(CHUNK):
            size += len(chunk)
            if size > room:
                raise _too_large()
            out.write(chunk)
    return size


def _zip(path: Path) -> Iterator[Entry]:
    _check_directory(path)
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            if info.is_dir():
                continue
            if info.flag_bits & 1:
                raise _refused("it is encrypted")
            if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                raise _refused(f"{info.filename!r:.120} is a link or a device")
            with archive.open(info) as stream:
                yield info.filename, stream


def _check_directory(path: Path) -> None:
    """zipfile reads the whole directory into memory: its size, as the end of the file gives it, is bounded first."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - (1 << 16) - 22))
        tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise _refused("it is cut short")
    (size,) = struct.unpack_from("<I", tail, at + 12)
    if size > MAX_DIRECTORY_BYTES:
        raise _refused(f"more than {MAX_FILES} files, or larger than 4 GiB (send that as tar)")


def _tar(path: Path, room: int) -> Iterator[Entry]:
    with path.open("rb") as raw:
        inner: IO[bytes] = gzip.GzipFile(fileobj=raw) if kind_of(path) == "gzip" else raw  # type: ignore[assignment]
        # Headers and padding besides the files themselves.
        with tarfile.open(fileobj=_Bounded(inner, room + (4 << 20)), mode="r:") as archive:
            for info in archive:
                if info.isdir():
                    continue
                stream = archive.extractfile(info) if info.isreg() and not info.issparse() else None
                if stream is None:
                    raise _refused(f"{info.name!r:.120} is a link, a device or a sparse file")
                yield info.name, stream


class _Bounded(io.RawIOBase):
    """A stream that gives no more than so many bytes in all and few at once: tarfile reads headers of any length whole."""

    def __init__(self, inner: IO[bytes], limit: int) -> None:
        super().__init__()
        self._inner, self._limit = inner, limit

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= 4 * CHUNK or self._inner.tell() > self._limit:
            raise _too_large()
        return self._inner.read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        if whence == 0 and offset > self._limit:
            raise _too_large()
        return self._inner.seek(offset, whence)

    def tell(self) -> int:
        return self._inner.tell()


def _too_large() -> errors.TooLarge:
    return errors.TooLarge(
        f"unpacked, the archive is larger than is taken (setting max_model, and {MAX_RATIO} times its own size)",
        code="archive_too_large",
    )


def _refused(why: str) -> errors.Invalid:
    return errors.Invalid(f"the archive is refused: {why}", code="bad_archive")
