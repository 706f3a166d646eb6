"""Backups and what a verification finds, as files and on the wire."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Subject = Literal["table", "asset", "artifact", "model_version", "file"]
Name = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=100,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)",
        description="Letters, digits, dots, dashes and underscores.",
    ),
]


class Content(msgspec.Struct, kw_only=True, frozen=True):
    """One file of a backup."""

    sha256: str
    bytes: int


class Manifest(msgspec.Struct, kw_only=True, frozen=True):
    """`manifest.json`, written last: a folder without it is no backup."""

    format: Literal[1] = 1
    gfedge: str
    """Version that made it."""
    made_at: float
    rows: dict[str, int]
    """Rows of each table."""
    files: dict[str, Content]
    """By path within the backup, with slashes."""


class Schema(msgspec.Struct, kw_only=True, frozen=True):
    """What made the tables of a database, and how much room a copy of it has."""

    migrations: Annotated[list[str], Meta(description="As slice/script, in order.")]
    database_bytes: int
    free_bytes: Annotated[int, Meta(description="On the disk of the data folder.")]


class BackupRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What to make."""

    name: Annotated[Name | None, Meta(description="Left out, it is the time.")] = None


class Backup(msgspec.Struct, kw_only=True, frozen=True):
    """A backup that is there."""

    name: str
    path: Annotated[str, Meta(description="Folder on the server's machine.")]
    made_at: float
    bytes: int
    files: int
    rows: int


class Backups(msgspec.Struct, kw_only=True, frozen=True):
    backups: list[Backup]


class Fault(msgspec.Struct, kw_only=True, frozen=True):
    """Something that is not as it was recorded."""

    kind: Subject
    id: str
    text: str


class Verification(msgspec.Struct, kw_only=True, frozen=True):
    """What was looked at, and what is wrong with it."""

    sound: bool
    checked: dict[str, int]
    """How many of each kind."""
    faults: list[Fault]
