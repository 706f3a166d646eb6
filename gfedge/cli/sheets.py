"""`gfedge sheet`: pictures to one sheet and its atlas."""

from __future__ import annotations

import argparse
import json
import uuid
from pathlib import Path
from typing import Any

from gfedge.cli import jobs
from gfedge.cli.client import Server
from gfedge.cli.errors import UNUSABLE, CommandError
from gfedge.cli.pictures import SHA256, sent
from gfedge.cli.progress import finish


def run(args: argparse.Namespace) -> int:
    if args.output == jobs.STDOUT:
        raise CommandError("a sheet and its atlas are files: name one with -o", UNUSABLE)
    jobs.check_output(args.output, 1)
    path = Path(args.output)
    with Server.of(args) as server:
        body = {
            "pictures": [sent(server, name) for name in args.pictures],
            "names": names(args.pictures),
            "name": path.stem,
            **_options(args),
        }
        reply = server.post(
            "/api/v1/ai/sheets",
            json.dumps(body).encode(),
            media_type="application/json",
            key=str(uuid.uuid4()),
        )
        job = finish(server, reply.json())
        jobs.save(path, jobs.fetch(server, job["outputs"][0]), job)
        print(path)
        for form in dict.fromkeys(args.atlas or ["json"]):
            _write_atlas(server, job, path, form)
    print(f"trace: {jobs.trace_command(job, path, args.server)}")
    return 0


def names(pictures: list[str]) -> list[str]:
    """The files' names without their endings; those that come twice get a number."""
    found: list[str] = []
    for picture in pictures:
        stem = picture[:12] if SHA256.fullmatch(picture) else Path(picture).stem
        name, number = stem, 2
        while name in found:
            name, number = f"{stem}-{number}", number + 1
        found.append(name)
    return found


def _options(args: argparse.Namespace) -> dict[str, Any]:
    found = {name: getattr(args, name) for name in ("columns", "padding", "experiment")}
    found["power_of_two"] = args.power_of_two or None
    return {name: value for name, value in found.items() if value is not None}


def _write_atlas(server: Server, job: dict[str, Any], path: Path, form: str) -> None:
    ending = {"json": ".json", "godot": ".tres", "unity": ".png.meta"}[form]
    target = path.with_name(path.stem + ending)
    reply = server.get(f"/api/v1/ml-platform/ai-jobs/{job['id']}/atlas?format={form}")
    jobs.save(target, reply.body, job)
    print(target)
