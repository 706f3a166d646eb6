"""Artifacts of runs, on the wire and as rows."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from gfedge.tracking.types import Limit
from gfedge.wire import Page


class ArtifactRow(msgspec.Struct, kw_only=True, frozen=True):
    """A file of a run."""

    table: ClassVar[str] = "artifacts"

    run_id: str
    path: str
    sha256: str
    media_type: str
    bytes: int
    created_at: float


class ArtifactEntry(msgspec.Struct, kw_only=True, frozen=True):
    """A file or a folder in a listing; a folder's size and number of files are those of all below it."""

    path: str
    name: str
    is_folder: bool
    bytes: int
    files: int
    created_at: float
    sha256: str | None
    media_type: str | None


class Artifacts(Page, kw_only=True):
    """What is in a folder of a run, by name."""

    run_id: str
    path: str
    artifacts: list[ArtifactEntry]


class ArtifactsGone(msgspec.Struct, kw_only=True, frozen=True):
    """How many files have lost their name."""

    files: int


class ArtifactQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    path: Annotated[str, Meta(max_length=1001, description="A folder; empty for the run.")] = ""
    limit: Limit = 1000
    cursor: Annotated[str, Meta(max_length=1000, description="`next` of the page before.")] = ""
