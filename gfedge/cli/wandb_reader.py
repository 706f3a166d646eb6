"""Reads files of Weights & Biases' offline runs (`run-….wandb`) and prints what they hold, a line of JSON for each record.

Runs in a Python that has `wandb`, whose messages the records are, and imports nothing of gfedge: `python wandb_reader.py FILE…`.
The file is LevelDB's log format behind a head of seven bytes; what was cut off is told, after all that came before it.
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

MAGIC = b":W&B"
BLOCK = 32 << 10
HEAD = struct.Struct("<IHB")
FULL, FIRST, _, LAST = range(1, 5)


class Cut(Exception):
    """The file ends in the middle of a record, or is damaged there."""


def payloads(file: BinaryIO) -> Iterator[bytes]:
    """The records of a file; Cut where it breaks off."""
    if file.read(7)[:4] != MAGIC:
        raise Cut("it does not begin as a file of W&B's does")
    parts: list[bytes] = []
    while head := _head(file):
        told, size, kind = HEAD.unpack(head)
        data = file.read(size)
        if len(data) < size:
            raise Cut("it ends in the middle of a record")
        if zlib.crc32(data, zlib.crc32(bytes([kind]))) != told:
            raise Cut("a record is not what its checksum says")
        parts = [data] if kind in (FULL, FIRST) else [*parts, data]
        if kind in (FULL, LAST):
            yield b"".join(parts)
    if parts and kind not in (FULL, LAST):
        raise Cut("it ends in the middle of a record")


def _head(file: BinaryIO) -> bytes:
    """That of the next piece; a block's last bytes are nothing where no head has room in them."""
    left = BLOCK - file.tell() % BLOCK
    if left < HEAD.size:
        file.read(left)
    head = file.read(HEAD.size)
    if 0 < len(head) < HEAD.size:
        raise Cut("it ends in the middle of a record")
    return head if head.strip(b"\0") else b""


def told(record: Any) -> dict[str, Any]:
    """What is taken of a record; nothing of those that are the package's own business."""
    kind = record.WhichOneof("record_type")
    return READ[kind](getattr(record, kind)) if kind in READ else {}


def _run(run: Any) -> dict[str, Any]:
    words = ("run_id", "project", "entity", "run_group", "job_type", "display_name", "notes")
    return {
        **{name: getattr(run, name) for name in (*words, "sweep_id", "host")},
        "tags": list(run.tags),
        "started_at": _seconds(run.start_time),
        "config": _values(run.config.update),
        "git": {"remote": run.git.remote_url, "commit": run.git.commit},
    }


def _stats(stats: Any) -> dict[str, Any]:
    return {"at": _seconds(stats.timestamp), "values": _values(stats.item)}


def _artifact(artifact: Any) -> dict[str, Any]:
    return {
        "name": artifact.name,
        "type": artifact.type,
        "digest": artifact.digest,
        "description": artifact.description,
        "metadata": artifact.metadata,
        "aliases": list(artifact.aliases),
        "files": [
            {"path": one.path, "bytes": one.size, "at": one.local_path, "ref": one.ref}
            for one in artifact.manifest.contents
        ],
    }


READ: dict[str, Callable[[Any], dict[str, Any]]] = {
    "run": lambda run: {"run": _run(run)},
    "config": lambda config: {"config": _values(config.update)},
    "history": lambda history: {"history": _values(history.item), "step": history.step.num},
    "summary": lambda summary: {"summary": _values(summary.update)},
    "stats": lambda stats: {"stats": _stats(stats)},
    "artifact": lambda artifact: {"artifact": _artifact(artifact)},
    "environment": lambda found: {"program": found.program},
    "exit": lambda end: {"exit": end.exit_code, "runtime": end.runtime},
}


def _values(items: Any) -> dict[str, Any]:
    """Values by their keys, those within others by dotted ones."""
    found: dict[str, Any] = {}
    for item in items:
        key = item.key or ".".join(item.nested_key)
        try:
            found[key] = json.loads(item.value_json)
        except ValueError:
            found[key] = item.value_json
    return found


def _seconds(time: Any) -> float:
    return float(time.seconds + time.nanos / 1e9)


def main(paths: list[str]) -> None:
    from google.protobuf.message import DecodeError
    from wandb.proto import wandb_internal_pb2 as messages

    for path in paths:
        print(json.dumps({"file": path}))
        try:
            with Path(path).open("rb") as file:
                for data in payloads(file):
                    record = messages.Record()
                    record.ParseFromString(data)
                    if found := told(record):
                        print(json.dumps(found))
        except (Cut, DecodeError, OSError) as error:
            print(json.dumps({"cut": str(error)}))
    print(json.dumps({"end": len(paths)}))


if __name__ == "__main__":
    main(sys.argv[1:])
