"""Rows of structs in DuckDB: in by INSERT or by an appender, out as dictionaries. Functions of a cursor."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

import duckdb
import msgspec

Cursor = duckdb.DuckDBPyConnection

FEW_ROWS = 2
"""Rows of one table that are inserted one by one rather than by an appender (measured: it breaks even at about 3)."""


class Row(Protocol):
    """A msgspec struct whose fields are the columns of `table`, in any order."""

    table: ClassVar[str]
    __struct_fields__: ClassVar[tuple[str, ...]]


def append(cursor: Cursor, waiting: dict[type, list[Row]]) -> None:
    """Writes rows by type and empties `waiting`: a few by INSERT, more by an appender, which is dearer to begin."""
    for kind, rows in waiting.items():
        values = list(map(_values_of(kind), rows))
        if len(values) <= FEW_ROWS:
            for one in values:
                cursor.execute(_insert_of(kind), one)
            continue
        columns: tuple[str, ...] = kind.__struct_fields__  # type: ignore[attr-defined]
        with cursor.appender(kind.table, columns=list(columns)) as appender:  # type: ignore[attr-defined]
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
