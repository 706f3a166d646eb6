"""The measurements in bench/: their table, and that the documents name scripts that are there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).parent.parent
BENCH = ROOT / "bench"
SCRIPTS = {path.stem for path in BENCH.glob("*.py") if "parse_args()" in path.read_text()}


def rows(document: Path, head: str) -> list[list[str]]:
    """The cells of the table that begins with this line."""
    text = document.read_text().split(f"{head}\n", 1)[1].split("\n\n", 1)[0]
    return [re.split(r"\s*\|\s*", line)[1:-1] for line in text.splitlines()[1:]]


def test_each_figure_of_the_readme_names_the_script_that_takes_it() -> None:
    figures = rows(ROOT / "README.md", "| | measured | to hold | script |")
    named = [re.fullmatch(r"`(\w+)`", row[-1]) for row in figures]
    assert named
    assert all(found and found[1] in SCRIPTS for found in named), figures


def test_the_readme_of_bench_has_each_script() -> None:
    found = {row[0].strip("`") for row in rows(BENCH / "README.md", "| script | what it compares | to hold |")}  # fmt: skip
    assert found == {f"{name}.py" for name in SCRIPTS}


@pytest.mark.parametrize("held", [True, False])
def test_a_table_says_what_was_measured_and_whether_it_holds(tmp_path: Path, held: bool) -> None:
    """Printed for people, and as JSON for whoever collects it."""
    file = tmp_path / "deep" / "x.json"
    code = f"""
from pathlib import Path
from table import Table
table = Table("x.py", Path({str(file)!r}))
table.add("rate over the loop", 90, "/s", peer=100, ratio=[0.7, {0.95 if held else 0.92}, 0.99], at_least=0.93)
table.add("jobs", 1234567)
table.end()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=BENCH, check=True, capture_output=True, text=True
    )
    first, second = msgspec.json.decode(file.read_bytes())["rows"]
    assert first["held"] is held
    assert (first["ours"], first["peer"]) == (90, 100)
    assert second == {"name": "jobs", "ours": 1234567}
    assert ("held" if held else "MISSED") in done.stdout
    assert "1,234,567" in done.stdout
