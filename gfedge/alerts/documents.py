"""YAML files that people write: read into structs, with the file and the line of every fault.

Scalars stay text until their struct says what they are, as Prometheus reads them: `severity: 1` is the label "1".
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from gfedge.validation import explain

T = TypeVar("T")

MOST_BYTES = 4 << 20
MOST_NODES = 200_000
"""Of one file, with what its aliases repeat."""
EMPTY = ("", "~", "null")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where the package has it: a tenth of the time."""
_index = re.compile(r"\.?([^.\[\]]+)|\[(\d*)\]")

Path_ = tuple[str | int, ...]


class Fault(Exception):
    """A file that cannot be used; the text begins with the file and the line."""

    def __init__(self, file: str, line: int, reason: str) -> None:
        super().__init__(f"{file}:{line}: {reason}" if line else f"{file}: {reason}")
        self.file, self.line, self.reason = file, line, reason


class Document:
    """The data of one file, and where each of its values stands."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self._lines: dict[Path_, int] = {}
        self._nodes = 0
        try:
            node = yaml.compose(text, Loader=LOADER)
            self.data: Any = {} if node is None else self._read(node, ())
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or str(error)
            raise Fault(file, mark.line + 1 if mark else 0, f"not YAML: {problem}") from None
        except RecursionError:
            raise Fault(file, 0, "nested too deeply") from None

    def line(self, *path: str | int) -> int:
        """The line of a value, or of what it is missing in."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def fault(self, reason: str, *path: str | int) -> Fault:
        return Fault(self.file, self.line(*path), reason)

    def convert(self, kind: type[T]) -> T:
        """The data as a struct; Fault where it does not fit."""
        try:
            return msgspec.convert(self.data, kind, strict=False)
        except msgspec.ValidationError as error:
            misfit = explain(error, kind)
            text = f"{misfit.path}: {misfit.text}" if misfit.path else misfit.text
            raise self.fault(text.removesuffix(", not text"), *_path(misfit.path)) from None

    def _read(self, node: yaml.Node, path: Path_) -> Any:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise Fault(self.file, node.start_mark.line + 1, "too large: too many values")
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._read(one, (*path, at)) for at, one in enumerate(node.value)]
        return node.value

    def _mapping(self, node: yaml.MappingNode, path: Path_) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise Fault(self.file, line, "expected a name before the colon")
            if key.value in found:
                raise Fault(self.file, line, f"{key.value} is given twice")
            self._lines[(*path, key.value)] = line
            if not _is_empty(value):
                found[key.value] = self._read(value, (*path, key.value))
        return found


def _is_empty(node: yaml.Node) -> bool:
    """`key:` with nothing behind it is the same as no key."""
    return isinstance(node, yaml.ScalarNode) and node.style is None and node.value in EMPTY


def _path(text: str) -> Path_:
    """`groups[0].rules[1].expr`; it ends where msgspec writes `[...]` for a key."""
    found: list[str | int] = []
    for name, number in _index.findall(text):
        if not name and not number:
            break
        found.append(int(number) if number else name)
    return tuple(found)


def read(path: Path, name: str = "") -> Document:
    """The document in a file, which faults call by `name`; Fault where it cannot be read."""
    name = name or str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Fault(name, 0, error.strerror or "cannot be read") from None
    if len(data) > MOST_BYTES:
        raise Fault(name, 0, f"larger than {MOST_BYTES >> 20} MiB")
    try:
        return Document(name, data.decode())
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise Fault(name, line, "not UTF-8") from None
