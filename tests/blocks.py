"""The fenced blocks of a document, and what the comments above them say about running them.

    <!-- not run: needs a GPU -->     not run, for this reason
    <!-- slow: trains for minutes --> run where GFEDGE_SLOW is set
    <!-- needs: nginx -->             run where these programs are installed
    <!-- file: nginx.conf -->         written to this file, which the text above it names, and held to what checks such files
    <!-- in: archive -->              run in this folder of the page
    <!-- given: touch a.png -->       run before it: what a reader has by now
    <!-- refused -->                  its last command has to fail

`<!-- page slow: starts servers of its own -->` says `slow` of all that follow. A block marked `text` is what the block before it prints; `…` stands for anything, alone on a line for any lines.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOTES = ("not run", "slow", "needs", "file", "in", "given", "refused")
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\S*)\s*$")
NOTE = re.compile(r"^\s*<!-- (?P<name>[a-z ]+?)(?:: (?P<value>.*?))? -->$")


class Block(NamedTuple):
    page: Path
    line: int
    language: str
    text: str
    notes: dict[str, str]
    above: str
    """What a reader sees between the block before and this one."""

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in their order."""
    found: list[Block] = []
    notes: dict[str, str] = {}
    everywhere: dict[str, str] = {}
    above: list[str] = []
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), 1))
    for number, line in lines:
        if line.startswith("<!-- page slow: "):
            everywhere = {"slow": line[16:-4]}
        elif (note := NOTE.match(line)) and note["name"] in NOTES:
            notes[note["name"]] = note["value"] or ""
        elif fence := FENCE.match(line):
            inside = _until(f"{fence['indent']}```", lines, len(fence["indent"]))
            told = everywhere | notes
            found.append(Block(page, number, fence["language"], inside, told, "\n".join(above)))
            notes, above = {}, []
        elif line.strip():
            assert not notes, f"{page.name}:{number}: {notes} stand above no block"
            above.append(line)
    return found


def _until(fence: str, lines: object, indent: int) -> str:
    inside = []
    for _, line in lines:  # type: ignore[attr-defined]
        if line == fence:
            break
        inside.append(line[indent:])
    return "".join(f"{line}\n" for line in inside)


def prints(expected: str, said: str) -> bool:
    """Whether a command said what a page says that it does."""
    pattern = ""
    for line in expected.rstrip("\n").split("\n"):
        if line.strip() == "…":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*?".join(re.escape(part.rstrip()) for part in line.split("…")) + r"[ ]*\n"
    return re.fullmatch(pattern, said.rstrip("\n") + "\n") is not None
