"""The log of a job: one file that its trainer and the server append to, bounded by dropping its older half.

Offsets count from the first byte ever written, so a reader goes on where it was though the file was cut meanwhile.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

TAIL_BYTES = 8 << 10
TAIL_LINES = 50


class Log:
    """The log at a path. The trainer holds the file open, so it is emptied and never replaced."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._base_path = path.with_suffix(".base")
        self._base = _number(self._base_path)
        self._lock = threading.Lock()

    @property
    def first(self) -> int:
        """Offset of the oldest byte that is still there."""
        return self._base

    @property
    def end(self) -> int:
        """Offset behind the last byte."""
        return self._base + self._size()

    def append(self, lines: list[str]) -> None:
        """Writes lines, each ended and without what would move a terminal's cursor."""
        text = "".join(f"{_clean(line)}\n" for line in lines)
        with self.path.open("ab") as file:
            file.write(text.encode("utf-8", "replace"))

    def read(self, offset: int, limit: int) -> tuple[int, bytes]:
        """(offset, bytes) of at most `limit` bytes from there on, or from the oldest byte that is left."""
        with self._lock:
            offset = max(offset, self._base)
            try:
                with self.path.open("rb") as file:
                    file.seek(offset - self._base)
                    return offset, file.read(limit)
            except FileNotFoundError:
                return offset, b""

    def tail(self) -> list[str]:
        """The last lines."""
        _, data = self.read(self.end - TAIL_BYTES, TAIL_BYTES)
        return data.decode("utf-8", "replace").splitlines()[-TAIL_LINES:]

    def cut(self) -> None:
        """Where it grew past its bound, drops all but the last half of that, from a whole line on."""
        if (size := self._size()) <= self._max_bytes:
            return
        with self._lock, self.path.open("r+b") as file:
            file.seek(size - self._max_bytes // 2)
            file.readline()
            kept_from, kept = file.tell(), file.read()
            self._base += kept_from
            self._base_path.write_text(str(self._base))
            file.truncate(0)
            # To the end, behind what the trainer may have written meanwhile: it appends too.
            with self.path.open("ab") as end:
                end.write(kept)

    def _size(self) -> int:
        try:
            return os.stat(self.path).st_size  # noqa: PTH116  a property is asked often
        except FileNotFoundError:
            return 0


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def _clean(line: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else " " for c in line)
