"""Writes that wait for a commit, and how those of many callers go into one (group commit).

Statements cost more than rows in DuckDB, so rows of structs are collected per table over all callers of a group and go
in by one appender each.
"""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from gfedge.rows import Cursor, Row, append

GROUP_ROWS = 5000
"""Rows after which a group is committed though more are waiting."""
MAX_AT_ONCE = 100_000
"""Rows that are one statement to DuckDB: an appender commits after 204,800 of them what it has."""
PAUSE_SECONDS, EXPECTING_SECONDS = 0.0001, 0.0005
"""How long a group with company waits for more, and one that is smaller than the one before it."""


class Write(msgspec.Struct, eq=False):
    """What one caller wants in the next commit: rows, or a function of a cursor."""

    rows: Sequence[Row]
    function: Callable[[Cursor], Any] | None
    future: asyncio.Future[Any]
    outcome: Any = None

    def resolve(self) -> None:
        """Gives the caller its result or its error; runs on the event loop."""
        if self.future.done():
            return
        if isinstance(self.outcome, Exception):
            self.future.set_exception(self.outcome)
        else:
            self.future.set_result(self.outcome)


class Inbox:
    """The writes that wait, in order: the event loop puts them in, the writer thread takes them out in groups."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Write | None] = queue.SimpleQueue()
        self._company = 1
        """Writes in the last group."""

    def __len__(self) -> int:
        return self._waiting.qsize()

    def put(self, write: Write) -> None:
        self._waiting.put(write)

    def close(self) -> None:
        """Nothing comes after what is in it."""
        self._waiting.put(None)

    def groups(self) -> Iterator[list[Write]]:
        """What is committed together, one group after the other until it is closed; waits for each."""
        while (first := self._waiting.get()) is not None:
            group, closed = self._gather(first)
            yield group
            if closed:
                return

    def _gather(self, first: Write) -> tuple[list[Write], bool]:
        """What is waiting now; it filled up while the commit before this one ran.

        A caller alone is committed at once. Where there are several, more are just being put in: a pause too short to
        notice takes them along (measured with 64 callers: groups of 64 instead of 30; with 8 that come through HTTP, of
        7 instead of 4).
        """
        group, rows, seen = [first], len(first.rows), int(self._company == 1)
        while rows < GROUP_ROWS:
            try:
                write = self._waiting.get_nowait()
            except queue.Empty:
                if len(group) == seen:
                    break
                seen = len(group)
                time.sleep(EXPECTING_SECONDS if seen < self._company else PAUSE_SECONDS)
                continue
            if write is None:
                return group, True
            group.append(write)
            rows += len(write.rows) + 1
        self._company = len(group)
        return group, False


def resolve(group: list[Write]) -> None:
    for write in group:
        write.resolve()


def is_one_statement(group: list[Write]) -> bool:
    """Whether a group is rows of one table, which go in at once."""
    if any(write.function is not None for write in group):
        return False
    kinds = {type(row) for write in group for row in write.rows}
    return len(kinds) == 1 and sum(len(write.rows) for write in group) <= MAX_AT_ONCE


def apply(cursor: Cursor, group: list[Write]) -> None:
    """Runs the group in order; rows wait for each other until a function has to see them."""
    waiting: dict[type, list[Row]] = {}
    for write in group:
        for row in write.rows:
            waiting.setdefault(type(row), []).append(row)
        if write.function is not None:
            append(cursor, waiting)
            write.outcome = write.function(cursor)
    append(cursor, waiting)
