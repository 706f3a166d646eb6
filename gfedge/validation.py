"""Why a value does not fit its struct, in words for people.

msgspec's own texts speak of Python's types and print regular expressions; these say what is accepted, from the struct's
constraints and descriptions.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

_at = re.compile(r" - at `(?:key in )?\$(.*?)`$")
_named = re.compile(r"Object (missing required|contains unknown) field `(.*)`")
_got = re.compile(r", got `(\w+)`$")
_segment = re.compile(r"(?:^|\.)(\w+)|\[")
WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
    "array": "a list",
    "object": "an object",
}


class Misfit(NamedTuple):
    """Where a value does not fit, as a path (`palette[0]`), and what is wrong with it."""

    path: str
    text: str


class _Choice(NamedTuple):
    """One of the types that a value may have, and what its field says of it."""

    kind: inspect.Type
    description: str


def explain(error: msgspec.ValidationError, kind: Any) -> Misfit:
    """What msgspec refused when it made a `kind`."""
    text = str(error)
    path = found.group(1).lstrip(".") if (found := _at.search(text)) else ""
    text = _at.sub("", text)
    choices = _find(kind, path)
    if named := _named.fullmatch(text):
        problem, name = named.groups()
        missing = problem == "missing required"
        inner = f"{path}.{name}" if path else name
        return Misfit(inner, "is missing" if missing else _unknown(name, choices))
    nouns = list(dict.fromkeys(noun for choice in choices if (noun := _noun(*choice))))
    if not nouns:
        return Misfit(path, text)
    got = _got.search(text)
    unlike = f", not {WORDS.get(got[1], got[1])}" if got else ""
    return Misfit(path, f"expected {' or '.join(nouns)}{unlike}")


def _find(kind: Any, path: str) -> list[_Choice]:
    """What may stand at a path."""
    choices = list(_choices(inspect.type_info(kind)))
    for found in _segment.finditer(path):
        choices = [inner for choice in choices for inner in _inside(choice.kind, found[1])]
    return choices


def _choices(kind: inspect.Type, description: str = "") -> Iterator[_Choice]:
    match kind:
        case inspect.Metadata(type=inner, extra_json_schema=extra):
            yield from _choices(inner, (extra or {}).get("description", description))
        case inspect.UnionType(types=types):
            for one in types:
                yield from _choices(one, description)
        case _:
            yield _Choice(kind, description)


def _inside(kind: inspect.Type, name: str | None) -> Iterator[_Choice]:
    match kind:
        case inspect.StructType(fields=fields):
            for field in fields:
                if field.encode_name == name:
                    yield from _choices(field.type)
        case inspect.ListType(item_type=inner) | inspect.DictType(value_type=inner):
            yield from _choices(inner)


def _unknown(name: str, choices: list[_Choice]) -> str:
    structs = [choice.kind for choice in choices if isinstance(choice.kind, inspect.StructType)]
    known = [field.encode_name for struct in structs for field in struct.fields]
    near = difflib.get_close_matches(name, known, 1)
    return "is not known; " + (
        f"did you mean {near[0]}?" if near else f"there are: {', '.join(known) or 'none'}"
    )


def _noun(kind: inspect.Type, description: str) -> str:
    """What is accepted; empty where that is not for words (null, when there is something else)."""
    match kind:
        case inspect.StrType(pattern=str()) if description:
            bounds = _bounds(kind.min_length, kind.max_length, "characters")
            noun = description[0].lower() + description[1:].rstrip(".")
            return f"{noun},{bounds}" if bounds else noun
        case inspect.StrType():
            return "text" + _bounds(kind.min_length, kind.max_length, "characters")
        case inspect.IntType():
            return "a whole number" + _bounds(kind.ge, kind.le)
        case inspect.FloatType():
            return "a number" + (_bounds(kind.ge, kind.le) if kind.gt is None else _above(kind))
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType(values=values):
            return f"one of {', '.join(map(str, values))}"
        case inspect.ListType():
            return "a list" + _bounds(kind.min_length, kind.max_length, "entries")
        case inspect.StructType() | inspect.DictType():
            return "an object"
    return ""


def _bounds(least: float | None, most: float | None, unit: str = "") -> str:
    """` from 1 to 16`, ` of at most 200 characters`, or nothing."""
    if unit and (least, most) == (1, None):
        return " that is not empty"
    unit = f" {unit}" if unit else ""
    if least is not None and most is not None:
        return f" {'of' if unit else 'from'} {_number(least)} to {_number(most)}{unit}"
    if least is not None:
        return f" of at least {_number(least)}{unit}"
    return f" of at most {_number(most)}{unit}" if most is not None else ""


def _above(kind: inspect.FloatType) -> str:
    most = "" if kind.le is None else f" and at most {_number(kind.le)}"
    return f" above {_number(kind.gt or 0)}{most}"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.15g}"
