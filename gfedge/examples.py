"""Examples for the OpenAPI document, made from its schemas: what a field declares, or what its name and type suggest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

DEEPEST = 8
ID = "019aaf3c-7d1e-7c4b-9a55-2f8d1c6e0b42"
SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
TEXTS = {
    "id": ID,
    "sha256": SHA256,
    "digest": SHA256,
    "cursor": ID,
    "url": f"/api/v1/assets/{SHA256}",
    "name": "sprite",
    "model": "sprite@1",
    "version": "1",
    "key": "loss",
    "prompt": "a red dragon",
    "status": "succeeded",
    "colour": "#ff8800",
    "media_type": "image/png",
    "path": "checkpoints/last.onnx",
    "reason": "better eyes on dragons",
    "stage": "sampling",
    "word": "zorp",
    "detail": "what went wrong, and what to do",
    "code": "bad_image",
    "input": SHA256,
    "kind": "generate",
    "serving": "sprite@1",
    "metric": "loss",
    "value": "0.001",
    "commit": "4f2a9c1",
    "entry_point": "train.py",
    "repository": "https://git.example/sprites",
    "relation": "output",
    "licence": "CC0-1.0",
    "filter": "metrics.loss < 0.1 and params.lr = '0.001' order by metrics.loss",
}
"""By the name of a field, or its last word."""
ABSENT = frozenset(("error", "replay_of", "parent_id", "deleted_at", "queue_position", "next"))
"""What may be null mostly is."""
KEYS = {"params": "lr", "metrics": "loss", "tags": "artist"}
NUMBERS = {"at": 1796372698.25, "seconds": 1.5, "bytes": 4096, "width": 128, "height": 128}


def of_reply(schema: Schema, components: Schema) -> Any:
    """An example with every field."""
    return _example(schema, components, "", DEEPEST, whole=True)


def of_body(schema: Schema, components: Schema) -> Any:
    """An example with the fields that are required or have one of their own, or with all where none is required."""
    return _example(schema, components, "", DEEPEST, whole=False)


def resolved(schema: Schema, components: Schema) -> Schema:
    """The schema that a reference means."""
    if "$ref" in schema:
        return components[schema["$ref"].rsplit("/", 1)[1]]  # type: ignore[no-any-return]
    return schema


def _example(schema: Schema, components: Schema, name: str, depth: int, *, whole: bool) -> Any:
    schema = resolved(schema, components)
    if "examples" in schema:
        return schema["examples"][0]
    for key in ("anyOf", "oneOf"):
        if key in schema:
            likely = {"type": "null"} if name in ABSENT else _likely(schema[key])
            return _example(likely, components, name, depth, whole=whole)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return TEXTS.get(name) if TEXTS.get(name) in schema["enum"] else schema["enum"][0]
    match schema.get("type"):
        case "object":
            return _object(schema, components, name, depth, whole=whole)
        case "array":
            return _array(schema, components, name, depth, whole=whole)
        case "string":
            return _text(schema, name)
        case "integer" | "number":
            return _number(schema, name)
        case "boolean":
            return schema.get("default", False)
    return None


def _likely(choices: list[Schema]) -> Schema:
    """The first that is something."""
    return next((one for one in choices if one.get("type") != "null"), choices[0])


def _object(schema: Schema, components: Schema, name: str, depth: int, *, whole: bool) -> Any:
    properties = schema.get("properties")
    if properties is None:
        values = schema.get("additionalProperties")
        if not isinstance(values, dict) or not values or depth == 0:
            return {}
        return {
            KEYS.get(name, "key"): _example(values, components, "value", depth - 1, whole=whole)
        }
    required = schema.get("required", [])
    told = [field for field, one in properties.items() if field in required or "examples" in one]
    chosen = told if depth == 0 or (not whole and required) else properties
    return {
        field: _example(properties[field], components, field, max(0, depth - 1), whole=whole)
        for field in chosen
    }


def _array(schema: Schema, components: Schema, name: str, depth: int, *, whole: bool) -> Any:
    items = schema.get("prefixItems") or [schema.get("items")]
    if (depth == 0 and not schema.get("minItems")) or not isinstance(items[0], dict):
        return []
    one = name.removesuffix("s")
    return [_example(item, components, one, max(0, depth - 1), whole=whole) for item in items]


def _text(schema: Schema, name: str) -> str:
    words = (name, name.rpartition("_")[2])
    likely = [TEXTS[word] for word in words if word in TEXTS]
    default = [schema["default"]] if schema.get("default") else []
    for text in (*default, *likely, name, *TEXTS.values(), ""):
        if _fits(text, schema):
            return str(text)
    return ""


def _fits(text: str, schema: Schema) -> bool:
    if not schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", 1 << 30):
        return False
    if "format" in schema and schema["format"] != "binary":
        return False
    return "pattern" not in schema or re.search(schema["pattern"], text) is not None


def _number(schema: Schema, name: str) -> float:
    value = schema.get("default")
    if value is None:
        value = NUMBERS.get(name.rpartition("_")[2], 1)
    value = max(value, schema.get("minimum", value))
    value = min(value, schema.get("maximum", value))
    return int(value) if schema["type"] == "integer" else value
