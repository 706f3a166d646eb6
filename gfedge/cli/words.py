"""`gfedge words`: what a model knows, and how it reads a prompt."""

from __future__ import annotations

import argparse
import json
import textwrap
from typing import Any
from urllib.parse import urlencode

from gfedge.cli.client import Server


def run(args: argparse.Namespace) -> int:
    query = {"words": " ".join(args.prompt), "model": args.model}
    query = {name: value for name, value in query.items() if value}
    with Server.of(args) as server:
        path = "/api/v1/ai/vocabulary"
        found = server.get(f"{path}?{urlencode(query)}" if query else path).json()
    if args.json:
        print(json.dumps(found, indent=1))
    elif args.prompt:
        for word in found["looked_up"]:
            print(f"{word['word']}: {reading(word)}")
    else:
        _list(found, everything=args.all)
    return 0


def reading(word: dict[str, Any]) -> str:
    """How a word is read."""
    near = ", ".join(word["nearest"])
    if not word["means"]:
        return f"unknown; nearest: {near}" if near else "unknown, and nothing is near"
    read = "known" if word["means"] == word["word"] else f"read as {word['means']}"
    if not word["undocumented"]:
        return read
    return f"{read}, but not found to be drawn" + (f"; nearest: {near}" if near else "")


def _list(found: dict[str, Any], *, everything: bool) -> None:
    words = [word["word"] for word in found["words"]] if everything else found["documented"]
    if not words:
        print(
            f"{found['model']} names no words that it was found to draw: --all shows all it knows"
        )
    print("\n".join(textwrap.wrap(", ".join(words), 100)))
    if found["styles"]:
        print(f"styles: {', '.join(found['styles'])}")
    if not everything:
        print(f"{found['model']} knows {len(found['words'])} words (--all)")
