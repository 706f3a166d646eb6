"""The measurements in bench/: their table, and that the documents name scripts that are there."""

from __future__ import annotations

import importlib
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


@pytest.mark.parametrize("page", ["README.md", "docs/figures.md"])
def test_each_figure_names_the_script_that_takes_it(page: str) -> None:
    tables = (ROOT / page).read_text().split("| | measured | to hold | script |\n")[1:]
    figures = [
        re.split(r"\s*\|\s*", line)[1:-1]
        for table in tables
        for line in table.split("\n\n", 1)[0].splitlines()[1:]
    ]
    named = [re.fullmatch(r"`(\w+)`", row[-1]) for row in figures]
    assert named
    assert all(found and found[1] in SCRIPTS for found in named), figures


def test_the_readme_says_nothing_else_than_all_figures_do() -> None:
    """A number that is taken anew is written in both, and what is behind stays in sight."""
    short = (ROOT / "README.md").read_text().split("## Figures")[1].split("\n\n", 2)[2]
    every = (ROOT / "docs/figures.md").read_text()
    number = re.compile(r"\d[\d.,]*\d|\d")
    assert set(number.findall(short.split("\n\n")[0])) <= set(number.findall(every))
    assert short.count("**behind") + short.count("**packages behind") == 3
    assert "**not held**" in short


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


def test_every_script_takes_its_arguments_and_its_table_from_one_place() -> None:
    for name in SCRIPTS:
        text = (BENCH / f"{name}.py").read_text()
        assert "parser = arguments(__doc__)" in text, name
        assert "Table(__file__, args.json)" in text, name
        assert "table.end()" in text, name


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--hours 0.05", "argument --hours: 0.05, where the least is 0.2"),
        ("--hours inf", "argument --hours: inf, where the least is 0.2"),
        ("--hours nan", "argument --hours: nan, where the least is 0.2"),
        ("--hours soon", "argument --hours: invalid float value: 'soon'"),
        ("--rounds 0", "argument --rounds: 0, where the least is 1"),
        ("--rounds -1", "argument --rounds: -1, where the least is 1"),
        ("--rounds 1.5", "argument --rounds: invalid int value: '1.5'"),
        ("--seconds 0", "argument --seconds: 0, where the least is 0.1"),
    ],
)
def test_numbers_that_would_leave_a_row_without_a_figure_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    table = importlib.import_module("table")
    parser = table.arguments("A measurement.")
    parser.add_argument("--hours", type=table.least(0.2, float), default=1.5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    assert parser.parse_args(["--rounds", "1", "--seconds", "0.1"]).rounds == 1
    with pytest.raises(SystemExit):
        parser.parse_args(line.split())
    assert said in capsys.readouterr().err
