"""Versions that are kept here but not run: files by content, a number, stages, aliases and a history like all others."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gfedge import errors
from gfedge.inference.examine import Signature
from gfedge.inference.folder import folder_digest
from gfedge.registry import references, registration
from gfedge.registry.registration import Origin
from gfedge.registry.types import OTHER, ModelVersionRow
from gfedge.tracking.artifact_types import ArtifactRow

if TYPE_CHECKING:
    from gfedge.registry.registry import Registry


async def keep(
    registry: Registry, name: str, files: list[ArtifactRow], origin: Origin, **told: str
) -> ModelVersionRow:
    """A new version of these files, which it names anew: whatever becomes of the run that had them, it has them too."""
    metrics = await registry.db.read(registration.check_origin, origin)
    async with registry.registering:
        version = _next(registry, name)
        row = ModelVersionRow(
            id=f"{name}@{version}",
            name=name,
            version=version,
            kind=OTHER,
            digest=folder_digest({file.path: file.sha256 for file in files}),
            title="",
            licence="",
            source=told.get("uri", ""),
            bytes=sum(file.bytes for file in files),
            bundled=False,
            signature=Signature(),
            metrics=metrics,
            training={},
            dataset={},
            source_run=origin.source_run,
            training_job=origin.training_job,
            dataset_id=origin.dataset,
            author=origin.by,
            note=origin.note,
            registered_at=time.time(),
            stage="dev",
            description="",
            aliases=[],
            tags={},
        )
        row = replace(row, **told)
        await registry.add(row, None, *(replace(file, run_id=row.id) for file in files))
    return row


def _next(registry: Registry, name: str) -> str:
    """The number after the highest; one that an id already has, from before a model was renamed, is passed over."""
    taken = registry.taken(name)
    ids = {row.id for row in registry.recorded()}
    version = references.next_version(taken)
    while f"{name}@{version}" in ids:
        version = references.next_version({*taken, version})
    if "@" in name:
        raise errors.Invalid("name: `@` means a version", code="bad_name", field="name")
    return version
