"""The data folder and its database, opened in a thread while the process imports the rest of the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Thread
from typing import ParamSpec, TypeVar

from gfedge import metrics, migrate
from gfedge.db import Database
from gfedge.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")


class StartError(Exception):
    """Why the server cannot start; the text says what to do."""


def open_database(settings: Settings) -> Database:
    """Makes the data folder, opens the database in it and migrates it; blocks.

    Raises StartError, DatabaseRefused or SchemaRefused with a text for an operator.
    """
    try:
        (settings.data / "assets").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(
            f"cannot make the data folder {settings.data}: {error.strerror}; give it to the user that serves, or take another with --data"
        ) from None
    db = Database(
        settings.data / "gfedge.duckdb",
        metrics.committed,
        settings.database_memory,
        [settings.exports],
    )
    db.open(migrate.migrate, accept_loss=settings.accept_loss)
    return db


def begin(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    """Runs a function in a thread of its own, which needs no event loop yet."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, name="opening", daemon=True).start()
    return future


@contextmanager
def opened_meanwhile(settings: Settings) -> Iterator[Future[Database]]:
    """A database that opens while the body begins; closed at the end of the body, if that did not close it."""
    opening = begin(open_database, settings)
    try:
        yield opening
    finally:
        if opening.exception() is None:
            opening.result().close()
