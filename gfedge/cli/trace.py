"""`gfedge trace`: where a picture came from, by its file, its job or its digest."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gfedge.cli.client import Refused, Server
from gfedge.cli.errors import UNUSABLE, CommandError
from gfedge.cli.jobs import media_type, read_picture
from gfedge.cli.progress import JOBS

LABELS = {
    "model_version": "model",
    "training_run": "training run",
    "training_job": "training job",
}
LONG_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
DIGEST = re.compile(r"[0-9a-f]{64}")
JOB_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
VISIBLE = re.compile(r"[!-~]{1,300}")
CHUNK = "gfedge"
NOT_FOUND, TOO_LARGE = 404, 413
LONGEST_VALUE = 100


def run(args: argparse.Namespace) -> int:
    """Ask the server and print its answer."""
    with Server.of(args) as server:
        trace = _ask(server, args.subject)
    if args.json:
        print(json.dumps(trace, indent=2, ensure_ascii=False))
    else:
        print("\n".join(readable(trace, _draws(sys.stdout.encoding), args.facts)))
    return 0


def _ask(server: Server, subject: str) -> dict[str, Any]:
    if subject == "-" or Path(subject).exists():
        return _ask_of_file(server, read_picture(subject))
    if DIGEST.fullmatch(subject):
        return server.get(f"/api/v1/assets/{subject}/trace").json()
    if JOB_ID.fullmatch(subject):
        return server.get(f"{JOBS}/{subject}/trace").json()
    text = f"there is no file {subject}, and it is not the id of a job or the sha256 of an asset"
    raise CommandError(text, UNUSABLE)


def _ask_of_file(server: Server, body: bytes) -> dict[str, Any]:
    """By the digest, for which the file need not be sent; else by the file, which the server may know by its pixels."""
    try:
        return server.get(f"/api/v1/assets/{hashlib.sha256(body).hexdigest()}/trace").json()
    except Refused as refused:
        if refused.status != NOT_FOUND:
            raise
    try:
        return server.post("/api/v1/trace", body, media_type=media_type(body)).json()
    except Refused as refused:
        elsewhere = _named_in(body) if refused.status in (NOT_FOUND, TOO_LARGE) else None
        if elsewhere is None or _origin(elsewhere) == _origin(server.address):
            raise
        text = str(refused)
        if elsewhere not in text:
            text = f"{text}; its metadata names {elsewhere}: ask there"
        raise CommandError(f"{text} (--server {_origin(elsewhere)})") from None


def _named_in(body: bytes) -> str | None:
    """The trace address in the picture's own metadata, if it is one that can be shown."""
    from gfedge.inference import png

    try:
        found = json.loads(png.texts(body, (CHUNK,)).get(CHUNK, ""))
        address = str(found["trace"])
        usable = urlsplit(address).scheme in ("http", "https") and bool(urlsplit(address).hostname)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return address if usable and VISIBLE.fullmatch(address) else None


def _origin(address: str) -> str:
    url = urlsplit(address)
    return f"{url.scheme}://{url.netloc}"


def _draws(encoding: str | None) -> bool:
    try:
        "└─".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def readable(trace: dict[str, Any], draws: bool = True, facts: bool = False) -> list[str]:
    """The trace as a tree from its subject back to the sources, with `facts` every node's besides."""
    how = trace.get("matched")
    return [
        *([f"recognised by its {how}"] if how and how != "bytes" else []),
        *Tree(trace, draws).lines(),
        *(text for node in (trace.get("nodes") or []) * facts for text in ("", *_node(node))),
    ]


class Tree:
    """The graph drawn as a tree: under each node what it came from, and where it is recorded."""

    def __init__(self, trace: dict[str, Any], draws: bool) -> None:
        self._branch, self._last, self._stem = (
            ("├─ ", "└─ ", "│  ") if draws else ("+- ", "+- ", "|  ")
        )
        nodes = trace.get("nodes") or []
        self._texts = {_key(node): _line(node, trace.get("chain") or []) for node in nodes}
        self._edges = [edge for edge in trace.get("edges") or [] if self._known(edge)]
        self._subject = str(trace.get("subject") or next(iter(self._texts), ""))
        self._drawn: set[str] = set()

    def lines(self) -> list[str]:
        """The tree of the subject, and of whatever it does not lead to."""
        starts = [self._subject, *self._texts] if self._subject in self._texts else self._texts
        return [line for key in starts if key not in self._drawn for line in self._from(key)]

    def _known(self, edge: dict[str, Any]) -> bool:
        return edge.get("source") in self._texts and edge.get("target") in self._texts

    def _below(self, key: str) -> list[str]:
        """What a node came from, then its record, then (for the subject) what it made."""
        sources = [edge["source"] for edge in self._edges if edge["target"] == key]
        records = [edge["target"] for edge in self._edges if edge["source"] == key]
        records = [k for k in records if key == self._subject or _is_record(k)]
        below = records if _is_record(key) else [*sources, *records]
        return [found for found in dict.fromkeys(below) if found not in self._drawn]

    def _from(self, key: str) -> list[str]:
        self._drawn.add(key)
        below = [self._from(child) for child in self._below(key) if child not in self._drawn]
        drawn = [self._texts[key]]
        for number, (top, *others) in enumerate(below, 1):
            last = number == len(below)
            first, rest = (self._last, "   ") if last else (self._branch, self._stem)
            drawn += [first + top, *(rest + other for other in others)]
        return drawn


def _is_record(key: str) -> bool:
    return key.startswith(("run:", "experiment:"))


def _key(node: dict[str, Any]) -> str:
    return f"{node.get('kind')}:{node.get('id')}"


def _line(node: dict[str, Any], chain: list[str]) -> str:
    """The server's own words for a node, with digests cut to what people compare."""
    name = f"{LABELS.get(str(node.get('kind')), node.get('kind'))} {node.get('id')}"
    text = next(
        (str(said) for said in chain if said == name or said.startswith((f"{name} ", f"{name}:"))),
        name,
    )
    return LONG_DIGEST.sub(r"\1", text)


def _node(node: dict[str, Any]) -> list[str]:
    facts = {name: value for name, value in node.items() if name not in ("kind", "id")}
    shown = [
        f"    {name}: {_short(value, None if name == 'params' else LONGEST_VALUE)}"
        for name, value in facts.items()
        if _worth_saying(value)
    ]
    return [f"{node.get('kind')} {node.get('id')}", *shown]


def _worth_saying(value: object) -> bool:
    return value is not None and value != "" and value != [] and value != {}


def _short(value: object, longest: int | None) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if longest is None or len(text) <= longest else text[: longest - 3] + "..."
