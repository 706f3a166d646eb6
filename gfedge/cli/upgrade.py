"""`gfedge upgrade`: what this version would change in the data, and the steps of an upgrade; it changes nothing itself.

Run with the new version, while the old one still serves.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

import gfedge
from gfedge.cli.access import of_folder
from gfedge.cli.backup import offline
from gfedge.cli.client import ANSWER_SECONDS, NoServer
from gfedge.cli.errors import UNUSABLE, CommandError

if TYPE_CHECKING:
    from gfedge.db import Database
    from gfedge.settings import Settings

SCHEMA = "/api/v1/admin/schema"
STEPS = """\
1. gfedge backup DIR
2. restart the server with this version (systemctl restart gfedge; docker compose up -d --build; or stop it and `gfedge serve`):
   running jobs get `shutdown_grace` to end, the others run after the start
3. gfedge doctor; gfedge verify
Back: an older version refuses newer tables. Restore the backup into a new folder, `gfedge restore DIR --data NEW`, and serve that."""


def run(args: argparse.Namespace) -> int:
    """Print what is to come; 2 where the data is of a newer version."""
    from gfedge import migrate

    where, served, found = _found(args)
    known, applied = migrate.names(), set(found["migrations"])
    if newer := sorted(applied - set(known)):
        raise CommandError(
            f"{where} is of a newer gfedge than this {gfedge.__version__} ({newer[0]} is unknown here): take that version, or "
            "restore an older backup into a new folder",
            UNUSABLE,
        )
    missing = [name for name in known if name not in applied]
    if args.json:
        told = {"version": gfedge.__version__, "serves": served, "to_come": missing}
        print(json.dumps({**told, **found}, indent=2))
        return 0
    print(
        f"{where}: {f'gfedge {served} serves it' if served else 'no server runs on it'}; this is gfedge {gfedge.__version__}"
    )
    print("\n".join(_changes(missing, found)), STEPS, sep="\n")
    return 0


def _found(args: argparse.Namespace) -> tuple[str, str, dict[str, Any]]:
    """What was asked, the version that serves it, and what made its tables."""
    from gfedge.cli.serve import load

    try:
        with of_folder(args, ANSWER_SECONDS) as server:
            served = server.get("/health").json()["version"]
            return server.address, served, server.get(SCHEMA).json()
    except NoServer:
        return str(load(args).data), "", offline(args, _schema_here)


async def _schema_here(db: Database, _: Settings) -> Any:
    from gfedge.backup.schema import schema

    return await schema(db)


def _changes(missing: list[str], found: dict[str, Any]) -> list[str]:
    if not missing:
        return ["its tables are those of this version: nothing in the data changes"]
    size, free = (found[name] / 1e6 for name in ("database_bytes", "free_bytes"))
    lines = [f"at the start its tables change, by {len(missing)} migrations: {', '.join(missing)}"]
    copied = f"the database ({size:.1f} MB) is copied beside it before, into backups/"
    if size > free:
        return [*lines, f"WARNING: {copied}, and {free:.1f} MB are free: make room first"]
    return [*lines, f"{copied}; {free:.1f} MB are free"]
