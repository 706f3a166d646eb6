"""`gfedge models`: the model versions of a running server, and which one serves."""

from __future__ import annotations

import argparse
import getpass
import json
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode

from gfedge.cli.client import Refused, Server
from gfedge.cli.errors import UNUSABLE, CommandError

MODELS = "/api/v1/ml-platform/models"
PATIENCE_SECONDS = 900.0
"""Gates run both versions several times, and a large model takes its time to come."""


def run(args: argparse.Namespace) -> int:
    """Run one of the subcommands."""
    known: dict[str, Callable[[Server, argparse.Namespace], dict[str, Any]]] = {
        "list": _list,
        "show": _show,
        "register": _register,
        "promote": _promote,
        "rollback": _rollback,
        "history": _history,
    }
    with Server.of(args, PATIENCE_SECONDS) as server:
        try:
            answer = known[args.action](server, args)
        except Refused as refused:
            for line in _gates(refused.problem.get("gates", [])):
                print(line)
            raise
    if args.json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        print("\n".join(_lines(args.action, answer)))
    return 0


def _list(server: Server, args: argparse.Namespace) -> dict[str, Any]:
    return server.get(MODELS).json()


def _show(server: Server, args: argparse.Namespace) -> dict[str, Any]:
    name, _, label = args.model.partition("@")
    below = f"/versions/{quote(label, safe='')}" if label else ""
    return server.get(f"{_path(name)}{below}").json()


def _history(server: Server, args: argparse.Namespace) -> dict[str, Any]:
    return server.get(f"{_path(args.model)}/history").json()


def _rollback(server: Server, args: argparse.Namespace) -> dict[str, Any]:
    body = {"reason": args.reason or "", "by": _user()}
    return _post(server, f"{_path(args.model)}/rollback", body)


def _promote(server: Server, args: argparse.Namespace) -> dict[str, Any]:
    body = {
        "reason": args.reason or "",
        "by": _user(),
        "force": args.force,
        "dry_run": args.dry_run,
        **({"stage": args.stage} if args.stage else {}),
    }
    return _post(server, f"{_path(args.model)}/promote", body)


def _register(server: Server, args: argparse.Namespace) -> dict[str, Any]:
    told = {"version": args.version, "note": args.note, "source_run": args.run}
    return register(server, Path(args.path), args.name, **told)


def register(server: Server, path: Path, name: str | None, **told: str | None) -> dict[str, Any]:
    """Send a folder as a tar, anything else as it is."""
    if not path.exists():
        raise CommandError(f"there is no {path}", UNUSABLE)
    told = {"name": name, **told, "by": _user()}
    query = urlencode({key: value for key, value in told.items() if value})
    if path.is_file():
        with path.open("rb") as file:
            return _upload(server, file, path.stat().st_size, query, name)
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            for one in sorted(one for one in path.iterdir() if one.is_file()):
                archive.add(one, one.name, recursive=False)
        size = file.tell()
        file.seek(0)
        return _upload(server, file, size, query, None)


def _upload(
    server: Server, file: BinaryIO, size: int, query: str, name: str | None
) -> dict[str, Any]:
    """To the model by its name where one is given: a graph alone then takes the manifest of the newest version."""
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
    path = f"{_path(name)}/versions" if name else MODELS
    reply = server.request("POST", f"{path}?{query}", file, headers, again=False)
    return {**reply.json(), "new": reply.status == 201}


def _post(server: Server, path: str, body: dict[str, Any]) -> dict[str, Any]:
    data = json.dumps(body).encode()
    return server.request(
        "POST", path, data, {"Content-Type": "application/json"}, again=False
    ).json()


def _path(model: str) -> str:
    return f"{MODELS}/{quote(model, safe='@')}"


def _user() -> str:
    """Who runs this; a server that asks for tokens goes by the token's name instead."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


# What is printed


def _lines(action: str, answer: dict[str, Any]) -> list[str]:
    if action == "list":
        return _all(answer)
    if action == "show":
        versions = answer.get("versions")
        return _facts(answer) if versions is None else [_version(one, answer) for one in versions]
    if action == "register":
        word = "registered" if answer["new"] else "these files are"
        return [f"{word} {answer['id']} ({answer['stage']}), sha256 {answer['digest']}"]
    if action == "history":
        return [_change(change) for change in answer["changes"]]
    gates = _gates(answer["gates"])
    if answer["dry_run"]:
        verdict = "would pass" if answer["passed"] else "would not pass"
        return [*gates, f"{answer['name']}@{answer['version']} {verdict} to {answer['to_stage']}"]
    before = f", before it {answer['replaced']}" if answer["replaced"] else ""
    return [*gates, f"{answer['name']}@{answer['version']} is in {answer['to_stage']}{before}"]


def _all(answer: dict[str, Any]) -> list[str]:
    lines = [_version(one, model) for model in answer["models"] for one in model["versions"]]
    lines += [f"refused: {one['reason']}" for one in answer["refused"]]
    return lines or ["no model is here"]


def _version(one: dict[str, Any], model: dict[str, Any]) -> str:
    serves = "*" if one["id"] == model["serving"] else " "
    labels = " ".join(f"@{alias}" for alias in one["aliases"])
    return (
        f"{serves} {one['id']:<24} {one['stage']:<9} {one['kind']:<9} "
        f"{one['bytes'] / 1e6:8.1f} MB  {one['digest'][:12]}  {one['state']} {labels}"
    ).rstrip()


def _facts(version: dict[str, Any]) -> list[str]:
    shown = {k: v for k, v in version.items() if v not in ("", [], {}, None)}
    return [
        f"{key:<15} {value if isinstance(value, str | int | float) else json.dumps(value)}"
        for key, value in shown.items()
    ]


def _gates(gates: list[dict[str, Any]]) -> list[str]:
    return [
        f"{'passed' if gate['passed'] else 'FAILED'}  {gate['gate']:<18} "
        f"{_figure(gate['figure']):>10} {_figure(gate['bound']):>10}  {gate['note']}".rstrip()
        for gate in gates
    ]


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _change(change: dict[str, Any]) -> str:
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(change["changed_at"]))
    stages = f" {change['from_stage']} -> {change['to_stage']}" if change["to_stage"] else ""
    forced = " (forced)" if change["forced"] else ""
    reason = f": {change['reason']}" if change["reason"] else ""
    what = change["action"].replace("_", " ")
    return f"{at}  {change['version']:<6} {what}{stages}{forced} by {change['by']}{reason}"
