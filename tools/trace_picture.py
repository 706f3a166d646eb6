"""Draws a trace as an SVG: `gfedge trace dragon.png --json | python tools/trace_picture.py > docs/trace.svg`.

Columns from the data on the left to the picture on the right, an arrow for each edge of the lineage graph.
"""

from __future__ import annotations

import json
import sys
from html import escape
from typing import Any

COLUMNS = ("dataset", "training_run", "model_version", "job", "asset", "run", "experiment")
COLOURS = {
    "dataset": "#8ecae6",
    "training_run": "#a8dadc",
    "model_version": "#ffd166",
    "job": "#f4a261",
    "asset": "#b5e48c",
    "run": "#cdb4db",
    "experiment": "#cdb4db",
}
WIDTH, HEIGHT, GAP_X, GAP_Y = 190, 78, 40, 24


def facts(node: dict[str, Any]) -> list[str]:
    """Up to two short lines about a node."""
    match node["kind"]:
        case "asset":
            return [f"{node['width']}x{node['height']} PNG", f"sha256 {node['id'][:12]}…"]
        case "job":
            params = node["params"]
            return [params.get("prompt") or f"scale {params['scale']}", f"seed {node['seed']}"]
        case "model_version":
            return [f"digest {node['digest'][:12]}…", node["licence"]]
        case "training_run":
            return [f"{node[k]:,} {k}" for k in ("parameters", "samples") if k in node]
        case "dataset":
            return [str(node.get("licence", "")), str(node.get("digest", ""))[:22]]
        case _:
            return [str(node.get("name", "")), str(node.get("status", ""))]


def places(trace: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Top left corner of each node's box, from the picture back to the data, sources beside what they led to.

    Runs and experiments stand below job and asset.
    """
    targets = {edge["source"]: edge["target"] for edge in reversed(trace["edges"])}
    rows: dict[int, int] = {}
    found: dict[str, tuple[int, int]] = {}
    for kind in ("asset", "job", "run", "experiment", "model_version", "training_run", "dataset"):
        column = {"run": 3, "experiment": 4}.get(kind, COLUMNS.index(kind))
        keys = [f"{kind}:{node['id']}" for node in trace["nodes"] if node["kind"] == kind]
        for key in sorted(keys, key=lambda k: found.get(targets.get(k, ""), (0, 0))[1]):
            row = rows[column] = rows.get(column, -1) + 1
            found[key] = (20 + column * (WIDTH + GAP_X), 20 + row * (HEIGHT + GAP_Y))
    return found


def box(node: dict[str, Any], at: tuple[int, int]) -> str:
    x, y = at
    own = node["kind"] in ("job", "run", "asset", "experiment")
    name = (
        node["kind"]
        if own
        else node["id"].partition("@")[0]
        if node["kind"] == "dataset"
        else node["id"]
    )
    lines = [(node["kind"].replace("_", " "), "#555", "normal")] * (not own) + [
        (name if len(name) < 27 else name[:26] + "…", "#000", "bold"),
        *((line[:28], "#000", "normal") for line in facts(node) if line),
    ]
    texts = "".join(
        f'<text x="{x + 10}" y="{y + 20 + 16 * i}" fill="{colour}" font-weight="{weight}">{escape(line)}</text>'
        for i, (line, colour, weight) in enumerate(lines)
    )
    fill = COLOURS[node["kind"]]
    return f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="8" fill="{fill}"/>{texts}'


def arrow(source: tuple[int, int], target: tuple[int, int]) -> str:
    (x1, y1), (x2, y2) = source, target
    if x1 == x2:
        a, b = (x1 + WIDTH // 2, y1 + HEIGHT), (x2 + WIDTH // 2, y2)
        return f'<path d="M{a[0]} {a[1]} L{b[0]} {b[1]}" class="edge"/>'
    a, b = (x1 + WIDTH, y1 + HEIGHT // 2), (x2, y2 + HEIGHT // 2)
    middle = (a[0] + b[0]) // 2
    return f'<path d="M{a[0]} {a[1]} C{middle} {a[1]} {middle} {b[1]} {b[0]} {b[1]}" class="edge"/>'


def main() -> None:
    trace = json.load(sys.stdin)
    at = places(trace)
    width = max(x for x, _ in at.values()) + WIDTH + 20
    height = max(y for _, y in at.values()) + HEIGHT + 20
    arrows = [arrow(at[e["source"]], at[e["target"]]) for e in trace["edges"]]
    boxes = [box(node, at[f"{node['kind']}:{node['id']}"]) for node in trace["nodes"]]
    print(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'font-family="sans-serif" font-size="12">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#666"/></marker></defs>'
        "<style>.edge{fill:none;stroke:#666;stroke-width:1.5;marker-end:url(#tip)}</style>"
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(arrows)}{"".join(boxes)}</svg>'
    )


if __name__ == "__main__":
    main()
