"""The interface as pages to read, one for each area of the OpenAPI document, with the shapes that it is the first to name.

Shapes have the names that they have in the types of gfedge.js.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from client_types import titled
from gfedge import openapi
from gfedge.docs import bounds, described
from gfedge.wire import JSON, PREFIXES

Schema = dict[str, Any]

MADE = "<!-- Written by `make reference`. -->\n"
INDEX = """\
# The interface

{about}

A running server tells the same at `/docs`, and to programs at `/openapi.json`. *Scope* is what a token must have where tokens are needed
([security](../../security.md)); a star marks what must be given.

## Errors of every route

{errors}
"""
SHARED = (
    ("any", openapi.OF_ALL),
    ("what needs a token", openapi.OF_GUARDED),
    ("those with a body", openapi.OF_BODIES),
    ("all but GET", openapi.OF_WRITES),
    ("WebSockets", openapi.OF_SOCKETS),
)
HERE = "/api/v1"
PROBLEM = "Problem"


class Interface:
    """The document, and on which page each shape stands."""

    def __init__(self, document: Schema) -> None:
        self._document = document
        self._schemas: Schema = document["components"]["schemas"]
        self._responses: Schema = document["components"]["responses"]
        self._areas = {tag["name"]: self._operations(tag["name"]) for tag in document["tags"]}
        self._home: dict[str, str] = {}
        for area, operations in self._areas.items():
            for name in self._named([one for _, _, one in operations]):
                self._home.setdefault(name, area)

    def pages(self) -> Iterator[tuple[str, str]]:
        """(name of the file, its text)."""
        yield "README.md", MADE + self._index()
        for tag in self._document["tags"]:
            yield _file(tag["name"]), MADE + self._page(tag)

    def _operations(self, area: str) -> list[tuple[str, str, Schema]]:
        return [
            ("WS" if "x-websocket" in one else method.upper(), path, one)
            for path, methods in self._document["paths"].items()
            for method, one in methods.items()
            if one["tags"] == [area]
        ]

    def _named(self, what: object) -> list[str]:
        """The shapes that something refers to, and those that these do, in the order in which they are met."""
        found: dict[str, None] = {}
        waiting = [what]
        while waiting:
            for name in _references(waiting.pop(0)):
                if name not in found and name != PROBLEM:
                    found[name] = None
                    waiting.append(self._schemas[name])
        return list(found)

    # Pages

    def _index(self) -> str:
        rows = [
            f"| {kind} | {status} | {', '.join(f'`{code}`' for code in codes)} |"
            for kind, status, codes in _shared()
        ]
        errors = "\n".join(["| routes | status | `code` |", "| --- | --- | --- |", *rows])
        about = self._document["info"]["description"]
        parts = [INDEX.format(about=about, errors=errors)]
        for tag in self._document["tags"]:
            name = tag["name"]
            parts.append(
                f"## [{name}]({_file(name)})\n\n{tag['description']}\n\n| | |\n| --- | --- |"
            )
            parts += [
                f"| [`{method} {_short(path)}`]({_file(name)}#{_anchor(method, path)}) | {_cell(one['summary'])} |"
                for method, path, one in self._areas[name]
            ]
            parts.append("")
        return "\n".join(parts)

    def _page(self, tag: Schema) -> str:
        area = tag["name"]
        parts = [f"# {area}\n\n{tag['description']} [All areas](README.md).\n"]
        if any(path.startswith(HERE) for _, path, _ in self._areas[area]):
            parts[0] += f"Paths stand below `{HERE}`.\n"
        parts += [self._operation(area, *one) for one in self._areas[area]]
        if shapes := sorted((one for one in self._home if self._home[one] == area), key=titled):
            parts += ["## Shapes\n", *(self._shape(area, name) for name in shapes)]
        return "\n".join(parts)

    def _operation(self, area: str, method: str, path: str, operation: Schema) -> str:
        parts = [
            f"## {method} {_short(path)}\n",
            f"{_full(operation['summary'])} {_scope(operation)}\n",
            f"{text}\n" if (text := operation.get("description", "")) else "",
            self._parameters(area, operation["parameters"]),
            self._body(area, operation),
            self._answers(area, operation),
            self._socket(area, operation.get("x-websocket")),
            _errors(operation, self._responses),
        ]
        return "\n".join(part for part in parts if part)

    def _parameters(self, area: str, parameters: list[Schema]) -> str:
        rows = [
            (
                f"`{one['name']}`{'*' if one.get('required') else ''}",
                "" if one["in"] == "query" else one["in"],
                self._kind(area, one["schema"]),
                one.get("description") or described(one["schema"]),
            )
            for one in parameters
            if one["in"] != "path"
        ]
        return _table(("parameter", "in", "value", ""), rows)

    def _body(self, area: str, operation: Schema) -> str:
        if (body := operation.get("requestBody")) is None:
            return ""
        kinds = [f"`{kind}`" for kind in body["content"] if kind != JSON]
        parts = [f"Body: {', '.join(kinds)}.\n"] if kinds else []
        if JSON in body["content"]:
            schema = body["content"][JSON]["schema"]
            parts.append(f"{'Or' if kinds else 'Body:'} JSON, {self._kind(area, schema)}.\n")
        return "\n".join(parts)

    def _answers(self, area: str, operation: Schema) -> str:
        """What comes back, each answer once."""
        told: dict[str, list[str]] = {}
        for status, response in operation["responses"].items():
            if status.isdigit() and int(status) < 400:
                content = response.get("content", {})
                kinds = [
                    self._kind(area, one["schema"]) if "schema" in one else f"`{kind}`"
                    for kind, one in content.items()
                    if one or kind != JSON
                ]
                told.setdefault(", or ".join(kinds), []).append(status)
        answers = [f"{' or '.join(statuses)} {kinds}".strip() for kinds, statuses in told.items()]
        return f"Answers: {'; '.join(answers)}.\n"

    def _socket(self, area: str, socket: Schema | None) -> str:
        if socket is None:
            return ""
        data = [(f"`{name}`", self._kind(area, one)) for name, one in socket["data"].items()]
        closes = list(socket["close"].items())
        send = self._kind(area, socket["send"])
        receive = self._kind(area, socket["receive"])
        about = f"{socket['description']} Send {send}, receive {receive}.\n"
        tables = _table(("message", "data"), data), _table(("closed with", "because"), closes)
        return "\n".join([about, *tables])

    def _shape(self, area: str, name: str) -> str:
        schema = self._schemas[name]
        required = schema.get("required", ())
        rows = [
            (
                f"`{field}`{'*' if field in required else ''}",
                self._kind(area, one),
                described(one),
            )
            for field, one in schema.get("properties", {}).items()
        ]
        about = described(schema)
        return "\n".join(
            part
            for part in (
                f"### {titled(name)}\n",
                f"{about}\n" if about else "",
                _table(("field", "value", ""), rows) or f"{self._kind(area, schema)}\n",
            )
            if part
        )

    def _kind(self, area: str, schema: Schema) -> str:
        """What a value may be, in words; shapes are links."""
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[1]
            page = "" if self._home.get(name) == area else _file(self._home.get(name, area))
            title = titled(name)
            return title if name == PROBLEM else f"[{title}]({page}#{title.lower()})"
        if "anyOf" in schema:
            return " or ".join(dict.fromkeys(self._kind(area, one) for one in schema["anyOf"]))
        if "enum" in schema:
            return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
        kind = str(schema.get("type", "anything"))
        if kind == "array":
            return f"list of {self._kind(area, schema.get('items') or {})}"
        if kind == "object" and isinstance(values := schema.get("additionalProperties"), dict):
            return f"map to {self._kind(area, values)}"
        return {"null": "nothing"}.get(kind, kind) + bounds(schema)


def _references(value: object) -> Iterator[str]:
    """The names of the shapes in a part of the document."""
    if isinstance(value, Mapping):
        if isinstance(found := value.get("$ref"), str) and "/schemas/" in found:
            yield found.rsplit("/", 1)[1]
        for key, one in value.items():
            if key not in ("example", "examples"):
                yield from _references(one)
    elif isinstance(value, list):
        for one in value:
            yield from _references(one)


def _shared() -> Iterator[tuple[str, int, tuple[str, ...]]]:
    for kind, codes in SHARED:
        for status, some in codes.items():
            yield kind, status, some


def _errors(operation: Schema, responses: Schema) -> str:
    """The codes of a route beyond those of every route."""
    everywhere = {(status, code) for _, status, codes in _shared() for code in codes}
    told = []
    for status, response in operation["responses"].items():
        if not status.isdigit() or int(status) < 400:
            continue
        where = response["$ref"].rsplit("/", 1)[1] if "$ref" in response else ""
        description = (responses[where] if where else response)["description"]
        codes = re.findall(r"`(\w+)`", description)
        own = [f"`{code}`" for code in codes if (int(status), code) not in everywhere]
        if own:
            told.append(f"{status} {', '.join(own)}")
    return f"Errors: {'; '.join(told)}.\n" if told else ""


def _scope(operation: Schema) -> str:
    """What it asks of who asks."""
    scopes = {name: one for security in operation["security"] for name, one in security.items()}
    if "job" in scopes:
        return "The job's own secret."
    return f"Scope `{scopes['token'][0]}`." if "token" in scopes else "Open to everybody."


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table, less the columns in which no row has anything."""
    if not rows:
        return ""
    kept = [number for number in range(len(heads)) if any(row[number] for row in rows)]
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "".join(f"| {' | '.join(_cell(row[number]) for number in kept)} |\n" for row in lines)


def _cell(text: str) -> str:
    """Text in a table, with the signs that would be taken for marks."""
    plain = " ".join(text.split()).replace("|", "\\|")
    parts = re.split(r"(`[^`]*`)", plain)
    return "".join(
        part if part.startswith("`") else part.replace("<", "&lt;").replace(">", "&gt;")
        for part in parts
    )


def _full(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _short(path: str) -> str:
    return path.removeprefix(PREFIXES[0])


def _file(area: str) -> str:
    return f"{area.lower().replace(' ', '-')}.md"


def _anchor(method: str, path: str) -> str:
    """How a heading is linked to: small letters, and nothing but letters, digits, - and _."""
    return re.sub(r"[^\w-]", "", f"{method} {_short(path)}".lower().replace(" ", "-"))
