"""The table that every measurement here prints, and writes as JSON: a row has what was measured of ours, of a peer in the
same run, the ratio of the two, and what it is to hold.

`python bench/table.py` prints what all of them wrote last, in one table.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

RESULTS = Path(__file__).parent / "results"


class Row(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    name: str
    ours: float | None = None
    peer: float | None = None
    unit: str = ""
    """Of `ours` and `peer`."""
    ratio: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    """What to hold: of the ratio where there is one, else of `ours`."""
    held: bool | None = None
    """Absent where there is nothing to hold."""


class Result(msgspec.Struct, kw_only=True, frozen=True):
    name: str
    taken_at: str
    machine: str
    """Its cores and how busy it was: others' load makes times longer, ratios less so."""
    rows: list[Row]


class Table:
    """`add` rows, then `end` prints them and writes the file."""

    def __init__(self, script: str, file: Path | None = None) -> None:
        self.name = Path(script).stem
        self.file = file or RESULTS / f"{self.name}.json"
        self.load = os.getloadavg()[0]
        self.rows: list[Row] = []

    def add(
        self,
        name: str,
        ours: float | None = None,
        unit: str = "",
        *,
        peer: float | None = None,
        ratio: float | Sequence[float] | None = None,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> None:
        """Ratios of several rounds count as their median; without any, two figures make it: ours over the peer's."""
        if ratio is None and ours is not None and peer:
            ratio = ours / peer
        if ratio is not None and not isinstance(ratio, float | int):
            ratio = statistics.median(ratio)
        row = Row(
            name=name, ours=ours, peer=peer, unit=unit, ratio=ratio, at_least=at_least, at_most=at_most,
            held=_held(ours if ratio is None else ratio, at_least, at_most),
        )  # fmt: skip
        self.rows.append(row)

    def end(self) -> None:
        machine = f"{os.cpu_count()} cores, load {self.load:.1f} before"
        taken_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        result = Result(name=self.name, taken_at=taken_at, machine=machine, rows=self.rows)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_bytes(msgspec.json.format(msgspec.json.encode(result)) + b"\n")
        print(formatted([result]))


def _held(value: float | None, at_least: float | None, at_most: float | None) -> bool | None:
    if value is None or (at_least is None and at_most is None):
        return None
    return (at_least is None or value >= at_least) and (at_most is None or value <= at_most)


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """What all scripts have. A number that would leave a row without a figure is refused: a count below 1, a span
    below 0.1, or less than the script's own `least`."""
    parser = argparse.ArgumentParser(description=doc)
    parser.register("type", int, least(1))
    parser.register("type", float, least(0.1, float))
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the table goes as JSON")
    return parser


def least(smallest: float, kind: type[int] | type[float] = int) -> Callable[[str], float]:
    """An argument's type: a number that is not less."""

    def read(text: str) -> float:
        value = kind(text)
        if not smallest <= value < math.inf:
            raise argparse.ArgumentTypeError(f"{text}, where the least is {smallest:g}")
        return value

    read.__name__ = kind.__name__  # "invalid int value"
    return read


def number(value: float | None, unit: str = "") -> str:
    """Three digits, or all of a whole number."""
    if value is None:
        return ""
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{text} {unit}".strip()


def formatted(results: list[Result]) -> str:
    """All rows of all results, aligned."""
    head = ("", "ours", "peer", "ratio", "to hold", "")
    lines = [head]
    for result in results:
        lines.append((f"{result.name} ({result.taken_at}, {result.machine})", "", "", "", "", ""))
        for row in result.rows:
            bound = f">= {row.at_least:g}" if row.at_least is not None else ""
            bound = bound or (f"<= {row.at_most:g}" if row.at_most is not None else "")
            mark = {True: "held", False: "MISSED", None: ""}[row.held]
            values = (number(row.ours, row.unit), number(row.peer, row.unit), number(row.ratio))
            lines.append((f"  {row.name}", *values, bound, mark))
    wide = max(len(line[0]) for line in lines if line[1:] != ("",) * 5)
    columns = [max(len(line[i]) for line in lines) for i in range(1, 6)]
    return "\n".join(
        f"{line[0]:{wide}}  {'  '.join(f'{t:>{w}}' for t, w in zip(line[1:], columns, strict=True))}".rstrip()
        for line in lines
    )


def main() -> None:
    names = sys.argv[1:]
    files = sorted(RESULTS.glob("*.json"))
    results = [msgspec.json.decode(file.read_bytes(), type=Result) for file in files]
    kept = [one for one in results if not names or one.name in names]
    if not kept:
        sys.exit("nothing is measured yet: make bench BENCH=superres")
    print(formatted(kept))


if __name__ == "__main__":
    main()
