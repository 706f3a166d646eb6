"""The documents: every link in them leads somewhere."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    path
    for pattern in ("*.md", "docs/**/*.md", "bench/*.md", "tools/*/*.md", "models/*/*/*.md")
    for path in sorted(ROOT.glob(pattern))
]
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s#]*)(#[^)\s]*)?\)")
HEADING = re.compile(r"^#{1,6} (.*)$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


@functools.cache
def anchors(path: Path) -> set[str]:
    """What the headings of a page are linked to by: small letters, and nothing but letters, digits, - and _."""
    text = FENCED.sub("", path.read_text(encoding="utf-8"))
    titles = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in HEADING.findall(text)]
    return {"#" + re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")) for title in titles}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    links = LINK.findall(FENCED.sub("", path.read_text(encoding="utf-8")))
    for name, anchor in links:
        target = path.parent / name if name else path
        assert target.exists(), name
        assert not anchor or target.suffix != ".md" or anchor in anchors(target), name + anchor


PAGES = [path for path in DOCUMENTS if path.is_relative_to(ROOT / "docs")]


def test_every_page_is_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        if (page := waiting.pop().resolve()) in seen or page.suffix != ".md":
            continue
        seen.add(page)
        text = page.read_text(encoding="utf-8")
        waiting += [page.parent / name for name, _ in LINK.findall(text) if name]
    assert [page for page in PAGES if page.resolve() not in seen] == []


def test_every_slice_and_engine_is_in_the_picture_of_them() -> None:
    picture = (ROOT / "docs/architecture.svg").read_text(encoding="utf-8")
    folders = {path.parent.name for path in (ROOT / "gfedge").glob("*/__init__.py")}
    shown = set(re.findall(r'class="head">([a-z]+)</text>', picture))
    assert folders - {"cli"} - shown == set()


def test_a_trainer_in_any_language_reads_what_it_finds_in_its_environment() -> None:
    told = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    for path in sorted((ROOT / "gfedge/training").glob("*.py")):
        for name in re.findall(r'"(GFEDGE_JOB_[A-Z_]*[A-Z])"', path.read_text(encoding="utf-8")):
            assert f"`{name}`" in told, (path.name, name)
