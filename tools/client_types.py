"""Writes the types of gfedge.js that follow from the OpenAPI document: its schemas, routes and streams.

    python tools/client_types.py      # after a route or a struct has changed; a test says when

What stands above the line in gfedge.d.ts is kept as it is.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

Schema = dict[str, Any]

FILE = Path(__file__).parents[1] / "gfedge/dashboard/web/gfedge.d.ts"
LINE = "// ---- made by tools/client_types.py ----\n"
PREFIX = "/api/v1"
SIMPLE = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}
_plain = re.compile(r"[A-Za-z_]\w*")


def main() -> None:
    from gfedge import app, openapi

    FILE.write_text(made(FILE.read_text("utf-8"), openapi.document(app.routes())), "utf-8")
    print(f"{FILE.stat().st_size:,} bytes")


def made(text: str, document: Schema) -> str:
    """The file, with what follows from a document below its line."""
    schemas = document["components"]["schemas"]
    parts = [interface(titled(name), schemas[name]) for name in sorted(schemas)]
    return text.partition(LINE)[0] + LINE + "\n".join(["", *parts, routes(document), ""])


def interface(name: str, schema: Schema) -> str:
    if "properties" not in schema:
        return f"{comment(schema)}export type {name} = {type_of(schema)};"
    return f"{comment(schema)}export interface {name} {fields(schema)}"


def fields(schema: Schema, indent: str = "") -> str:
    required = schema.get("required", ())
    lines = [
        f"{comment(one, indent + '  ')}{indent}  {quoted(name)}{'' if name in required else '?'}: {type_of(one)};\n"
        for name, one in schema["properties"].items()
    ]
    return "{\n" + "".join(lines) + indent + "}"


def type_of(schema: Schema) -> str:
    """A JSON schema as a type."""
    if "$ref" in schema:
        return titled(schema["$ref"].rsplit("/", 1)[1])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"])
    if choice := schema.get("anyOf") or schema.get("oneOf"):
        return " | ".join(dict.fromkeys(type_of(one) for one in choice))
    kind = schema.get("type")
    if kind == "array":
        return _array(schema)
    if kind == "object":
        return _object(schema)
    return SIMPLE.get(kind or "", "any")


def _array(schema: Schema) -> str:
    if "prefixItems" in schema:
        return f"[{', '.join(type_of(one) for one in schema['prefixItems'])}]"
    return f"Array<{type_of(schema['items']) if schema.get('items') else 'any'}>"


def _object(schema: Schema) -> str:
    if "properties" in schema:
        return fields(schema, "  ")
    inner = schema.get("additionalProperties")
    return f"Record<string, {type_of(inner) if isinstance(inner, dict) else 'any'}>"


def routes(document: Schema) -> str:
    """Two maps: routes by method and path, streams by name."""
    shown, streams = [], []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if socket := operation.get("x-websocket"):
                streams.append((path.rsplit("/", 1)[1], socket["data"]))
            elif path != f"{PREFIX}/health":  # /health is the same
                shown.append(route(method.upper(), path.removeprefix(PREFIX), operation))
    told = [f"  {json.dumps(name)}: {{\n{messages(some)}  }};\n" for name, some in streams]
    return (
        f"export interface Routes {{\n{''.join(shown)}}}\n\n"
        f"export interface Streams {{\n{''.join(told)}}}"
    )


def messages(some: Schema) -> str:
    return "".join(f"    {json.dumps(name)}: {type_of(one)};\n" for name, one in some.items())


def route(method: str, path: str, operation: Schema) -> str:
    every = [one for one in operation["parameters"] if one["in"] in ("query", "path")]
    asked = {one["name"]: one for one in sorted(every, key=lambda one: one["in"], reverse=True)}
    params = ", ".join(
        f"{quoted(one['name'])}{'' if one.get('required') else '?'}: {type_of(one['schema'])}"
        for one in asked.values()
    )
    said = {code: one for code, one in operation["responses"].items() if code.startswith("2")}
    return (
        f"  /** {operation['summary']}. */\n"
        f"  {json.dumps(f'{method} {path}')}: {{ params: {{ {params} }}; "
        f"body: {_json(operation.get('requestBody', {}), 'undefined')}; reply: {_json(next(iter(said.values()), {}), 'null')} }};\n"
    )


def _json(holder: Schema, nothing: str) -> str:
    found = holder.get("content", {}).get("application/json", {})
    return type_of(found["schema"]) if "schema" in found else nothing


def titled(name: str) -> str:
    """The name of a schema; two of one name have their module's before it: gfedge.ai.types.Progress is AiProgress."""
    if name == "Problem":  # the module has a class of that name
        return "ProblemDetails"
    words = re.split(r"[._]", name.removeprefix("gfedge."))
    return "".join(word[0].upper() + word[1:] for word in words if word != "types")


def comment(schema: Schema, indent: str = "") -> str:
    text = " ".join(str(schema.get("description", "")).split()).replace("*/", "* /")
    return f"{indent}/** {text} */\n" if text else ""


def quoted(name: str) -> str:
    return name if _plain.fullmatch(name) else json.dumps(name)


if __name__ == "__main__":
    main()
