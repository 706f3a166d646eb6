"""`gfedge backup`, `restore` and `verify`: of a running server by asking it, else of the data folder itself."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gfedge.cli.access import of_folder
from gfedge.cli.client import NoServer
from gfedge.cli.errors import FAILED, UNUSABLE, CommandError
from gfedge.cli.serve import load

if TYPE_CHECKING:
    from gfedge.db import Database
    from gfedge.settings import Settings

BACKUPS = "/api/v1/admin/backups"
PATIENCE_SECONDS = 24 * 3600.0
"""A server with many files answers when it is done."""


def backup(args: argparse.Namespace) -> int:
    """Back up to a folder that is not there yet."""
    from gfedge.backup import files

    target = Path(args.folder).expanduser().absolute()
    if target.exists():
        raise CommandError(f"{target} is there already: name a new folder", UNUSABLE)
    try:
        with of_folder(args, PATIENCE_SECONDS) as server:
            made = server.post(BACKUPS, b"{}", media_type="application/json").json()
    except NoServer:
        made = offline(args, _make_here)
    made_at = Path(made["path"])
    if not made_at.is_dir():
        raise CommandError(f"the server made it on its own machine: {made_at}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        files.move(made_at, target)
    except OSError as error:
        raise CommandError(f"the backup stands at {made_at}, not at {target}: {error}") from None
    if made_at.exists():
        print(f"warning: {made_at} could not be removed: it is a second copy", file=sys.stderr)
    print(f"{target}: {made['files']} files, {made['rows']} rows, {made['bytes'] / 1e6:.1f} MB")
    return 0


def restore(args: argparse.Namespace) -> int:
    """Restore a backup into a new data folder."""
    from gfedge.backup.restore import restore as copy
    from gfedge.errors import ApiError

    data = Path(args.data).expanduser().absolute()
    try:
        manifest = copy(Path(args.backup).absolute(), data, _count)
    except ApiError as error:
        raise CommandError(error.detail) from None
    except OSError as error:
        raise CommandError(f"the backup cannot be restored: {error}") from None
    print(f"restored {len(manifest.files)} files and {sum(manifest.rows.values())} rows to {data}")
    print(f"serve them with: gfedge serve --data {data}")
    return 0


def verify(args: argparse.Namespace) -> int:
    """Verify a backup, or what a server or a data folder holds; 1 where something is wrong."""
    found = _verification(args)
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        looked = ", ".join(f"{count} {kind}s" for kind, count in found["checked"].items())
        print(f"looked at {looked.replace('_', ' ')}")
        for fault in found["faults"]:
            print(f"{fault['kind'].replace('_', ' ')} {fault['id']}: {fault['text']}")
        print("all is sound" if found["sound"] else f"{len(found['faults'])} things are wrong")
    return 0 if found["sound"] else FAILED


def _verification(args: argparse.Namespace) -> dict[str, Any]:
    from gfedge.backup.verify import verify_backup
    from gfedge.errors import ApiError

    if args.backup is not None:
        try:
            return _plain(verify_backup(Path(args.backup).absolute()))
        except ApiError as error:
            raise CommandError(error.detail, UNUSABLE) from None
    try:
        with of_folder(args, PATIENCE_SECONDS) as server:
            return server.post("/api/v1/admin/verify", b"{}", media_type="application/json").json()
    except NoServer:
        return offline(args, _verify_here)


def offline(
    args: argparse.Namespace,
    work: Callable[[Database, Settings], Awaitable[Any]],
    writes_to: Callable[[Settings], Path] | None = None,
) -> dict[str, Any]:
    """Does the work on the data folder itself, which no server uses.

    What writes Parquet says where DuckDB may do so; it needs the tables of today too.
    """
    from gfedge import migrate
    from gfedge.db import Database, DatabaseRefused
    from gfedge.errors import ApiError

    async def run() -> Any:
        database.open(*([migrate.migrate] if writes_to else []))
        try:
            return await work(database, settings)
        finally:
            await asyncio.to_thread(database.close)

    settings = load(args)
    try:
        path = settings.data / "gfedge.duckdb"
        if not path.is_file():
            raise CommandError(
                f"no server answers, and no database is in {settings.data} (--data)",
                UNUSABLE,
            )
        database = Database(path, folders=[writes_to(settings)] if writes_to else [])
        return _plain(asyncio.run(run()))
    except (DatabaseRefused, migrate.SchemaRefused) as error:
        raise CommandError(str(error), UNUSABLE) from None
    except ApiError as error:
        raise CommandError(error.detail) from None
    except OSError as error:
        text = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise CommandError(text) from None


async def _make_here(db: Database, settings: Settings) -> Any:
    from gfedge.backup.backups import BackupFolder

    folder = BackupFolder(db, settings.data)
    folder.open()
    return await folder.make(None)


async def _verify_here(db: Database, settings: Settings) -> Any:
    from gfedge.backup.verify import verify as look

    return await look(db, settings.data, (settings.models, settings.data / "models"))


def _plain(struct: Any) -> dict[str, Any]:
    import msgspec

    found: dict[str, Any] = msgspec.to_builtins(struct)
    return found


def _count(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {total} files", end="\n" if done == total else "", file=sys.stderr)
