"""Rule files in Prometheus' format, checked when they are read: YAML, names, durations, expressions and templates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from gfedge.alerts.documents import Document, Fault, read
from gfedge.alerts.templates import Template, TemplateError
from gfedge.promql import printer
from gfedge.promql.checks import value_type
from gfedge.promql.parser import parse
from gfedge.promql.types import QueryError

SHIPPED = Path(__file__).parent / "rules" / "gfedge.yml"
ALERTNAME = "alertname"
_duration = re.compile(
    r"0|(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?", re.ASCII
)
_SECONDS = (365 * 86_400, 7 * 86_400, 86_400, 3600, 60, 1, 0.001)
_label = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_metric = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)


class RuleNode(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A rule as it stands in a file."""

    record: str = ""
    alert: str = ""
    expr: str = ""
    hold: str = msgspec.field(name="for", default="")
    keep_firing_for: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class GroupNode(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A group as it stands in a file."""

    name: str
    interval: str = ""
    query_offset: str = ""
    limit: int = 0
    labels: dict[str, str] = {}
    rules: list[RuleNode] = []


class FileNode(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A rule file."""

    groups: list[GroupNode] = []


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that was checked. Durations are seconds."""

    name: str
    """Of the alert, or of the series that is recorded."""
    alerting: bool
    expr: str
    """In its usual form, on one line."""
    hold: float = 0.0
    """`for`"""
    keep_firing_for: float = 0.0
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    annotations: Mapping[str, str] = msgspec.field(default_factory=dict)
    line: int = 0

    def template(self, text: str) -> Template:
        return Template.of(text)


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Rules that are evaluated one after the other, at the same time. Durations are seconds."""

    file: str
    name: str
    interval: float
    """0 where the file does not say."""
    query_offset: float
    limit: int
    """Series or alerts that one rule may have; 0 is no limit."""
    rules: tuple[Rule, ...]

    @property
    def key(self) -> str:
        return f"{self.file};{self.name}"


class Faults(Exception):
    """All that is wrong with rule files."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = list(faults)
        super().__init__("\n".join(map(str, self.faults)))


def load(path: Path) -> list[Group]:
    """The groups of a file; raises Faults with everything that is wrong with it."""
    faults: list[Fault] = []
    try:
        document = read(path, path.name if path == SHIPPED else str(path))
        node = document.convert(FileNode)
    except Fault as fault:
        raise Faults([fault]) from None
    groups: list[Group] = []
    for at, group in enumerate(node.groups):
        where = ("groups", at)
        if not group.name:
            faults.append(document.fault("the group has no name", *where))
        if any(group.name == other.name for other in node.groups[:at]):
            faults.append(document.fault(f'group "{group.name}" is there twice', *where))
        groups.append(_group(document, at, group, faults))
    if faults:
        raise Faults(faults)
    return groups


def load_all(paths: Iterable[str], *, shipped: bool) -> tuple[list[Group], list[str]]:
    """The groups of all files that are sound (a path may be a pattern, as rules/*.yml), and the faults of the others."""
    groups: list[Group] = []
    faults: list[str] = []
    for path in [*([SHIPPED] if shipped else []), *_named(paths)]:
        try:
            groups += load(path)
        except Faults as found:
            faults += map(str, found.faults)
    return groups, faults


def _named(patterns: Iterable[str]) -> list[Path]:
    found: dict[Path, None] = {}
    for text in patterns:
        path = Path(text).expanduser()
        paths = sorted(path.parent.glob(path.name)) if set(path.name) & set("*?[") else [path]
        found |= dict.fromkeys(paths)
    return list(found)


def _group(document: Document, at: int, node: GroupNode, faults: list[Fault]) -> Group:
    place = ("groups", at)
    rules = []
    try:
        interval = _seconds(document, node.interval, *place, "interval")
        offset = _seconds(document, node.query_offset, *place, "query_offset")
        _check_names(document, node.labels, (*place, "labels"))
    except Fault as fault:
        faults.append(fault)
        interval = offset = 0.0
    for number, rule in enumerate(node.rules):
        try:
            rules.append(_rule(document, at, number, node, rule))
        except Fault as fault:
            name = rule.alert or rule.record
            what = f'group "{node.name}", rule {number + 1}' + (f', "{name}"' if name else "")
            faults.append(Fault(fault.file, fault.line, f"{what}: {fault.reason}"))
    return Group(
        file=document.file,
        name=node.name,
        interval=interval,
        query_offset=offset,
        limit=node.limit,
        rules=tuple(rules),
    )


def _rule(document: Document, group: int, at: int, of: GroupNode, node: RuleNode) -> Rule:
    place = ("groups", group, "rules", at)
    _check_shape(document, node, place)
    try:
        expr = parse(node.expr)
    except QueryError as error:
        raise document.fault(f"could not parse expression: {error}", *place, "expr") from None
    if value_type(expr) not in ("instant vector", "scalar"):
        reason = f"the expression is a {value_type(expr)}; rules need an instant vector or a scalar"
        raise document.fault(reason, *place, "expr")
    labels = {**of.labels, **node.labels}
    _check_names(document, node.labels, (*place, "labels"))
    _check_names(document, node.annotations, (*place, "annotations"))
    if node.alert:
        for part in ("labels", "annotations"):
            _check_templates(document, getattr(node, part), (*place, part))
    return Rule(
        name=node.alert or node.record,
        alerting=bool(node.alert),
        expr=printer.text(expr),
        hold=_seconds(document, node.hold, *place, "for"),
        keep_firing_for=_seconds(document, node.keep_firing_for, *place, "keep_firing_for"),
        labels=labels,
        annotations=node.annotations,
        line=document.line(*place),
    )


def _check_shape(document: Document, node: RuleNode, place: tuple[str | int, ...]) -> None:
    """What a rule must have and what a recording rule cannot have."""
    if bool(node.alert) == bool(node.record):
        both = "only one of 'record' and 'alert' must be set"
        raise document.fault(
            both if node.alert else "one of 'record' or 'alert' must be set", *place
        )
    if not node.expr.strip():
        raise document.fault("field 'expr' must be set in rule", *place)
    if not node.record:
        return
    for name, value in (
        ("annotations", node.annotations),
        ("for", node.hold),
        ("keep_firing_for", node.keep_firing_for),
    ):
        if value:
            raise document.fault(f"invalid field '{name}' in recording rule", *place, name)
    if not _metric.fullmatch(node.record):
        raise document.fault(f"invalid recording rule name: {node.record}", *place, "record")


def _check_names(
    document: Document, labels: Mapping[str, str], place: tuple[str | int, ...]
) -> None:
    for name in labels:
        if not _label.fullmatch(name) or name == "__name__":
            raise document.fault(f"invalid {place[-1]} name: {name}", *place, name)


def _check_templates(
    document: Document, texts: Mapping[str, str], place: tuple[str | int, ...]
) -> None:
    for name, text in texts.items():
        try:
            Template.of(text)
        except TemplateError as error:
            reason = f'template of {place[-1]} "{name}": {error}'
            raise document.fault(reason, *place, name) from None


def _seconds(document: Document, text: str, *place: str | int) -> float:
    if not text:
        return 0.0
    try:
        return seconds(text)
    except ValueError:
        reason = f"{place[-1]}: not a valid duration: {text!r}; write 30s, 5m, 1h30m"
        raise document.fault(reason, *place) from None


def seconds(text: str) -> float:
    """Seconds of a duration as Prometheus writes it: 1h30m; ValueError where it is none."""
    found = _duration.fullmatch(text)
    if not text or found is None:
        raise ValueError(text)
    return sum(
        int(part) * size for part, size in zip(found.groups(), _SECONDS, strict=True) if part
    )
