"""The start of the registry: the folders that are here are read, verified and taken; what cannot be is refused."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gfedge import errors
from gfedge.db import new_id
from gfedge.inference.folder import folders, read_folder
from gfedge.inference.types import ModelFolder, ModelRefused
from gfedge.registry import examination
from gfedge.registry.types import SYSTEM, ChangeRow, Refused
from gfedge.registry.versions import row_of, version_id

if TYPE_CHECKING:
    from gfedge.registry.registry import Registry

log = logging.getLogger(__name__)


async def take_bundled(registry: Registry, folder: Path) -> None:
    """Takes the versions that came with the server; those that nobody knows yet are examined and registered."""
    for path, outcome in await asyncio.to_thread(_read_all, folder):
        if isinstance(outcome, ModelRefused):
            _refuse(registry, path, str(outcome))
        elif reason := _changed(registry, outcome):
            _refuse(registry, path, reason)
        elif registry.row(version_id(outcome)) is not None:
            registry.take(outcome)
        else:
            await _register_bundled(registry, path, outcome)


async def open_registered(registry: Registry) -> None:
    """Reads what was registered here before; the folder of a row that is gone or changed does not run."""
    for row in registry.recorded():
        if row.bundled or row.deleted_at is not None or not row.is_run_here:
            continue
        path = registry.files.path_of(row.name, row.version)
        try:
            folder = await asyncio.to_thread(read_folder, path)
            reason = _changed(registry, folder)
        except ModelRefused as refusal:
            reason = str(refusal)
        if reason:
            _refuse(registry, path, reason)
        else:
            registry.take(folder)


async def put_into_prod(registry: Registry) -> None:
    """The newest version of a model that came with the server serves from its first start on."""
    for name in registry.names():
        if name in registry.trails or not all(row.bundled for row in registry.versions(name)):
            continue
        row = registry.resolve(name)
        if row is None or row.stage == "prod":
            continue
        change = ChangeRow(
            id=new_id(),
            name=name,
            version=row.version,
            action="promoted",
            from_stage=row.stage,
            to_stage="prod",
            by=SYSTEM,
            reason="it came with the server",
            changed_at=time.time(),
        )
        await registry.commit([replace(row, stage="prod")], change)


def _read_all(folder: Path) -> list[tuple[Path, ModelFolder | ModelRefused]]:
    found: list[tuple[Path, ModelFolder | ModelRefused]] = []
    for path in folders(folder):
        try:
            found.append((path, read_folder(path)))
        except ModelRefused as error:  # it must never stop the others
            found.append((path, error))
    return found


async def _register_bundled(registry: Registry, path: Path, folder: ModelFolder) -> None:
    try:
        verdict = await examination.examine(path, folder)
    except errors.Invalid as refusal:
        _refuse(registry, path, f"{_short(path)}: {refusal.detail}")
        return
    row = row_of(folder, verdict.signature, author=SYSTEM, bundled=True, at=time.time())
    await registry.add(row, folder)


def _refuse(registry: Registry, path: Path, reason: str) -> None:
    log.error("model refused: %s", reason)
    registry.refused.append(Refused(path=_short(path), reason=reason))


def _changed(registry: Registry, model: ModelFolder) -> str:
    """Versions are immutable: a folder whose files changed since it was registered is not that version."""
    recorded = registry.row(version_id(model))
    if recorded is None or recorded.digest == model.digest:
        return ""
    return (
        f"{_short(model.path)}: its files changed since this version was registered (then "
        f"{recorded.digest[:12]}…, now {model.digest[:12]}…): put them into a folder of a new version"
    )


def _short(path: Path) -> str:
    return "/".join(path.parts[-2:])
