"""`gfedge gc`: remove what the retention policy lets go, through the running server or, where none runs, by itself."""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any

from gfedge.cli.access import of_folder
from gfedge.cli.client import NoServer
from gfedge.cli.errors import UNUSABLE, CommandError
from gfedge.cli.serve import load
from gfedge.settings import Settings

GC = "/api/v1/ml-platform/gc"
BOUNDS = ("keep_job_days", "keep_jobs", "keep_job_bytes", "restore_days")
PATIENCE_SECONDS = 3600.0
UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")
SHOWN = 20


def run(args: argparse.Namespace) -> int:
    """Collect and print the report."""
    report = _collect(args)
    print(json.dumps(report, indent=2) if args.json else "\n".join(readable(report)))
    return 0


def _collect(args: argparse.Namespace) -> dict[str, Any]:
    settings = load(args)
    asked = {name: getattr(settings, name) for name in BOUNDS if getattr(args, name)}
    body = json.dumps({"dry_run": args.dry_run, **asked}).encode()
    try:
        with of_folder(args, PATIENCE_SECONDS) as server:
            return server.request(
                "POST", GC, body, {"Content-Type": "application/json"}, again=False
            ).json()
    except NoServer:
        return _by_itself(settings, args)


def _by_itself(settings: Settings, args: argparse.Namespace) -> dict[str, Any]:
    """On the data folder, which no server holds."""
    import msgspec

    from gfedge import migrate
    from gfedge.db import Database, DatabaseRefused
    from gfedge.retention.collector import Collector
    from gfedge.retention.types import Policy

    path = settings.data / "gfedge.duckdb"
    if not path.is_file():
        text = f"no server answers, and there is no data in {settings.data}"
        raise CommandError(f"{text}: say where with --server or --data", UNUSABLE)
    db = Database(path)
    try:
        db.open(migrate.migrate)
    except (DatabaseRefused, migrate.SchemaRefused) as error:
        db.close()
        raise CommandError(f"no server answers, and {error}", UNUSABLE) from None
    try:
        collector = Collector(db, settings.data)
        report = asyncio.run(
            collector.collect(Policy.of(settings), dry_run=args.dry_run, by="gfedge gc")
        )
    finally:
        db.close()
    found: dict[str, Any] = msgspec.to_builtins(report)
    return found


def readable(report: dict[str, Any]) -> list[str]:
    """What went, or would go, by kind; then one line each for the first of them."""
    verb = "would remove" if report["dry_run"] else "removed"
    totals = [f"{t['count']} {kind}{_size(t['bytes'])}" for kind, t in report["totals"].items()]
    lines = [
        f"{verb} {', '.join(totals) or 'nothing'}{_size(report['bytes'], ': {} of files in all')}"
    ]
    lines += [
        f"  {one['kind']} {one['id']}{_size(one['bytes'])}: {one['reason']}"
        for one in report["removed"][:SHOWN]
    ]
    lines += [f"  kept {k['kind']} {k['id']}: {k['reason']}" for k in report["kept"][:SHOWN]]
    left = len(report["removed"]) - SHOWN + len(report["kept"][SHOWN:])
    if len(report["removed"]) > SHOWN or len(report["kept"]) > SHOWN:
        lines.append(f"  … and {max(left, 0)} more (--json shows up to 1000 of each)")
    if report["young"]:
        lines.append(
            f"{report['young']} files are too new to tell whether anything needs them: left"
        )
    return lines


def _size(count: int, form: str = " ({})") -> str:
    if not count:
        return ""
    size, unit = float(count), 0
    while size >= 1024 and unit < len(UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return form.format(f"{size:.1f} {UNITS[unit]}" if unit else f"{count} bytes")
