"""Functions of labels: label_replace, label_join, sorting by label."""

from __future__ import annotations

import re
from typing import Any

from gfedge.arrays import np
from gfedge.promql import labels
from gfedge.promql.lexer import quoted
from gfedge.promql.matching import BadRegex, regex
from gfedge.promql.query import Query
from gfedge.promql.types import NAME, Index, Labels, LabelSets, Vector

_reference = re.compile(r"\$(?:\$|([a-zA-Z0-9_]+)|\{([a-zA-Z0-9_]+)\})")


def _valid(name: str) -> bool:
    return bool(name) and not any(0xD800 <= ord(char) <= 0xDFFF for char in name)


def replace(
    query: Query, vector: Vector, target: str, template: str, source: str, pattern: str
) -> Vector:
    """Sets a label to what the template makes of another label, where that one matches the whole pattern."""
    try:
        found = regex(pattern)
    except BadRegex as error:
        reason = str(error).removeprefix("error parsing regexp: ")
        raise query.fail(
            f"invalid regular expression in label_replace(): {quoted(pattern)}: {reason}"
        ) from None
    if not _valid(target):
        raise query.fail(f"invalid destination label name in label_replace(): {quoted(target)}")
    matches = [found.fullmatch(labels.get(row, source)) for row in vector.labels.rows]
    changed = [
        row if match is None else _set(row, target, _expanded(template, match))
        for row, match in zip(vector.labels.rows, matches, strict=True)
    ]
    return _relabelled(vector, changed, target, [match is not None for match in matches])


def _expanded(template: str, match: Any) -> str:
    """Go's Regexp.Expand: `$1`, `${name}`, `$$`; what no group has is empty."""
    groups = match.groupdict()

    def value(reference: re.Match[str]) -> str:
        name = reference[1] or reference[2]
        if name is None:
            return "$"
        if name.isdigit():
            number = int(name) if len(name) < 5 else 10_000
            return (match.group(number) or "") if number <= match.re.groups else ""
        return groups.get(name) or ""

    return _reference.sub(value, template)


def join(
    query: Query, vector: Vector, target: str, separator: str, sources: tuple[str, ...]
) -> Vector:
    """Sets a label to the values of others, one after the other."""
    for source in sources:
        if not _valid(source):
            raise query.fail(f"invalid source label name in label_join(): {quoted(source)}")
    if not _valid(target):
        raise query.fail(f"invalid destination label name in label_join(): {quoted(target)}")
    changed = []
    for row in vector.labels.rows:
        known = dict(row)
        changed.append(_set(row, target, separator.join(known.get(s, "") for s in sources)))
    return _relabelled(vector, changed, target, [True] * len(changed))


def _set(row: Labels, name: str, value: str) -> Labels:
    changed = dict(row)
    changed.pop(name, None)
    if value:
        changed[name] = value
    return tuple(sorted(changed.items()))


def _relabelled(vector: Vector, rows: list[Labels], target: str, was_set: list[bool]) -> Vector:
    lost = vector.nameless
    if target == NAME and lost is not None:  # a name that was set is one to keep
        lost = lost & ~np.array(was_set, np.bool_)
    return labels.merged(Vector(LabelSets(rows), vector.values, vector.present, lost))


_digits = re.compile(r"(\d+)")


def natural(text: str) -> tuple[Any, ...]:
    """A key by which `a2` comes before `a10`."""
    parts = _digits.split(text)
    return tuple((0, int(p), p) if p.isdigit() else (1, 0, p) for p in parts if p)


def ordered(vector: Vector, names: tuple[str, ...], *, descending: bool) -> Vector:
    """Rows in the order of these labels, then of all their labels."""

    def key(row: int) -> tuple[Any, ...]:
        found = vector.labels.rows[row]
        return (*(natural(labels.get(found, name)) for name in names), found)

    rows = sorted(range(len(vector.labels)), key=key, reverse=descending)
    return labels.chosen(vector, np.array(rows, np.intp))


def by_value(vector: Vector, *, descending: bool) -> Vector:
    """Rows of an instant query in the order of their values; NaN comes last."""
    values = vector.values[:, 0]
    order: Index = np.argsort(-values if descending else values, kind="stable")
    return labels.chosen(vector, order)
