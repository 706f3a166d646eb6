"""`gfedge export`: the archive brought up to date by the server that runs, and copied from there; else made here."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gfedge.cli.access import of_folder
from gfedge.cli.backup import PATIENCE_SECONDS, offline
from gfedge.cli.client import NoServer, Refused, Server
from gfedge.cli.errors import UNUSABLE, CommandError

if TYPE_CHECKING:
    from gfedge.db import Database
    from gfedge.export.types import Contents, File
    from gfedge.settings import Settings

EXPORTS = "/api/v1/admin/exports"
LOOK_SECONDS = 0.2
TRIES = 5
"""Of a copy, while the server goes on exporting."""
DAYS = re.compile(r"([1-9]\d{0,4})d")


def run(args: argparse.Namespace) -> int:
    """Export, and say what came of it."""
    wanted = {"tables": _tables(args), "since": _since(args.since)}
    try:
        with of_folder(args, PATIENCE_SECONDS) as server:
            done = _through(server, wanted)
            copied = (
                _copied(server, Path(args.to).expanduser().absolute(), wanted) if args.to else {}
            )
    except NoServer:
        done = offline(
            args,
            lambda db, settings: _here(args, db, settings, wanted),
            lambda settings: _root(args, settings),
        )
        copied = {}
    if args.json:
        print(json.dumps({**done, **copied}, indent=2))
    else:
        print("\n".join(_readable(done, copied)))
    return 0


def _readable(done: Mapping[str, Any], copied: Mapping[str, Any]) -> list[str]:
    export = done["export"]
    lines = [
        f"{done['folder']}: {export['files']} files written ({export['rows']} rows, {export['bytes'] / 1e6:.1f} MB), "
        f"{export['files_unchanged']} as they were"
        + (f", {export['removed']} too old and removed" if export["removed"] else "")
    ]
    if copied:
        lines.append(
            f"{copied['to']}: {copied['copied']} files copied, {copied['there']} were there"
        )
    return lines


def _tables(args: argparse.Namespace) -> list[str]:
    """The names, told early where one is none; the server knows them, but not in words as short."""
    if not args.tables:
        return []
    from gfedge.export.tables import NAMES

    found = [name.strip() for name in args.tables.split(",") if name.strip()]
    if unknown := sorted(set(found) - set(NAMES)):
        raise CommandError(
            f"no table is called {unknown[0]!r}; there are {', '.join(NAMES)}", UNUSABLE
        )
    return found


def _since(text: str | None) -> str:
    """A date, of a date or a number of days back (30d)."""
    if not text:
        return ""
    if days := DAYS.fullmatch(text):
        return (datetime.now(UTC) - timedelta(int(days[1]))).date().isoformat()
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date().isoformat()
    except ValueError:
        raise CommandError(f"--since {text}: write it as 2026-11-23, or 30d", UNUSABLE) from None


# Through a server


def _through(server: Server, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Has the server export, showing how far it is; gives its archive as it is then."""
    body = json.dumps(wanted).encode()
    while True:
        try:
            begun = server.post(EXPORTS, body, media_type="application/json").json()["id"]
            break
        except Refused as refused:
            if refused.problem.get("code") != "export_running":
                raise
            _followed(server, "")
    return _followed(server, begun)


def _followed(server: Server, export_id: str) -> dict[str, Any]:
    """Waits until an export has ended (any, where none is named)."""
    while True:
        archive = server.get(EXPORTS).json()
        export = archive["export"]
        if export_id and export["id"] != export_id:
            raise CommandError(
                "another export began before this one was seen to end: gfedge export again"
            )
        if export["state"] != "running":
            _show("")
            if export["state"] == "failed" and export_id:
                raise CommandError(f"the export failed: {export['error']}")
            return archive
        _show(f"{export['files']} of {export['files_total']} files, {export['table']}")
        time.sleep(LOOK_SECONDS)


def _show(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _copied(server: Server, target: Path, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Copies what is new of the server's archive to a folder; whole or as it was, file by file."""
    for _ in range(TRIES):
        try:
            return _copy(server, target, wanted)
        except _Changed:
            continue
        except OSError as error:
            raise CommandError(f"{target} cannot be written: {error.strerror or error}") from None
    raise CommandError("the server's archive changed again and again meanwhile: try again later")


class _Changed(Exception):
    """A file was written anew between the reading of the contents and its own."""


def _copy(server: Server, target: Path, wanted: Mapping[str, Any]) -> dict[str, Any]:
    import msgspec

    from gfedge.errors import ApiError
    from gfedge.export.folder import CONTENTS, Folder
    from gfedge.export.types import Contents

    made = msgspec.json.decode(server.get(f"{EXPORTS}/{CONTENTS}").body, type=Contents)
    chosen = {name: file for name, file in made.files.items() if _is_chosen(file, wanted)}
    folder = Folder(target)
    try:
        folder.open()
    except ApiError as error:
        raise CommandError(error.detail, UNUSABLE) from None
    folder.begin()
    missing = {
        name: file
        for name, file in chosen.items()
        if not (folder.whole(name) and folder.files[name].sha256 == file.sha256)
    }
    _check_room(target, sum(file.bytes for file in missing.values()))
    for number, (name, file) in enumerate(missing.items()):
        _show(f"{number} of {len(missing)} files copied, {name}")
        part = folder.part(name)
        server.save(f"{EXPORTS}/{name}", part)
        _check_digest(part, file)
        folder.place(name, file)
    _show("")
    folder.finish(_contents(made, folder.entries(made.tables, folder.files), folder.files))
    return {"to": str(target), "copied": len(missing), "there": len(chosen) - len(missing)}


def _is_chosen(file: File, wanted: Mapping[str, Any]) -> bool:
    of_table = not wanted["tables"] or file.table in wanted["tables"]
    return of_table and (file.date is None or file.date >= wanted["since"])


def _contents(made: Contents, tables: Any, files: Mapping[str, File]) -> Contents:
    import msgspec

    rows = {name: entry.rows for name, entry in tables.items()}
    return msgspec.structs.replace(
        made, rows=rows, tables=tables, files=dict(sorted(files.items()))
    )


def _check_digest(part: Path, file: File) -> None:
    from gfedge.backup.files import digest

    if digest(part) != file.sha256:
        part.unlink()
        raise _Changed


def _check_room(target: Path, needed: int) -> None:
    free = shutil.disk_usage(target).free
    if free < needed:
        raise CommandError(
            f"{target} has {free / 1e6:.1f} MB free, and {needed / 1e6:.1f} MB are to come"
        )


# Without one


def _root(args: argparse.Namespace, settings: Settings) -> Path:
    return Path(args.to).expanduser().absolute() if args.to else settings.exports


async def _here(
    args: argparse.Namespace, db: Database, settings: Settings, wanted: Mapping[str, Any]
) -> Any:
    import msgspec

    from gfedge.export.exporter import Exporter
    from gfedge.export.types import ExportRequest

    root = _root(args, settings)
    exporter = Exporter(db, root)
    request = msgspec.convert(wanted, ExportRequest)
    exporter.begin(request, "gfedge export")
    done = await exporter.run(request, settings.export_keep_days, settings.min_free_disk)
    return {"folder": str(root), "export": msgspec.to_builtins(done)}
