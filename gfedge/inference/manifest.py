"""The manifest of a model folder, model.toml: read within bounds, and written again when a version is stored."""

from __future__ import annotations

import datetime
import json
import math
import re
import tomllib
from pathlib import Path
from typing import Any

from gfedge.inference.types import ModelRefused

LONG_KEY = re.compile(
    r"""(?<![A-Za-z0-9_\\-])(?:(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){64}"""
)
"""A dotted key of more than 64 parts: tomllib takes many seconds for one that fills the file."""
MAX_TOML_BYTES = 1 << 16
MAX_TOML_DEPTH = 16
_bare = re.compile(r"[A-Za-z0-9_-]+")


def read(folder: Path) -> dict[str, Any]:
    """The folder's model.toml as JSON could hold it. Raises ModelRefused."""
    path = folder / "model.toml"
    if not path.is_file():
        raise ModelRefused("there is no model.toml: add one, or move the folder away")
    with path.open("rb") as stream:
        data = stream.read(MAX_TOML_BYTES + 1)
    if len(data) > MAX_TOML_BYTES:
        raise ModelRefused(f"model.toml is larger than {MAX_TOML_BYTES // 1024} KiB")
    try:
        text = data.decode()
        if LONG_KEY.search(text):
            raise ModelRefused("model.toml has a dotted key of more than 64 parts")
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelRefused(f"model.toml is not valid TOML: {error}") from None
    except ValueError:  # Python takes whole numbers of up to 4300 digits
        raise ModelRefused("model.toml has a number of too many digits") from None
    return {key: _plain(value, key) for key, value in table.items()}


def _plain(value: Any, key: str, depth: int = 1) -> Any:
    """A value of model.toml as JSON could hold it; dates become text. `key` is the nearest name, for the refusal."""
    if depth > MAX_TOML_DEPTH:
        raise ModelRefused(f"model.toml is nested more than {MAX_TOML_DEPTH} deep at {key!r:.80}")
    if isinstance(value, dict):
        return {name: _plain(inner, name, depth + 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, key, depth + 1) for inner in value]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    finite = math.isfinite(value) if isinstance(value, float) else True
    if not finite or (isinstance(value, int) and not -(1 << 63) <= value < 1 << 63):
        raise ModelRefused(f"{key!r:.80} in model.toml must be a finite number of 64 bits")
    return value


def dumps(table: dict[str, Any]) -> str:
    """A table that `read` gave, as TOML: plain values first, then a section for each table (toml.io, v1.0)."""
    plain = [f"{_key(k)} = {_value(v)}\n" for k, v in table.items() if not isinstance(v, dict)]
    sections = [
        f"\n[{_key(name)}]\n" + "".join(f"{_key(k)} = {_value(v)}\n" for k, v in inner.items())
        for name, inner in table.items()
        if isinstance(inner, dict)
    ]
    return "".join([*plain, *sections])


def _key(name: str) -> str:
    return name if _bare.fullmatch(name) else _value(name)


def _value(value: Any) -> str:
    """Numbers and strings are written as JSON does, which TOML reads; only DEL must be escaped besides."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
