"""Rows of structs in DuckDB: in by INSERT or by an appender, out as dictionaries. Functions of a cursor."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

import duckdb
import msgspec

FEW_ROWS = 8
"""Rows of one table that go in by one INSERT rather than by an appender (measured: it breaks even between 8 and 16)."""
MAX_PARSED = 300
"""Statements that a cursor remembers; where filters of clients make more, it begins anew."""


class Cursor:
    """A connection of one thread, which parses a statement once: that is a fifth to a half of what a small one costs."""

    __slots__ = ("_connection", "_parsed")

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._parsed: dict[str, duckdb.Statement] = {}

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

    def appender(self, table: str, columns: Sequence[str]) -> Any:
        """Takes many rows of a table, within the transaction if there is one."""
        return self._connection.appender(table, columns=list(columns))

    def another(self) -> Cursor:
        """One for another thread."""
        return Cursor(self._connection.cursor())

    def close(self) -> None:
        self._connection.close()


class Row(Protocol):
    """A msgspec struct whose fields are the columns of `table`, in any order."""

    table: ClassVar[str]
    __struct_fields__: ClassVar[tuple[str, ...]]


def append(cursor: Cursor, waiting: dict[type, list[Row]]) -> None:
    """Writes rows by type and empties `waiting`: a few by INSERT, more by an appender, which is dearer to begin."""
    for kind, rows in waiting.items():
        values = list(map(_values_of(kind), rows))
        if not values:
            continue
        if len(values) <= FEW_ROWS:
            cursor.execute(_insert_of(kind, len(values)), list(itertools.chain(*values)))
            continue
        columns: tuple[str, ...] = kind.__struct_fields__  # type: ignore[attr-defined]
        with cursor.appender(kind.table, columns) as appender:  # type: ignore[attr-defined]
            appender.append_rows(values)
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
def _insert_of(kind: type, count: int) -> str:
    """The INSERT of some rows of a type; its names come from our own structs."""
    columns: tuple[str, ...] = kind.__struct_fields__  # type: ignore[attr-defined]
    names, places = ", ".join(f'"{name}"' for name in columns), ", ".join("?" * len(columns))
    values = ", ".join([f"({places})"] * count)
    return f"insert into {kind.table} ({names}) values {values}"  # type: ignore[attr-defined]  # noqa: S608


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
