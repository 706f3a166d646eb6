"""Prometheus' own tests of its language: what no native histogram is part of must pass whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from promqltest import Script

FOLDERS = [Path(__file__).parent / "promql"]
if more := os.environ.get("GFEDGE_PROMQL_TESTS"):
    FOLDERS.append(Path(more))
FILES = [path for folder in FOLDERS for path in sorted(folder.glob("*.test"))]

PASSED = {
    "aggregators": (126, 160),
    "collision": (2, 2),
    "functions": (384, 431),
    "histograms": (93, 185),
    "literals": (25, 25),
    "name_label_dropping": (30, 30),
    "operators": (145, 214),
    "selectors": (31, 31),
    "staleness": (17, 17),
}
"""Evaluations that pass, and all: what is missing needs native histograms. docs/monitoring.md has the sum."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_language_is_prometheus(path: Path) -> None:
    passed = count = 0
    for case, why, native in Script().run(path):
        assert native or not why, f"{path.name}:{case.line} {case.expr}\n{why}"
        passed, count = passed + (not why), count + 1
    print(f"\n{path.name}: {passed} of {count}")
    assert (passed, count) == PASSED.get(path.stem, (passed, count))
