"""Policies and reports, on the wire and as rows."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from gfedge.settings import Settings

Days = Annotated[float, Meta(ge=0, le=36_500)]


class Policy(msgspec.Struct, kw_only=True, frozen=True):
    """What may go. Of a bound, 0 keeps all."""

    keep_job_days: float
    keep_jobs: int
    keep_job_bytes: int
    restore_days: float

    @classmethod
    def of(cls, settings: Settings, asked: CollectionRequest | None = None) -> Policy:
        """That of the settings, where a request says nothing else."""
        names = cls.__struct_fields__
        values = {name: getattr(settings, name) for name in names}
        given = {name: getattr(asked, name) for name in names} if asked is not None else {}
        return cls(**values | {name: value for name, value in given.items() if value is not None})


class CollectionRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A collection to be made, or with `dry_run` only told of. Absent bounds are those of the settings."""

    dry_run: bool = True
    keep_job_days: Annotated[
        Days | None, Meta(description="Jobs older than this many days go; 0 keeps all.")
    ] = None
    keep_jobs: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="Jobs before the newest so many go; 0 keeps all."),
    ] = None
    keep_job_bytes: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(
            description="Jobs before the newest whose pictures fill so many bytes go; 0 keeps all."
        ),
    ] = None
    restore_days: Annotated[
        Days | None,
        Meta(description="Deleted runs and experiments can be restored for this many days."),
    ] = None


class Removed(msgspec.Struct, kw_only=True, frozen=True):
    """Something that goes, and why."""

    kind: Annotated[
        str, Meta(description="job, run, experiment, asset, artifact, training, or temporary.")
    ]
    id: str
    bytes: int
    reason: str


class Kept(msgspec.Struct, kw_only=True, frozen=True):
    """Something that the policy would let go, and what needs it."""

    kind: str
    id: str
    reason: str


class Sum(msgspec.Struct, kw_only=True):
    """How many, and how large."""

    count: int = 0
    bytes: int = 0


class Report(msgspec.Struct, kw_only=True):
    """What a collection removed, or would remove."""

    id: str
    dry_run: bool
    by: str
    policy: Policy
    started_at: float
    finished_at: Annotated[
        float | None, Meta(description="Absent where it did not come to its end.")
    ]
    totals: Annotated[dict[str, Sum], Meta(description="By kind.")] = {}
    bytes: Annotated[int, Meta(description="Disk space of the files together.")] = 0
    removed: Annotated[list[Removed], Meta(description="The first 1000; `totals` counts all.")] = []
    kept: Annotated[list[Kept], Meta(description="The first 1000.")] = []
    young: Annotated[
        int, Meta(description="Files that nothing names, but so new that something may yet: left.")
    ] = 0

    def add(self, kind: str, name: str, size: int, reason: str) -> None:
        total = self.totals.setdefault(kind, Sum())
        total.count += 1
        total.bytes += size
        self.bytes += size
        if len(self.removed) < MOST_LISTED:
            self.removed.append(Removed(kind=kind, id=name, bytes=size, reason=reason))


MOST_LISTED = 1000


class Collections(msgspec.Struct, kw_only=True):
    """The collections that were made, newest first."""

    collections: list[Report]


class CollectionRow(msgspec.Struct, kw_only=True, frozen=True):
    """A collection as it is stored."""

    table: ClassVar[str] = "collections"

    id: str
    started_at: float
    finished_at: float | None
    report: Report


class Candidate(msgspec.Struct, kw_only=True, frozen=True):
    """A run that the policy lets go, with its job where it has one."""

    run_id: str
    job_id: str | None
    reason: str
