"""The database door: the only module that holds a DuckDB connection.

One writer thread commits what many callers ask for together (group commit); a caller's answer comes after the commit
that holds its write. A few reader threads have a cursor of their own each, because one connection shared by threads
returns wrong rows silently.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import duckdb

from gfedge import errors, snapshot
from gfedge.integrity import DatabaseInUse as DatabaseInUse
from gfedge.integrity import DatabaseRefused as DatabaseRefused
from gfedge.integrity import check_blocks, damaged, is_locked, refusal
from gfedge.mark import Mark
from gfedge.rows import Cursor as Cursor
from gfedge.rows import Row as Row
from gfedge.rows import append as append
from gfedge.rows import new_id as new_id
from gfedge.rows import rows as rows
from gfedge.writes import Inbox, Write, apply, is_one_statement, resolve

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

MAX_WAITING = 20_000
"""Writes that may wait; past it the caller is told to come back."""
READERS = 2
MEMORY_BYTES = 512 << 20
"""What DuckDB holds at most: blocks that it wrote and read stay until then."""

Committed = Callable[[float, int, int], None]
"""Called by the writer thread after each commit: seconds that it took, writes and rows in it."""


class DatabaseFailed(errors.Unavailable):
    """The database could not do it now (closing, reopening, or too many writes waiting)."""

    code = "database_unavailable"


class Database:
    """One DuckDB file, and `folders` that it may write to; `open` it, then `read`, `insert` and `write` from the event loop."""

    def __init__(
        self,
        path: Path,
        committed: Committed = lambda seconds, writes, rows: None,
        memory_bytes: int = MEMORY_BYTES,
        folders: Sequence[Path] = (),
    ) -> None:
        self.path = path
        self._memory_bytes = memory_bytes
        self._folders = (path.parent / snapshot.FOLDER, *folders)
        self._committed = committed
        self._mark = Mark(path)
        self._inbox = Inbox()
        self._loop: asyncio.AbstractEventLoop
        self._closing = False
        self._opened = 0
        self._connection: Cursor | None = None
        self._deferred: list[Row] = []
        self._settling: asyncio.Future[None] | None = None
        """The commit of what was deferred last."""
        self._local = threading.local()
        self._reopen = threading.Lock()
        self._readers = ThreadPoolExecutor(READERS, "db-reader")
        self._aside = ThreadPoolExecutor(1, "db-aside", _give_way)
        self._long: Cursor | None = None
        self._writer = threading.Thread(target=self._write_loop, name="db-writer")

    def open(
        self,
        prepare: Callable[[Cursor], None] = lambda cursor: None,
        *,
        accept_loss: bool = False,
    ) -> None:
        """Opens the file, lets `prepare` make or migrate its tables, and starts the writer thread.

        Refuses a file from which committed work is missing; with `accept_loss` it goes on with what is there.
        """
        accepted, made = self._check_loss(accept_loss), not self.path.exists()
        try:
            self._connect()
        except duckdb.Error as error:
            if not (accepted and self._mark.log.exists()):
                raise refusal(self.path, str(error)) from error
            self._mark.log.unlink()  # a copy was set aside
            self._connect()
        assert self._connection is not None
        if not made:
            check_blocks(self._connection, self.path)
        prepare(self._connection)
        self._connection.execute("CHECKPOINT")
        self._mark.begin()
        self._writer.start()

    def _check_loss(self, accept: bool) -> bool:
        """Refuses files from which committed work is missing; says whether that was accepted."""
        loss = self._mark.loss()
        if not loss or is_locked(self.path):
            return False
        if not accept:
            raise damaged(self.path, loss)
        log.error("%s; going on with what is there (--accept-loss)", loss)
        self._mark.set_aside()
        return True

    def close(self) -> None:
        """Commits what is waiting, writes a checkpoint and closes the file."""
        self._closing = True
        if self._writer.is_alive():
            self._inbox.close()
            self._writer.join()
        if (long := self._long) is not None:
            long.interrupt()
        self._aside.shutdown(cancel_futures=True)
        self._readers.shutdown(cancel_futures=True)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._mark.close()

    async def read(
        self, function: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Runs a reading function of a cursor in a reader thread; it sees deferred rows too."""
        await self.settle()
        return await self.peek(function, *args, **kwargs)

    async def peek(
        self, function: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `read`, for those who know of the deferred rows and need not wait for their commit."""
        return await asyncio.get_running_loop().run_in_executor(
            self._readers, lambda: self._read(function, *args, **kwargs)
        )

    def peek_here(
        self, function: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `peek`, in the thread that calls, which is not the event loop's."""
        return self._read(function, *args, **kwargs)

    async def aside(
        self, function: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `read`, in a thread of its own that gives way: for what takes so long that others would wait behind it."""
        await self.settle()

        def run() -> T:
            self._long = self._cursor()
            try:
                return self._read(function, *args, **kwargs)
            except duckdb.IOException as error:
                raise _elsewhere(error) from error
            finally:
                self._long = None

        return await asyncio.get_running_loop().run_in_executor(self._aside, run)

    async def insert(self, *rows: Row) -> None:
        """Appends rows of structs, all of them or none; returns when they are committed."""
        await self._put(rows, None)

    def defer(self, *rows: Row) -> None:
        """Appends rows later: with many others, or before the next read.

        Only for rows that follow from something that is committed already, and whose owner derives them anew at the
        start, because a crash forgets them. It is what makes a record of many tables as cheap as one of one table.
        """
        self._deferred.extend(rows)

    async def settle(self) -> None:
        """Writes what was deferred. Where that fails the rows wait on and readers see what there is."""
        self._send_deferred()
        if self._settling is not None:
            await asyncio.wait([self._settling])

    async def write(
        self, function: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Runs a writing function of a cursor in the next commit and returns its result; it sees deferred rows too.

        The function may run twice: a group with a failing member is rolled back and run again one by one.
        """
        self._send_deferred()
        result: T = await self._put((), lambda cursor: function(cursor, *args, **kwargs))
        return result

    def _put(
        self, rows: Sequence[Row], function: Callable[[Cursor], Any] | None
    ) -> asyncio.Future[Any]:
        if self._closing:
            raise DatabaseFailed("the server is stopping")
        if len(self._inbox) >= MAX_WAITING:
            raise DatabaseFailed(
                "too many writes are waiting: try again", headers={"Retry-After": "1"}
            )
        self._loop = asyncio.get_running_loop()
        write = Write(rows, function, self._loop.create_future())
        self._inbox.put(write)
        return write.future

    def _send_deferred(self) -> None:
        """Puts what was deferred before the writes that come from now on."""
        if not (rows := self._deferred):
            return
        try:
            self._settling = self._put(rows, None)
        except DatabaseFailed:
            return
        self._deferred = []
        self._settling.add_done_callback(partial(self._settled, rows))

    def _settled(self, rows: list[Row], commit: asyncio.Future[None]) -> None:
        failure = commit.exception()
        if isinstance(failure, (errors.NoSpace, DatabaseFailed)):
            log.warning("%d rows wait to be written: %s", len(rows), failure)
            self._deferred[:0] = rows
        elif failure is not None:
            log.error(
                "%d rows cannot be written before the next start", len(rows), exc_info=failure
            )

    # The file

    def _connect(self) -> None:
        connection = duckdb.connect(
            str(self.path),
            config={
                # Small statements are cheaper on one thread, and each reader brings its own besides.
                "threads": 1,
                "async_threads": 2,
                "memory_limit": f"{self._memory_bytes} bytes",
                "checkpoint_threshold": "64MB",
                "storage_compatibility_version": "v1.5.0",
                "temp_directory": str(self.path.parent / "tmp"),
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "allow_community_extensions": False,
                "allow_unsigned_extensions": False,
                "allow_persistent_secrets": False,
                "max_temp_directory_size": "4GB",
            },
        )
        folders = "/', '".join(str(folder).replace("'", "''") for folder in self._folders)
        connection.execute(f"SET allowed_directories=['{folders}/']")
        connection.execute("SET enable_external_access=false")
        connection.execute("SET lock_configuration=true")
        self._connection = Cursor(connection)
        self._opened += 1

    def _cursor(self) -> Cursor:
        """This thread's own cursor, made anew after the file was reopened."""
        if self._connection is None or getattr(self._local, "opened", 0) != self._opened:
            with self._reopen:
                if self._connection is None:
                    raise DatabaseFailed("the database is being reopened: try again")
                self._local.cursor = self._connection.another()
                self._local.opened = self._opened
        cursor: Cursor = self._local.cursor
        return cursor

    def _read(
        self, function: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        try:
            return function(self._cursor(), *args, **kwargs)
        except (duckdb.FatalException, duckdb.ConnectionException) as error:
            raise DatabaseFailed("the database is being reopened: try again") from error

    def _reconnect(self) -> None:
        """After a FatalException every cursor is dead: close the file and open it again.

        Where that fails too (a disk that is still full), the next write tries again.
        """
        log.error("the database failed and is reopened: %s", self.path)
        with self._reopen:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            self._connect()
            self._mark.begin()

    # The writer thread

    def _write_loop(self) -> None:
        for group in self._inbox.groups():
            self._commit(group)
            self._loop.call_soon_threadsafe(resolve, group)

    def _commit(self, group: list[Write]) -> None:
        began = time.perf_counter()
        try:
            self._transact(group)
            rows = sum(len(write.rows) for write in group)
            self._committed(time.perf_counter() - began, len(group), rows)
        except Exception as error:
            if len(group) == 1:
                group[0].outcome = _explained(error)
                return
            for write in group:
                self._commit([write])

    def _transact(self, group: list[Write]) -> None:
        """One transaction. COMMIT reports nothing after a failed statement, so any error must get out of here."""
        if self._connection is None:
            self._reconnect()
        cursor = self._cursor()
        try:
            if is_one_statement(group):  # which commits itself, for a fifth less CPU
                apply(cursor, group)
            else:
                cursor.execute("BEGIN")
                apply(cursor, group)
                cursor.execute("COMMIT")
        except (duckdb.FatalException, duckdb.ConnectionException):
            self._reconnect()
            raise
        except BaseException:
            _rollback(cursor)
            raise
        self._note()

    def _note(self) -> None:
        """Advances the mark; what is committed stays so, whatever becomes of the mark."""
        try:
            self._mark.advance()
        except OSError:
            log.exception("the mark beside %s cannot be written", self.path)


def _give_way() -> None:
    """Lets the other threads go first where cores are short; Linux alone gives a thread its own priority."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.nice(10)


def _rollback(cursor: Cursor) -> None:
    try:
        cursor.execute("ROLLBACK")
    except duckdb.Error:
        log.debug("nothing to roll back", exc_info=True)


def _elsewhere(error: duckdb.IOException) -> Exception:
    """What a copy or an export met at the file that it writes, which is not the database's."""
    if "No space left" in str(error):
        return errors.NoSpace("the disk that it is written to is full: free some space there")
    return OSError(str(error).partition("\n")[0])


def _explained(error: Exception) -> Exception:
    """The same failure in words that a client can act on, where there are some."""
    if "No space left" in str(error) or getattr(error, "errno", None) == 28:
        return errors.NoSpace(
            "the disk is full: nothing was recorded; free some space and try again"
        )
    if isinstance(error, (duckdb.FatalException, duckdb.ConnectionException, duckdb.IOException)):
        return DatabaseFailed("the database failed and is reopened: try again")
    return error
