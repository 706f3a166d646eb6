"""The OpenAPI 3.1 document, made from the same table of routes that serves them; there is no second copy.

Schemas come from the msgspec structs; a route's body, query and reply name theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from inspect import cleandoc
from typing import Any

import msgspec

from gfedge import __version__, examples
from gfedge.errors import Problem
from gfedge.events import Envelope, Subscription
from gfedge.wire import JSON, PREFIXES, PROBLEM, Page, Route

Schema = dict[str, Any]

DESCRIPTION = (
    "Prompts to game sprites, upscaling, and where each picture came from. Every path below `/api/v1` also answers "
    "below `/api`.\n\nErrors are `application/problem+json` (RFC 9457) with a stable `code`; `field` is the JSON path or "
    "the parameter that was refused. Unknown fields and parameters are refused too. Listings have `next`: pass it as "
    '`cursor` for the following page, or follow the `Link` header with `rel="next"`. Times are Unix seconds.'
)
AREAS = (
    ("/ai/", "Pictures", "Prompts to pictures, and pictures enlarged."),
    ("/ml-platform/ai-jobs", "Jobs", "What was asked for, how it goes on and how it ended."),
    ("/assets", "Assets", "Pictures by their content."),
    ("/ml-platform/experiments", "Experiments", "Named collections of runs."),
    ("/ml-platform/runs", "Runs", "Params, metrics, tags, artifacts and inputs of one attempt."),
    ("/ml-platform/datasets", "Datasets", "What runs read."),
    (
        "/ml-platform/logged-models",
        "Runs",
        "Params, metrics, tags, artifacts and inputs of one attempt.",
    ),
    ("/ml-platform/models", "Models", "The registry: versions, stages and which one serves."),
    ("/ml-platform/training-jobs", "Training", "Jobs that make models."),
    ("/ml-platform/lineage", "Lineage", "What came from what."),
    ("/trace", "Lineage", "What came from what."),
    ("/ml-platform/ws", "Live", "WebSockets: a snapshot first, then every change."),
    ("/monitoring", "Monitoring", "Health, status, values, PromQL, dashboards and alerts."),
    ("/auth", "Access", "Tokens and sessions."),
    ("/admin", "Administration", "Backups and exports."),
    ("/prometheus", "Prometheus", "PromQL over the history, as Prometheus answers it."),
    ("/api/2.0/mlflow", "MLflow", "What MLflow's clients ask for, in their form."),
    ("", "Server", "What is ready, what is measured, and this document."),
)
"""(beginning of a path, its tag, what that is about); the first that fits."""
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
    "job": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Job-Secret",
        "description": "What a trainer got for its one job.",
    },
}
SOCKET = (
    "Connect with `ws://`. Say at once what you want (`send`), or get everything; send again to change it. Each "
    "subscription is answered with a `snapshot`, or with `resumed` where `since_seq` is still kept and else `gap` and a "
    "`snapshot`; every change follows. A message that cannot be understood is answered with `error`, whose data is a Problem "
    "(`bad_topic`, `too_many_topics`, `invalid`)."
)
CLOSES = {
    1001: "the server stops",
    1009: "a message of yours was larger than 64 KiB",
    1011: "the server failed; its log says why",
    1008: "the token was revoked or has expired",
    4008: "too much waited for you: read faster, want less, or resume with `since_seq`",
}
OF_ALL = {
    400: ("token_in_query", "looks_proxied", "bad_http", "host_needed"),
    421: ("host_not_allowed",),
    422: ("invalid",),
    503: ("too_many_connections",),
}
OF_GUARDED = {
    401: ("token_needed", "bad_token"),
    403: ("scope_too_small", "foreign_origin"),
    429: ("too_many_tries",),
}
OF_BODIES = {
    400: ("malformed_json", "bad_body"),
    408: ("body_timeout",),
    413: ("too_large",),
    415: ("unsupported_media_type",),
    417: ("bad_expectation",),
    422: ("query_not_taken",),
    501: ("transfer_coding",),
}
OF_WRITES = {503: ("unavailable",), 507: ("disk_full",)}
OF_SOCKETS = {
    426: ("upgrade_required",),
    503: ("too_many_listeners", "stopping"),
}
TITLES = {
    200: "OK",
    201: "Made",
    202: "Taken; it goes on",
    206: "A part",
    304: "Not modified",
    400: "Bad request",
    401: "Nobody known",
    403: "Forbidden",
    404: "Not found",
    408: "Too slow",
    409: "Conflict",
    421: "Not this server",
    412: "Precondition failed",
    413: "Too large",
    415: "Unsupported type",
    416: "No such range",
    417: "Not to be expected",
    422: "Invalid",
    426: "Upgrade required",
    429: "Too busy",
    500: "Failed",
    501: "Not known here",
    503: "Unavailable",
    504: "No answer in time",
    507: "No space left",
}
FORM = "application/x-www-form-urlencoded"
"""Its fields may stand in the query as well, and then there is no body."""
_parameter = re.compile(r"\{(\w+)\}")


def document(routes: Iterable[Route]) -> Schema:
    """The whole document as plain values."""
    shown = list(routes)
    types = {t: None for route in shown for t in _types(route) if t is not None}
    kinds = [*types, Problem, Envelope, Subscription]
    schemas, components = msgspec.json.schema_components(
        kinds, ref_template="#/components/schemas/{name}"
    )
    for schema in components.values():
        if about := schema.get("description"):
            schema["description"] = cleandoc(about)  # as Python does itself since 3.13
    schema_of = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, Schema] = {}
    shared: Schema = {}
    for route in shown:
        operation = _operation(route, schema_of, components, shared)
        paths.setdefault(_path(route), {})[route.method.lower()] = operation
    used = {one["tags"][0] for path in paths.values() for one in path.values()}
    tags = {name: about for _, name, about in AREAS if name in used}
    return {
        "openapi": "3.1.0",
        "info": {"title": "gfedge", "version": __version__, "description": DESCRIPTION},
        "tags": [{"name": name, "description": about} for name, about in tags.items()],
        "paths": paths,
        "components": {"schemas": components, "responses": shared, "securitySchemes": SECURITY},
    }


def _path(route: Route) -> str:
    return route.path if route.rooted else PREFIXES[0] + route.path


def _types(route: Route) -> list[Any]:
    named = [
        route.body,
        route.reads,
        route.query,
        route.options,
        route.reply,
        *route.or_reply,
        route.refuses,
    ]
    return named + list((route.messages or {}).values())


def _operation(
    route: Route, schema_of: dict[Any, Schema], components: Schema, shared: Schema
) -> Schema:
    operation: Schema = {
        "operationId": "_".join(
            (route.method.lower(), route.handler.__name__, *["root"] * route.rooted)
        ),
        "tags": [next(tag for start, tag, _ in AREAS if route.path.startswith(start))],
        "summary": route.summary,
        "parameters": [
            *_in_path(route),
            *_in_query(route, schema_of, components),
            *_in_headers(route),
        ],
        "responses": {
            **_successes(route, schema_of, components),
            **_failures(route, schema_of, shared),
        },
        "security": _security(route),
    }
    if route.about:
        operation["description"] = route.about
    if route.messages is not None:
        operation["x-websocket"] = _socket(route.messages, schema_of)
    if content := _content(route, schema_of, components):
        operation["requestBody"] = {"required": FORM not in content, "content": content}
    return operation


def _security(route: Route) -> list[Schema]:
    """The scope that a route needs; `{}` says that a server for this machine alone asks for none."""
    if route.secret:
        return [{"job": []}]
    if route.needs == "open":
        return []
    return [{"token": [route.needs]}, {"session": [route.needs]}, {}]


# What goes in


def _in_path(route: Route) -> list[Schema]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _parameter.findall(route.path)
    ]


def _in_query(route: Route, schema_of: dict[Any, Schema], components: Schema) -> list[Schema]:
    kind = route.query or route.options
    if kind is None:
        return []
    struct = examples.resolved(schema_of[kind], components)
    required = struct.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": schema}
        for name, schema in struct["properties"].items()
    ]


def _in_headers(route: Route) -> list[Schema]:
    return [
        {"name": name, "in": "header", "description": about, "schema": {"type": "string"}}
        for name, about in route.headers.items()
    ]


def _content(route: Route, schema_of: dict[Any, Schema], components: Schema) -> Schema:
    content: Schema = {kind: _bytes(kind, route, schema_of, components) for kind in route.accepts}
    if (kind := route.body or route.reads) is not None:
        example = route.example or examples.of_body(schema_of[kind], components)
        content[JSON] = {"schema": schema_of[kind], "example": example}
    return content


def _bytes(kind: str, route: Route, schema_of: dict[Any, Schema], components: Schema) -> Schema:
    """A body that is no JSON: a form has the file and the options."""
    file = {"type": "string", "format": "binary"}
    if kind != "multipart/form-data":
        return {"schema": file}
    options = examples.resolved(schema_of[route.options], components) if route.options else {}
    properties = {"file": file, **options.get("properties", {})}
    return {"schema": {"type": "object", "properties": properties, "required": ["file"]}}


# What comes out


def _successes(route: Route, schema_of: dict[Any, Schema], components: Schema) -> Schema:
    if route.messages is not None:
        return {"101": {"description": "The WebSocket is open"}}
    content: Schema = {kind: {} for kind in route.produces}
    if route.reply is not None:
        schema = schema_of[route.reply]
        if route.or_reply:
            schema = {"anyOf": [schema_of[kind] for kind in (route.reply, *route.or_reply)]}
        content[JSON] = {"schema": schema, "example": examples.of_reply(schema, components)}
    success: Schema = {"description": route.summary, "content": content}
    if isinstance(route.reply, type) and issubclass(route.reply, Page):
        about = 'The next page, as `<…>; rel="next"`; absent on the last one.'
        success["headers"] = {"Link": {"description": about, "schema": {"type": "string"}}}
    found = {str(route.status): success}
    for status in route.also:
        empty = {"description": TITLES[status]}
        found[str(status)] = empty if status == 304 else {**success, **empty}
    return found


def _failures(route: Route, schema_of: dict[Any, Schema], shared: Schema) -> Schema:
    codes: dict[int, tuple[str, ...]] = {}
    takes_body = bool(route.body or route.reads or route.accepts)
    for some in (
        OF_ALL,
        OF_GUARDED if route.needs != "open" else {403: ("foreign_origin",)},
        OF_BODIES if takes_body else {},
        OF_WRITES if route.method != "GET" else {},
        OF_SOCKETS if route.messages is not None else {},
        route.fails,
    ):
        for status, more in some.items():
            codes[status] = tuple(dict.fromkeys((*codes.get(status, ()), *more)))
    found = {str(status): _failure(status, codes[status], shared) for status in sorted(codes)}
    about = "What went wrong, and what to do"
    shared["Problem"] = _response(about, {"$ref": f"#/components/schemas/{Problem.__name__}"})
    found["default"] = {"$ref": "#/components/responses/Problem"}
    if route.refuses is not None:
        return {
            status: _foreign(one, shared, schema_of[route.refuses]) for status, one in found.items()
        }
    return found


def _foreign(reference: Schema, shared: Schema, schema: Schema) -> Schema:
    """A failure that another protocol may tell in its own shape."""
    response = shared[reference["$ref"].rsplit("/", 1)[1]]
    return {**response, "content": {**response["content"], JSON: {"schema": schema}}}


def _failure(status: int, codes: tuple[str, ...], shared: Schema) -> Schema:
    """A reference to the response, which stands once among those that are shared."""
    schema = {
        "$ref": f"#/components/schemas/{Problem.__name__}",
        "properties": {"code": {"enum": list(codes)}},
    }
    text = ", ".join(f"`{code}`" for code in codes)
    name = "_".join((str(status), *codes))
    shared[name] = _response(f"{TITLES[status]}: {text}", schema)
    return {"$ref": f"#/components/responses/{name}"}


def _response(about: str, schema: Schema) -> Schema:
    return {"description": about, "content": {PROBLEM: {"schema": schema}}}


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
