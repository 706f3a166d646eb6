"""Runs as JSON, as the index holds them, kept in memory while they are asked for: most pages show the same few runs."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from gfedge.db import Cursor

MOST_BYTES = 16 << 20


class Texts:
    """The texts of index rows by their version, which no other row ever has: what is here cannot be out of date."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._texts: dict[int, bytes] = {}
        self._lock = threading.Lock()

    def read(self, cursor: Cursor, versions: Iterable[int]) -> dict[int, bytes]:
        """Texts by version; one is missing where its row was written anew since it was found."""
        found, missing = self._known(versions)
        if missing:
            rows = cursor.execute(
                "select version, run from run_index where version in (select unnest($1::bigint[]))",
                [missing],
            ).fetchall()
            read = {int(version): text.encode() for version, text in rows}
            self.keep(read)
            found |= read
        return found

    def keep(self, texts: Mapping[int, bytes]) -> None:
        """Takes texts in; those that were longest not asked for go."""
        with self._lock:
            for version, text in texts.items():
                if version not in self._texts:
                    self._texts[version] = text
                    self._bytes += len(text)
            while self._bytes > self._most:
                self._bytes -= len(self._texts.pop(next(iter(self._texts))))

    def _known(self, versions: Iterable[int]) -> tuple[dict[int, bytes], list[int]]:
        found: dict[int, bytes] = {}
        missing: list[int] = []
        with self._lock:
            for version in versions:
                if (text := self._texts.pop(version, None)) is None:
                    missing.append(version)
                else:
                    self._texts[version] = found[version] = text
        return found, missing
