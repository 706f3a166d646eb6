"""The interface for readers: the OpenAPI document, and a page made of it that needs no script and nothing from elsewhere."""

from __future__ import annotations

import asyncio
import functools
import html
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from gfedge import examples, openapi
from gfedge.wire import JSON, Route

Schema = dict[str, Any]

STYLE = Path(__file__).with_name("docs.css")
MOST_EXACT = 1 << 53
_code = re.compile(r"`([^`]+)`")


def routes() -> list[Route]:
    return [
        Route(
            method="GET",
            path="/openapi.json",
            handler=openapi_document,
            summary="This interface, as OpenAPI 3.1",
            produces=(JSON,),
            rooted=True,
        ),
        Route(
            method="GET",
            path="/docs",
            handler=reference,
            summary="This interface, as a page to read",
            produces=("text/html",),
            rooted=True,
        ),
        Route(
            method="GET",
            path="/docs/style.css",
            handler=style,
            summary="How that page looks",
            produces=("text/css",),
            rooted=True,
        ),
    ]


class Docs:
    """The document and its page, made when they are first asked for."""

    def __init__(self, table: Iterable[Route]) -> None:
        self._table = table

    @functools.cached_property
    def document(self) -> Schema:
        return openapi.document(self._table)

    @functools.cached_property
    def json(self) -> bytes:
        return msgspec.json.encode(self.document)

    @functools.cached_property
    def page(self) -> bytes:
        return Reference(self.document).html().encode()


DOCS = web.AppKey("docs", Docs)


async def openapi_document(request: web.Request) -> web.Response:
    docs = request.app[DOCS]
    body = await asyncio.to_thread(lambda: docs.json)
    return web.Response(body=body, content_type=JSON)


async def reference(request: web.Request) -> web.Response:
    docs = request.app[DOCS]
    body = await asyncio.to_thread(lambda: docs.page)
    return web.Response(body=body, content_type="text/html", charset="utf-8")


async def style(request: web.Request) -> web.Response:
    body = await asyncio.to_thread(STYLE.read_bytes)
    return web.Response(body=body, content_type="text/css", charset="utf-8")


class Reference:
    """The document as HTML. Everything that comes from it is escaped."""

    def __init__(self, document: Schema) -> None:
        self._document = document
        self._schemas: Schema = document["components"]["schemas"]
        self._responses: Schema = document["components"]["responses"]

    def html(self) -> str:
        info = self._document["info"]
        areas = [(tag, self._operations(tag["name"])) for tag in self._document["tags"]]
        return (
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>gfedge: the interface</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<link rel="icon" href="/ui/icon.svg"><link rel="stylesheet" href="/docs/style.css"><nav>{self._index(areas)}</nav><main>'
            f"<h1>gfedge {_text(info['version'])}</h1>{_prose(info['description'])}"
            '<p>For programs: <a href="/openapi.json">/openapi.json</a>.</p>'
            f"{''.join(self._area(*area) for area in areas)}{self._shapes()}</main></html>"
        )

    def _operations(self, area: str) -> list[tuple[str, str, Schema]]:
        return [
            (method.upper(), path, operation)
            for path, methods in self._document["paths"].items()
            for method, operation in methods.items()
            if operation["tags"] == [area]
        ]

    def _index(self, areas: list[tuple[Schema, list[tuple[str, str, Schema]]]]) -> str:
        parts = ['<a class="top" href="#">gfedge</a>']
        for tag, operations in areas:
            parts.append(f'<a class="area" href="#{_text(tag["name"])}">{_text(tag["name"])}</a>')
            parts += [
                f'<a href="#{_text(operation["operationId"])}"><b class="{method}">{_method(method, operation)}</b>'
                f"<span>{_text(_short(path))}</span></a>"
                for method, path, operation in operations
            ]
        return "".join([*parts, '<a class="area" href="#shapes">Shapes</a>'])

    def _area(self, tag: Schema, operations: list[tuple[str, str, Schema]]) -> str:
        found = "".join(self._operation(*operation) for operation in operations)
        name = _text(tag["name"])
        return f'<section><h2 id="{name}">{name}</h2>{_prose(tag["description"])}{found}</section>'

    def _operation(self, method: str, path: str, operation: Schema) -> str:
        parts = [
            _prose(operation.get("description", "")),
            self._scope(operation),
            self._table("Parameters", map(self._parameter, operation["parameters"])),
            self._body(method, path, operation),
            self._socket(operation.get("x-websocket")),
            self._answers(operation["responses"]),
        ]
        return (
            f'<details><summary><b class="{method}">{_method(method, operation)}</b> <code>{_text(path)}</code>'
            f" <span>{_marked(operation['summary'])}</span></summary>"
            f'<div id="{_text(operation["operationId"])}">{"".join(parts)}</div></details>'
        )

    def _scope(self, operation: Schema) -> str:
        ways = [
            f"{name} {' '.join(scopes)}".strip()
            for one in operation["security"]
            for name, scopes in one.items()
        ]
        told = ", or ".join(f"<code>{_text(way)}</code>" for way in ways)
        return f"<p>Where tokens are needed: {told}.</p>" if told else "<p>Open to everybody.</p>"

    def _parameter(self, one: Schema) -> list[str]:
        schema = one["schema"]
        name = f"<code>{_text(one['name'])}</code>{' *' if one.get('required') else ''}"
        about = one.get("description") or described(schema)
        return [name, _text(one["in"]), self._kind(schema), _marked(about)]

    def _body(self, method: str, path: str, operation: Schema) -> str:
        if (body := operation.get("requestBody")) is None:
            return ""
        parts = []
        for kind, content in body["content"].items():
            parts.append(f"<h4>Body: <code>{_text(kind)}</code></h4>")
            schema = examples.resolved(content["schema"], self._schemas)
            if "example" in content:
                shown = json.dumps(content["example"], ensure_ascii=False).replace("'", "'\\''")
                curl = f"curl -X {method} --json '{shown}' http://127.0.0.1:8000{path}"
                parts.append(f"<pre>{_text(curl)}</pre>")
            if "properties" in schema:
                parts.append(self._fields(schema))
        return "".join(parts)

    def _socket(self, socket: Schema | None) -> str:
        if socket is None:
            return ""
        data = [[f"<code>{_text(n)}</code>", self._kind(one)] for n, one in socket["data"].items()]
        closes = [[_text(code), _marked(why)] for code, why in socket["close"].items()]
        return (
            f"{_prose(socket['description'])}<p>Send {self._kind(socket['send'])}, receive "
            f"{self._kind(socket['receive'])}.</p>{self._table('Messages', data)}{self._table('Closed with', closes)}"
        )

    def _answers(self, responses: Schema) -> str:
        rows, shown = [], ""
        for status, response in responses.items():
            found = (
                self._responses[response["$ref"].rsplit("/", 1)[1]]
                if "$ref" in response
                else response
            )
            content = found.get("content", {})
            kinds = [
                k if k != JSON else self._kind(c["schema"])
                for k, c in content.items()
                if c or k != JSON
            ]
            rows.append([_text(status), _marked(found["description"]), ", ".join(kinds)])
            if "example" in content.get(JSON, {}) and not shown:
                text = json.dumps(content[JSON]["example"], indent=2, ensure_ascii=False)
                shown = f"<h4>Answer</h4><pre>{_text(text)}</pre>"
        return self._table("Answers", rows) + shown

    def _shapes(self) -> str:
        parts = [
            f'<h3 id="shape-{_text(name)}">{_text(name)}</h3>{_prose(described(schema))}{self._fields(schema)}'
            for name, schema in sorted(self._schemas.items())
        ]
        return f'<section><h2 id="shapes">Shapes</h2>{"".join(parts)}</section>'

    def _fields(self, schema: Mapping[str, Any]) -> str:
        required = schema.get("required", ())
        rows = [
            [
                f"<code>{_text(name)}</code>{' *' if name in required else ''}",
                self._kind(one),
                _marked(described(one)),
            ]
            for name, one in schema.get("properties", {}).items()
        ]
        return self._table("", rows)

    def _table(self, title: str, rows: Iterable[list[str]]) -> str:
        lines = [f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows]
        heading = f"<h4>{title}</h4>" if title else ""
        return f"{heading}<table>{''.join(lines)}</table>" if lines else ""

    def _kind(self, schema: Schema) -> str:
        """What a value may be, in words; shapes are links."""
        if "$ref" in schema:
            name = _text(schema["$ref"].rsplit("/", 1)[1])
            return f'<a href="#shape-{name}">{name}</a>'
        if "anyOf" in schema:
            return " or ".join(dict.fromkeys(self._kind(one) for one in schema["anyOf"]))
        if "enum" in schema:
            return " | ".join(f"<code>{_text(value)}</code>" for value in schema["enum"])
        kind = str(schema.get("type", "any"))
        if kind == "array":
            return f"list of {self._kind(schema.get('items') or {})}"
        if kind == "object" and isinstance(values := schema.get("additionalProperties"), dict):
            return f"map to {self._kind(values)}"
        return _text(kind) + bounds(schema)


def bounds(schema: Schema) -> str:
    """How small and how large a number may be, or how long a text."""
    low = schema.get("minimum", schema.get("minLength"))
    high = schema.get("maximum", schema.get("maxLength"))
    if high is not None and high > MOST_EXACT:  # no bound that anybody meets
        high = None
    if low is not None and high is not None:
        return f", {low} to {high}"
    if low is not None:
        return f", at least {low}"
    return f", at most {high}" if high is not None else ""


def described(schema: Schema) -> str:
    """A description, also where it stands in one of the choices; with the default."""
    choices = [schema, *schema.get("anyOf", ())]
    about = next((one["description"] for one in choices if "description" in one), "")
    default = schema.get("default")
    told = f" Default `{json.dumps(default)}`." if default not in (None, "", [], {}) else ""
    return f"{about}{told}".strip()


def _short(path: str) -> str:
    return path.removeprefix("/api/v1").removeprefix("/ml-platform")


def _method(method: str, operation: Schema) -> str:
    return "WS" if "x-websocket" in operation else method


def _text(value: object) -> str:
    return html.escape(str(value))


def _marked(text: str) -> str:
    """Escaped, with what stands in backticks as code."""
    return _code.sub(r"<code>\1</code>", _text(text))


def _prose(text: str) -> str:
    return "".join(f"<p>{_marked(part)}</p>" for part in text.split("\n\n") if part)
