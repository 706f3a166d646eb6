"""Rows of structs in DuckDB: in by INSERT or by an appender, out as dictionaries. Functions of a cursor."""

from __future__ import annotations

import functools
import operator
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

import duckdb
import msgspec

MAX_PARSED = 300
"""Statements that a cursor remembers; where filters of clients make more, it begins anew."""


_last_id = 0


def new_id() -> str:
    """A time-ordered id (UUIDv7, RFC 9562), each greater than the one before in this process.

    So newest-first is an order of ids, and zone maps prune by it.
    """
    global _last_id
    milliseconds = time.time_ns() // 1_000_000
    _last_id = max(_last_id + 1, milliseconds << 74 | secrets.randbits(74))
    milliseconds, high, low = _last_id >> 74, _last_id >> 62 & 0xFFF, _last_id & (1 << 62) - 1
    text = f"{milliseconds:012x}7{high:03x}{0b10 << 62 | low:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class Cursor:
    """A connection of one thread. It parses a statement once, and keeps its appenders: a small statement costs a fifth
    to a half less, some appended rows a quarter.
    """

    __slots__ = ("_appenders", "_connection", "_parsed")

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._parsed: dict[str, duckdb.Statement] = {}
        self._appenders: dict[tuple[str, tuple[str, ...]], Any] = {}

    def execute(self, sql: str, args: object = None) -> duckdb.DuckDBPyConnection:
        """Runs a statement, or a script of several; what it finds is fetched from the answer."""
        statement = self._parsed.get(sql)
        if statement is None:
            found = self._connection.extract_statements(sql)
            if len(found) != 1:
                return self._connection.execute(sql, args)
            if len(self._parsed) == MAX_PARSED:
                self._parsed.clear()
            statement = self._parsed[sql] = found[0]
        return self._connection.execute(statement, args)

    def append(self, table: str, columns: tuple[str, ...], values: Sequence[Sequence[Any]]) -> None:
        """Appends rows, within the transaction if there is one, else in one of their own."""
        appender = self._appenders.pop((table, columns), None)
        if appender is None:
            appender = self._connection.appender(table, columns=list(columns))
        try:
            appender.append_rows(values)
            appender.flush()
        except BaseException:
            appender.clear()
            raise
        self._appenders[table, columns] = appender

    def another(self) -> Cursor:
        """One for another thread."""
        return Cursor(self._connection.cursor())

    def interrupt(self) -> None:
        """Ends the statement that another thread runs on it."""
        self._connection.interrupt()

    def close(self) -> None:
        self._connection.close()


class Row(Protocol):
    """A msgspec struct whose fields are the columns of `table`, in any order."""

    table: ClassVar[str]
    __struct_fields__: ClassVar[tuple[str, ...]]


def append(cursor: Cursor, waiting: dict[type, list[Row]]) -> None:
    """Writes rows by type and empties `waiting`."""
    for kind, rows in waiting.items():
        values = list(map(_values_of(kind), rows))
        if len(values) == 1:
            cursor.execute(_insert_of(kind), values[0])
        elif values:
            cursor.append(kind.table, kind.__struct_fields__, values)  # type: ignore[attr-defined]
    waiting.clear()


@functools.cache
def _values_of(kind: type) -> Callable[[Row], Sequence[Any]]:
    """What reads a row's columns in order; structured ones become JSON text, where a type has any."""
    fields = msgspec.structs.fields(kind)
    read = operator.attrgetter(*(field.name for field in fields))
    if len(fields) > 1 and all(_is_scalar(field.type) for field in fields):
        return read
    named = [(field.name, field.type) for field in fields]
    return lambda row: [_value(getattr(row, name), hint) for name, hint in named]


def _is_scalar(hint: Any) -> bool:
    return hint in (str, int, float, bool, str | None, int | None, float | None)


@functools.cache
def _insert_of(kind: type) -> str:
    """The INSERT of a row's type; its names come from our own structs."""
    columns: tuple[str, ...] = kind.__struct_fields__  # type: ignore[attr-defined]
    names, places = ", ".join(f'"{name}"' for name in columns), ", ".join("?" * len(columns))
    return f"insert into {kind.table} ({names}) values ({places})"  # type: ignore[attr-defined]  # noqa: S608


def _value(value: Any, hint: Any) -> Any:
    """A column's value: scalars as they are; everything structured, and what may be anything, as JSON text."""
    if value is None or (hint is not Any and isinstance(value, (str, int, float, bool, bytes))):
        return value
    return msgspec.json.encode(value).decode()


def rows(cursor: Cursor, sql: str, args: Sequence[object] = ()) -> list[dict[str, Any]]:
    """All rows of a query as dictionaries; `sql` is constant text, `args` are bound."""
    result = cursor.execute(sql, list(args))
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
