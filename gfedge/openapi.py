"""The OpenAPI 3.1 document, made from the same table of routes that serves them; there is no second copy.

Schemas come from the msgspec structs; a route's body, query and reply name theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from gfedge import __version__
from gfedge.errors import Problem
from gfedge.events import Envelope, Subscription
from gfedge.wire import JSON, PREFIXES, PROBLEM, Route

Schema = dict[str, Any]

DESCRIPTION = (
    "Prompts to game sprites, upscaling, and where each picture came from. Every path below `/api/v1` also answers "
    "below `/api`. Errors are `application/problem+json` with a stable `code`."
)
SECURITY: Schema = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "gfe_<id>_<secret>",
        "description": "Needed where the server listens on more than this machine (`gfedge token create`).",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "gfedge_session",
        "description": "What a browser has after logging in with a token.",
    },
}
SOCKET = (
    "Connect with `ws://`. Say at once what you want (`send`), or get everything; send again to change it. Each "
    "subscription is answered with a `snapshot`, or with `resumed` where `since_seq` is still kept and else `gap` and a "
    "`snapshot`; every change follows. A message that cannot be understood is answered with `error`, whose data is a Problem."
)
CLOSES = {
    1001: "the server stops",
    1009: "a message of yours was larger than 64 KiB",
    1011: "the server failed; its log says why",
    4008: "too much waited for you: read faster, want less, or resume with `since_seq`",
}
_parameter = re.compile(r"\{(\w+)\}")


def document(routes: Iterable[Route]) -> Schema:
    """The whole document as plain values."""
    shown = list(routes)
    types = {t: None for route in shown for t in _types(route) if t is not None}
    kinds = [*types, Problem, Envelope, Subscription]
    schemas, components = msgspec.json.schema_components(
        kinds, ref_template="#/components/schemas/{name}"
    )
    schema_of = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, Schema] = {}
    for route in shown:
        path = route.path if route.rooted else PREFIXES[0] + route.path
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, schema_of, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "gfedge", "version": __version__, "description": DESCRIPTION},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": SECURITY},
    }


def _types(route: Route) -> list[Any]:
    return [route.body, route.query, route.reply, *(route.messages or {}).values()]


def _operation(route: Route, schema_of: dict[Any, Schema], components: dict[str, Any]) -> Schema:
    operation: Schema = {
        "operationId": "_".join(
            (route.method.lower(), route.handler.__name__, *["root"] * route.rooted)
        ),
        "summary": route.summary,
        "parameters": [*_in_path(route), *_in_query(route, schema_of, components)],
        "responses": _responses(route, schema_of),
        "security": _security(route),
    }
    if route.messages is not None:
        operation["x-websocket"] = _socket(route.messages, schema_of)
    content: Schema = {kind: {} for kind in route.accepts}
    if route.body is not None:
        content[JSON] = {"schema": schema_of[route.body]}
    if content:
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _security(route: Route) -> list[Schema]:
    """The scope that a route needs; `{}` says that a server for this machine alone asks for none."""
    if route.needs == "open":
        return []
    return [{"token": [route.needs]}, {"session": [route.needs]}, {}]


def _in_path(route: Route) -> list[Schema]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _parameter.findall(route.path)
    ]


def _in_query(
    route: Route, schema_of: dict[Any, Schema], components: dict[str, Any]
) -> list[Schema]:
    if route.query is None:
        return []
    struct = components[schema_of[route.query]["$ref"].rsplit("/", 1)[1]]
    required = struct.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": schema}
        for name, schema in struct["properties"].items()
    ]


def _socket(messages: dict[str, Any], schema_of: dict[Any, Schema]) -> Schema:
    """What OpenAPI has no words for: the messages of a WebSocket, both ways, and how it closes."""
    return {
        "description": SOCKET,
        "send": schema_of[Subscription],
        "receive": schema_of[Envelope],
        "data": {
            name: schema_of[kind] if kind is not None else {} for name, kind in messages.items()
        },
        "close": {str(code): text for code, text in CLOSES.items()},
    }


def _responses(route: Route, schema_of: dict[Any, Schema]) -> Schema:
    content: Schema = {kind: {} for kind in route.produces}
    if route.reply is not None:
        content[JSON] = {"schema": schema_of[route.reply]}
    return {
        str(route.status): {"description": route.summary, "content": content},
        "default": {
            "description": "What went wrong, and what to do",
            "content": {PROBLEM: {"schema": schema_of[Problem]}},
        },
    }
