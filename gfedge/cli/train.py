"""`gfedge train`: what can be trained, start it, watch it, stop it."""

from __future__ import annotations

import argparse
import json
import sys
import time
import uuid
from typing import Any
from urllib.parse import quote

from gfedge.cli.client import Refused, Server
from gfedge.cli.errors import FAILED, UNUSABLE, CommandError

JOBS = "/api/v1/ml-platform/training-jobs"
ENDED = ("succeeded", "failed", "cancelled")
LOOK_SECONDS = 0.5


def run(args: argparse.Namespace) -> int:
    if args.action == "sprites":
        from gfedge.cli import sprites_train

        return sprites_train.run(args)
    with Server.of(args) as server:
        match args.action:
            case "entry-points":
                return entry_points(server)
            case "start":
                return start(server, args)
            case "log":
                return log(server, args.job, follow=args.follow)
            case "cancel":
                job = server.delete(_path(args.job)).json()
                print(f"{job['id']} {job['state']}: {job['reason'] or 'cancelled'}")
                return 0
            case _:
                return listing(server, args.state)


def entry_points(server: Server) -> int:
    """Names, parameters with their defaults, and what is missing."""
    for entry in server.get(f"{JOBS}/entry-points").json()["entry_points"]:
        print(f"{entry['name']}  {entry['title']}")
        for name, param in entry["params"].items():
            given = "needed" if param["default"] is None else f"default {param['default']}"
            print(f"    {name}={param['type']}  ({given}) {param['help']}".rstrip())
        if entry["problem"]:
            print(f"    cannot be started: {entry['problem']}")
    return 0


def listing(server: Server, state: str) -> int:
    query = f"?state={quote(state)}" if state else ""
    jobs = server.get(f"{JOBS}{query}").json()["jobs"]
    if not jobs:
        print("no training jobs (`gfedge train start NAME` begins one)", file=sys.stderr)
    for job in jobs:
        print(f"{job['id']}  {job['state']:<9}  {_how_far(job):>5}  {job['name']}")
    return 0


def start(server: Server, args: argparse.Namespace) -> int:
    """Starts a job; with --follow its log is shown and its end decides the exit code."""
    known = {e["name"]: e for e in server.get(f"{JOBS}/entry-points").json()["entry_points"]}
    types = {k: p["type"] for k, p in known.get(args.entry_point, {"params": {}})["params"].items()}
    body: dict[str, Any] = {
        "entry_point": args.entry_point,
        "backend": args.backend,
        "params": dict(_param(text, types) for text in args.param),
    }
    for name in ("name", "experiment", "model"):
        if (value := getattr(args, name)) is not None:
            body[name] = value
    return begun(server, body, follow=args.follow)


def begun(server: Server, body: dict[str, Any], *, follow: bool) -> int:
    """A job of the server: its id, and where it is followed its log."""
    sent = json.dumps(body).encode()
    reply = server.post(JOBS, sent, media_type="application/json", key=str(uuid.uuid4()))
    job = reply.json()
    if data := job["params"].get("data"):
        print(f"reads {data}", file=sys.stderr)
    print(job["id"], flush=True)
    return log(server, job["id"], follow=True) if follow else 0


def evaluate(args: argparse.Namespace) -> int:
    """`gfedge evaluate`: a job that gives a registered version its score."""
    params = {"model": args.model, "judge": args.judge, "judge_minutes": args.judge_minutes}
    if args.data:
        params["data"] = f"{args.data.removesuffix('.npz')}.npz"
    given = {name: value for name, value in params.items() if value is not None}
    with Server.of(args) as server:
        return begun(server, {"entry_point": "evaluate", "params": given}, follow=args.follow)


def log(server: Server, job_id: str, *, follow: bool) -> int:
    """Writes the log; following, until the job has ended."""
    offset = 0
    while True:
        job = server.get(_path(job_id)).json()
        try:
            reply = server.get(f"{_path(job_id)}/log?offset={offset}")
        except Refused as refusal:
            raise CommandError(str(refusal)) from None
        sys.stdout.buffer.write(reply.body)
        sys.stdout.flush()
        offset = int(reply.headers["x-log-offset"]) + len(reply.body)
        if not follow:
            return 0
        if job["state"] in ENDED:
            break
        time.sleep(LOOK_SECONDS)
    print(f"{job_id} {job['state']}: {job['reason'] or job['model'] or 'done'}", file=sys.stderr)
    return 0 if job["state"] == "succeeded" else FAILED


def _param(text: str, types: dict[str, str]) -> tuple[str, Any]:
    """`steps=100` as the entry point's type; what does not fit goes as text, and the server says what is wrong."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise CommandError(f"-p {text}: expected NAME=VALUE", UNUSABLE)
    try:
        match types.get(name):
            case "int":
                return name, int(value)
            case "float":
                return name, float(value)
            case "bool" if value in ("true", "false"):
                return name, value == "true"
    except ValueError:
        pass
    return name, value


def _how_far(job: dict[str, Any]) -> str:
    return "" if job["progress_ratio"] is None else f"{job['progress_ratio']:.0%}"


def _path(job_id: str) -> str:
    return f"{JOBS}/{quote(job_id, safe='')}"
