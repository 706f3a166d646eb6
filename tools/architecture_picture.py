"""Draws docs/architecture.svg and docs/job.svg: `python tools/architecture_picture.py`. Light and dark by the reader's wish."""

from __future__ import annotations

from html import escape
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
STYLE = """
text{font:13px system-ui,sans-serif;fill:#1f2328}.small{font-size:11px;fill:#59636e}.head{font-weight:600}
.page{fill:#fff}.box{fill:#f6f8fa;stroke:#d1d9e0}.line{stroke:#8b949e;fill:none;stroke-width:1.5}
.face{fill:#ddf4ff;stroke:#80ccff}.work{fill:#fff1e5;stroke:#ffb77c}.record{fill:#dafbe1;stroke:#6fdd8b}
.model{fill:#fff8c5;stroke:#d4a72c}.engine{fill:#fbefff;stroke:#d8b9ff}.hall{fill:#eff2f5;stroke:#d1d9e0}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9198a1}.page{fill:#0d1117}
.box{fill:#161b22;stroke:#3d444d}.line{stroke:#656c76}.face{fill:#0c2d4a;stroke:#1f6feb}.work{fill:#3d2211;stroke:#bd561d}
.record{fill:#0f2e1a;stroke:#238636}.model{fill:#332a05;stroke:#9e6a03}.engine{fill:#271b3f;stroke:#8957e5}
.hall{fill:#1c2128;stroke:#3d444d}}
"""
TIP = (
    '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0L8 4L0 8" class="line"/></marker>'
)


def main() -> None:
    (DOCS / "architecture.svg").write_text(architecture(), encoding="utf-8")
    (DOCS / "job.svg").write_text(job(), encoding="utf-8")


def picture(width: int, height: int, parts: list[str], says: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">'
        f"<title>{escape(says)}</title><style>{STYLE}</style><defs>{TIP}</defs>"
        f'<rect width="100%" height="100%" rx="10" class="page"/>{"".join(parts)}</svg>\n'
    )


def box(x: int, y: int, width: int, kind: str, title: str, *lines: str, height: int = 0) -> str:
    """A box with a title and small lines below it, all in its middle."""
    tall = height or 30 + 15 * len(lines)
    first = y + tall // 2 + 5 - 15 * len(lines) // 2
    middle = x + width // 2
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{tall}" rx="6" class="{kind}"/>'
        + text(middle, first, title, "head")
        + "".join(text(middle, first + 15 * n, one, "small") for n, one in enumerate(lines, 1))
    )


def text(x: int, y: int, words: str, kind: str = "", anchor: str = "middle") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" class="{kind}">{escape(words)}</text>'


def row(y: int, kind: str, *slices: tuple[str, str], x: int = 150, width: int = 510) -> list[str]:
    """Slices beside each other, each with what it is about."""
    each = (width - 10 * (len(slices) - 1)) // len(slices)
    return [
        box(x + n * (each + 10), y, each, kind, name, about)
        for n, (name, about) in enumerate(slices)
    ]


def arrow(*points: tuple[int, int]) -> str:
    path = " L".join(f"{x} {y}" for x, y in points)
    return f'<path d="M{path}" class="line" marker-end="url(#tip)"/>'


def architecture() -> str:
    parts = [
        *row(
            14, "box", ("browsers", "the dashboard"), ("games, scripts", "HTTP, WebSockets"), x=150
        ),
        arrow((272, 60), (272, 76)),
        arrow((537, 60), (537, 76)),
        '<rect x="14" y="78" width="660" height="478" rx="10" class="box"/>',
        text(28, 98, "one process", "head", "start"),
        *[
            text(28, y, label, "small", "start")
            for y, label in (
                (135, "faces"),
                (187, "what goes,"),
                (200, "what is kept"),
                (247, "work"),
                (299, "versions"),
                (351, "records"),
                (403, "what, who"),
                (461, "engines: no HTTP,"),
                (474, "no database"),
                (524, "the hallway"),
            )
        ],
        *row(
            110,
            "face",
            ("dashboard", "pages, gfedge.js"),
            ("compat", "Prometheus' API"),
            ("mlflow", "MLflow's API"),
        ),
        *row(
            162,
            "face",
            ("retention", "gc, pins"),
            ("export", "the archive, Parquet"),
            ("backup", "restore, verify"),
        ),
        *row(
            222,
            "work",
            ("ai", "jobs that make pictures"),
            ("training", "jobs that make models"),
            ("alerts", "rules, receivers"),
        ),
        *row(274, "model", ("registry", "model versions: examined, promoted, swapped")),
        *row(
            326,
            "record",
            ("tracking", "experiments, runs"),
            ("assets", "pictures by content"),
            ("monitoring", "metrics, history"),
        ),
        *row(
            378,
            "record",
            ("lineage", "edges: what came from what"),
            ("access", "tokens, sessions, audit"),
        ),
        '<path d="M28 432 H660" class="line" stroke-dasharray="4 4"/>',
        *row(
            442,
            "engine",
            ("promql", "over all steps at once"),
            ("evaluation", "judges of models"),
            ("inference", "ONNX: batches, tiles"),
        ),
        box(
            150,
            500,
            510,
            "hall",
            "wire · db · events · settings · errors · tasks · metrics",
            "a module may import what stands below it; contracts hold that",
        ),
        text(830, 98, "on disk", "head"),
        box(720, 110, 220, "record", "gfedge.duckdb", "all records, one file", "and its mark"),
        box(720, 182, 220, "record", "assets/  artifacts/", "files by their sha256"),
        box(720, 240, 220, "model", "models/", "folders with digests"),
        text(830, 330, "in processes of their own", "head"),
        box(720, 342, 220, "engine", "examination", "of models nobody knows"),
        box(720, 400, 220, "engine", "isolated inference", "on request"),
        box(720, 458, 220, "work", "trainers", "here, or anywhere over HTTP"),
        arrow((660, 525), (694, 525), (694, 144), (718, 144)),
        arrow((660, 455), (706, 455), (706, 420), (718, 420)),
    ]
    return picture(960, 570, parts, "The slices of gfedge and who may import whom")


def job() -> str:
    stages = (
        ("admission", "hall", "size, memory,", "disk, queue"),
        ("commit 1", "record", "the submission,", "then 202"),
        ("queue", "work", "in memory, by", "turns and priority"),
        ("inference", "engine", "batches of steps,", "exact tiles"),
        ("file", "record", "the PNG, named", "by its sha256"),
        ("commit 2", "record", "one row: its run,", "metrics, edges"),
        ("told", "face", "answer, streams,", "trace"),
    )
    parts = [
        box(14 + n * 134, 20, 118, kind, name, *lines)
        for n, (name, kind, *lines) in enumerate(stages)
    ]
    parts += [arrow((132 + n * 134, 50), (146 + n * 134, 50)) for n in range(len(stages) - 1)]
    parts += [text(14, 112, "killed here?", "head", "start")]
    for x, width, words in (
        (14, 252, "nothing was promised"),
        (282, 520, "it runs again: same seed, same model version, same bytes"),
        (818, 118, "it is done, once"),
    ):
        parts.append(f'<path d="M{x} 126 v-6 h{width} v6" class="line"/>')
        parts.append(text(x + width // 2, 144, words, "small"))
    return picture(950, 158, parts, "The life of a job, and what a crash means at each point")


if __name__ == "__main__":
    main()
