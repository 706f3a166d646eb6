"""Prometheus' own test scripts (`*.test`): read them, run them on the engine, compare.

The format is documented with the files (promql/promqltest/README.md of Prometheus). A comment line counts as an empty
one and ends a block; `a+bxN` is N+1 points; an instant evaluation is run again as the middle of a range query.
Native histograms are recognised and stand as staleness markers: an evaluation that meets one is `native`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gfedge.promql.engine import Engine
from gfedge.promql.lexer import Lexer, milliseconds
from gfedge.promql.memory import MemoryStorage
from gfedge.promql.parser import parse
from gfedge.promql.syntax import Selector, walk
from gfedge.promql.types import STALE, Labels, QueryError, Result, make_labels

TOLERANCE = 1e-6
MINUTE = 60_000
Point = float | None
"""None: no point here."""


class Histogram(float):
    """A native histogram, of which nothing is known here."""


Series = dict[Labels, list[tuple[int, float]]]


@dataclass
class Load:
    step: int
    custom: bool
    series: list[tuple[Labels, list[Point]]]


@dataclass
class Evaluation:
    line: int
    expr: str
    start: int
    end: int
    step: int
    expects: list[tuple[str, str, str]] = field(default_factory=list)
    """(kind, "msg" or "regex" or "", text)"""
    series: list[tuple[Labels, list[Point]]] = field(default_factory=list)
    scalar: float | None = None
    string: str | None = None
    raw: tuple[int, int] | None = None
    """First time and step of an expected range vector."""

    def wanted(self, kind: str) -> list[tuple[str, str]]:
        return [(how, text) for found, how, text in self.expects if found == kind]


Command = Load | Evaluation | None
"""None: `clear`."""

_number = r"[+-]?(?:\d[\d_]*(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|[iI]nf|[nN]a[nN])"
_item = re.compile(
    rf"(?P<native>\{{\{{.*?\}}\}}(?:[+-]\{{\{{.*?\}}\}})?)(?:x(?P<n>\d+))?|_(?:x(?P<blanks>\d+))?|stale(?:x(?P<stale>\d+))?"
    rf"|(?P<value>{_number})(?:(?P<step>[+-](?:\d[\d_.eE]*|[iI]nf|[nN]a[nN]|\.\d+)))?(?:x(?P<times>\d+))?"
)
_load = re.compile(r"load(_with_nhcb)?\s+(\S+)$")
_instant = re.compile(r"eval(?:_(fail|warn|ordered|info))?\s+instant\s+(?:at\s+(\S+))?\s+(.+)$")
_range = re.compile(
    r"eval(?:_(fail|warn|info))?\s+range\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)\s+(.+)$"
)
_expect = re.compile(r"expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(regex|msg):(.+))?$")
_expect_raw = re.compile(r"expect range vector\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)$")
_metric = re.compile(r'([a-zA-Z_:][\w:]*)?\s*(\{(?!\{)(?:[^}"]|"(?:[^"\\]|\\.)*")*\})?')


def duration(text: str) -> int:
    return 0 if text == "0" else milliseconds(text)


def metric(line: str) -> tuple[Labels, str]:
    """The label set a line begins with, and the rest of the line."""
    found = _metric.match(line)
    assert found is not None
    labels = {"__name__": found[1]} if found[1] else {}
    labels.update(_pairs(found[2] or "{}"))
    return make_labels(labels), line[found.end() :]


def _pairs(braces: str) -> Iterator[tuple[str, str]]:
    tokens = [
        t for t in Lexer(braces).tokens() if t.kind != "end" and t.text not in ("{", "}", ",")
    ]
    while tokens:
        name, *tokens = tokens
        written = str(name.value) if name.kind == "string" else name.text
        if tokens and tokens[0].text == "=":
            yield written, str(tokens[1].value)
            tokens = tokens[2:]
        else:
            yield "__name__", written


def points(text: str) -> list[Point]:
    out: list[Point] = []
    at = 0
    while (at := at + len(text[at:]) - len(text[at:].lstrip())) < len(text):
        found = _item.match(text, at)
        assert found is not None, text[at:]
        assert found.end() > at, text[at:]
        at = found.end()
        out += _points(found)
    return out


def _points(item: re.Match[str]) -> list[Point]:
    written = item.group()
    if item["native"]:
        return [Histogram("nan")] * (int(item["n"] or 0) + 1)
    if written.startswith("_"):
        return [None] * int(item["blanks"] or 1)
    if written.startswith("stale"):
        return [STALE] * (int(item["stale"] or 0) + 1)
    value, out = float(item["value"].replace("_", "")), []
    for _ in range(int(item["times"] or 0) + 1):
        out.append(value)
        value += float(item["step"] or 0)
    return out


def commands(text: str) -> Iterator[Command]:
    lines = ["" if line.strip().startswith("#") else line.strip() for line in text.split("\n")]
    at = 0
    while at < len(lines):
        if not (line := lines[at]):
            at += 1
            continue
        block = [line]
        while not line.startswith("clear") and lines[at + len(block) :][:1] not in ([], [""]):
            block.append(lines[at + len(block)])
        if line.startswith("clear"):
            yield None
        elif found := _load.match(line):
            rows = [metric(row) for row in block[1:] if not row.split()[0].endswith("@st")]
            series = [(labels, points(rest)) for labels, rest in rows]
            yield Load(duration(found[2]), bool(found[1]), series)
        else:
            yield evaluation(at + 1, block)
        at += len(block)


def evaluation(line: int, block: list[str]) -> Evaluation:
    if found := _instant.match(block[0]):
        at = duration(found[2] or "0")
        made = Evaluation(line, found[3], at, at, 0)
    else:
        found = _range.match(block[0])
        assert found is not None, block[0]
        made = Evaluation(line, found[5], *(duration(found[k]) for k in (2, 3, 4)))
    if found[1]:
        made.expects.append((found[1], "", ""))
    for row in block[1:]:
        _wanted(made, row)
    return made


def _wanted(made: Evaluation, row: str) -> None:
    if found := _expect_raw.match(row):
        made.raw = duration(found[1]), duration(found[3])
    elif row.startswith("expect string"):
        made.string = str(Lexer(row.removeprefix("expect string")).tokens()[0].value)
    elif found := _expect.match(row):
        made.expects.append((found[1], found[2] or "", (found[3] or "").strip()))
    elif row.startswith("expected_fail_"):
        kind, _, text = row.partition(" ")
        made.expects.append(("fail", "msg" if kind.endswith("message") else "regex", text.strip()))
    elif re.fullmatch(_number, row):
        made.scalar = float(row)
    else:
        labels, rest = metric(row)
        made.series.append((labels, points(rest)))


class Script:
    """Runs a file; yields each evaluation with what is wrong with it, and whether it meets a native histogram."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self.storage = MemoryStorage()
        self.samples: dict[Labels, dict[int, float]] = {}
        self.native: set[Labels] = set()

    def run(self, path: Path) -> Iterator[tuple[Evaluation, str, bool]]:
        for command in commands(path.read_text("utf-8", "surrogateescape")):
            if command is None:
                self._clear()
            elif isinstance(command, Load):
                self._load(command)
            else:
                yield command, self.check(command), self.is_native(command)

    def _load(self, load: Load) -> None:
        for labels, values in load.series:
            known = self.samples.setdefault(labels, {})
            if any(isinstance(value, Histogram) for value in values):
                self.native.add(labels)
            if load.custom:
                self.native.add(_base(labels))
            for number, value in enumerate(values):
                if value is not None:
                    known[number * load.step] = STALE if isinstance(value, Histogram) else value
            times = sorted(known)
            self.storage.add(labels, times, [known[time] for time in times])

    def is_native(self, case: Evaluation) -> bool:
        if any(isinstance(point, Histogram) for _, values in case.series for point in values):
            return True
        try:
            nodes = [node for node in walk(parse(case.expr)) if isinstance(node, Selector)]
        except QueryError:
            return "</" in case.expr or ">/" in case.expr
        return any(
            all(m.matches(dict(labels).get(m.name, "")) for m in node.matchers)
            for node in nodes
            for labels in self.native
        )

    def check(self, case: Evaluation) -> str:
        engine, fail = Engine(self.storage), case.wanted("fail")
        try:
            if case.step:
                found = engine.range(case.expr, case.start, case.end, case.step)
            else:
                found = engine.instant(case.expr, case.start)
        except QueryError as error:
            if not fail:
                return f"failed: {error}"
            return "" if _says(fail[0], str(error)) else f"failed otherwise: {error}"
        if fail:
            return "should have failed"
        why = _annotations(case, found) or _compared(case, found)
        return why or self._as_range(engine, case)

    def _as_range(self, engine: Engine, case: Evaluation) -> str:
        """An instant evaluation again, as the middle one of three steps."""
        by_query = re.search(r"(start|end|range|step)\(\)", case.expr)
        if case.step or case.raw or case.string is not None or by_query or case.wanted("ordered"):
            return ""
        at = case.start
        found = engine.range(case.expr, at - MINUTE, at + MINUTE, MINUTE)
        middle = {k: [p for p in v if p[0] == at] for k, v in _series(found).items()}
        middle = {labels: values for labels, values in middle.items() if values}
        if case.scalar is not None:
            return _values([case.scalar], middle.get((), []), "as a range")
        return _matched(case, middle, "as a range: ")


def _base(labels: Labels) -> Labels:
    known = dict(labels)
    known.pop("le", None)
    known["__name__"] = re.sub(r"_(bucket|count|sum)$", "", known.get("__name__", ""))
    return make_labels(known)


def _says(expected: tuple[str, str], text: str) -> bool:
    how, wanted = expected
    if how == "regex":
        return re.search(wanted, text) is not None
    return how == "" or text == wanted or re.sub(r" \(\d+:\d+\)$", "", text) == wanted


def _annotations(case: Evaluation, found: Result) -> str:
    for kind, texts in (("warn", found.warnings), ("info", found.infos)):
        wanted = case.wanted(kind)
        if wanted and not texts:
            return f"no {kind}"
        for expected in wanted:
            if not any(_says(expected, text) for text in texts):
                return f"{kind} is {texts}"
        if case.wanted(f"no_{kind}") and texts:
            return f"unexpected {kind} {texts}"
    return ""


def _series(found: Result) -> Series:
    if found.vector is None:
        out: Series = {}
        for block in found.ranges:
            for row, labels in enumerate(block.labels.rows):
                run = slice(block.offsets[row], block.offsets[row + 1])
                pairs = zip(block.times[run].tolist(), block.values[run].tolist(), strict=True)
                out[labels] = list(pairs)
        return out
    times, mask = found.times.tolist(), found.vector.mask
    return {
        labels: [
            (time, value)
            for time, value, there in zip(times, values.tolist(), mask[row].tolist(), strict=True)
            if there
        ]
        for row, (labels, values) in enumerate(
            zip(found.vector.labels.rows, found.vector.values, strict=True)
        )
    }


def _compared(case: Evaluation, found: Result) -> str:
    if case.string is not None:
        return "" if found.string == case.string else f"the string is {found.string!r}"
    if case.scalar is not None:
        if found.scalar is None:
            return f"a {found.type}, no scalar"
        return _values([case.scalar], [(case.start, float(found.scalar[0]))], "scalar")
    if found.type not in ("vector", "matrix"):
        return f"a {found.type}"
    series = _series(found)
    if case.wanted("ordered") and list(series) != [labels for labels, _ in case.series]:
        return "another order"
    return _matched(case, series, "")


def _matched(case: Evaluation, found: Series, where: str) -> str:
    wanted = dict(case.series)
    if found.keys() != wanted.keys():
        return f"{where}series {sorted(found.keys() ^ wanted.keys())} only on one side"
    start, step = case.raw or (case.start, case.step)
    for labels, values in wanted.items():
        expected = [
            (start + number * step, value)
            for number, value in enumerate(values)
            if value is not None
        ]
        if (case.step or case.raw) and [t for t, _ in expected] != [t for t, _ in found[labels]]:
            return f"{where}{labels}: other times: {found[labels]}"
        if why := _values([value for _, value in expected], found[labels], f"{where}{labels}"):
            return why
    return ""


def _values(wanted: list[float], found: list[tuple[int, float]], where: str) -> str:
    if len(wanted) != len(found) or not all(
        _close(a, b) for a, (_, b) in zip(wanted, found, strict=True)
    ):
        return f"{where}: {found}, not {wanted}"
    return ""


def _close(wanted: float, found: float) -> bool:
    if isinstance(wanted, Histogram) or math.isnan(wanted) or math.isnan(found):
        return not isinstance(wanted, Histogram) and math.isnan(wanted) and math.isnan(found)
    return wanted == found or abs(wanted - found) < TOLERANCE * (abs(wanted) + abs(found))
