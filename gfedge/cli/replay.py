"""`gfedge replay`: run a job again as it was recorded, and say whether the same came of it."""

from __future__ import annotations

import argparse
import json
import uuid
from typing import Any
from urllib.parse import quote

from gfedge.cli.client import Server
from gfedge.cli.errors import FAILED
from gfedge.cli.progress import JOBS, finish

SAID = {
    "identical": "identical to the last byte",
    "same_pixels": "the same pixels, in files that differ",
    "different": "different",
    "not_comparable": "not comparable",
}


def run(args: argparse.Namespace) -> int:
    """Exits with 0 where the pixels are the same, else with 1."""
    with Server.of(args) as server:
        path = f"{JOBS}/{quote(args.job, safe='')}/replay"
        answer = server.post(path, b"", media_type="application/json", key=str(uuid.uuid4()))
        job = finish(server, answer.json()["job"])
        replay = server.get(f"{JOBS}/{job['id']}/replay").json()
    print(json.dumps(replay, indent=2) if args.json else "\n".join(readable(replay)))
    return 0 if replay["verdict"] in ("identical", "same_pixels") else FAILED


def readable(replay: dict[str, Any]) -> list[str]:
    """The verdict, the pictures that differ, and why."""
    verdict = SAID.get(str(replay["verdict"]), str(replay["verdict"]))
    lines = [f"job {replay['job']['id']} ran {replay['original']} again: {verdict}"]
    lines += [_line(number, one) for number, one in enumerate(replay["outputs"], 1)]
    return lines + [f"why: {reason}" for reason in replay["reasons"]]


def _line(number: int, one: dict[str, Any]) -> str:
    digests = f"picture {number}: {one['original'][:12]} -> {one['replayed'][:12]}"
    if one["same_bytes"]:
        return f"picture {number}: {one['original'][:12]}, the same file"
    if one["same_pixels"]:
        return f"{digests}, the same pixels"
    if one["psnr"] is None:
        return f"{digests}, of another size, or its file is gone"
    decibels = one["psnr"] if isinstance(one["psnr"], str) else f"{one['psnr']:.1f}"
    ssim = "" if one["ssim"] is None else f", SSIM {one['ssim']:.4f}"
    return f"{digests}, PSNR {decibels} dB{ssim}, largest difference {one['largest_difference']} of 255"
