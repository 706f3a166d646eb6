"""How a model version comes to be: gathered, examined, stored, and only then recorded."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gfedge import errors
from gfedge.db import Cursor
from gfedge.inference.folder import NAME, folder_digest, read_folder
from gfedge.inference.types import ModelFolder, ModelRefused
from gfedge.registry import examination, references
from gfedge.registry.types import ModelVersionRow
from gfedge.registry.versions import row_of
from gfedge.tracking import datasets
from gfedge.tracking import store as tracking

if TYPE_CHECKING:
    from gfedge.registry.registry import Registry

DEFINING = ("kind", "inputs", "defaults", "limits", "pipeline", "styles")
"""What a manifest says of how the files are used: with other values the same files are another version."""
_plain = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Who registers a version, and what it came from; ids, or empty."""

    by: str
    source_run: str = ""
    training_job: str = ""
    dataset: str = ""
    note: str = ""


async def register(
    registry: Registry,
    source: Path,
    name: str | None,
    version: str | None,
    origin: Origin,
    **told: str,
) -> tuple[ModelVersionRow, bool]:
    """The version, and whether it is new. Its files are copied and stay unchanged from then on.

    `told` are fields of its row that say where else it is known.
    """
    await registry.opened()
    metrics = await registry.db.read(check_origin, origin)
    earlier = registry.resolve(f"{name}@{references.LATEST}") if name else None
    async with registry.files.room() as room:
        base = registry.here(earlier.id) if earlier else None
        table = await asyncio.to_thread(
            registry.files.gather, source, room, base.path if base else None
        )
        async with registry.registering:
            table, known = _named(registry, table, name, version)
            if known is not None:
                return known, False
            placed = await asyncio.to_thread(registry.files.place, room, table)
            verdict = await examination.examine(placed)
            folder = await asyncio.to_thread(_kept, registry, placed)
            row = row_of(
                folder,
                verdict.signature,
                author=origin.by,
                at=time.time(),
                source_run=origin.source_run,
                training_job=origin.training_job,
                dataset_id=origin.dataset,
                metrics=metrics,
                note=origin.note,
            )
            row = msgspec.structs.replace(row, **told)
            await registry.add(row, folder)
    return row, True


async def register_bundled(
    registry: Registry, where: str, models: Path, origin: Origin
) -> tuple[ModelVersionRow, bool]:
    """A folder `name/version` that was put under the models folder while the server runs; it stays where it is."""
    await registry.opened()
    path = models / where
    if not _plain.fullmatch(where) or ".." in where.split("/") or not path.is_dir():
        raise errors.Invalid(
            f"folder: there is no folder {where!r} under the models folder: say `name/version`",
            code="folder_not_found",
            field="folder",
        )
    metrics = await registry.db.read(check_origin, origin)
    async with registry.registering:
        verdict = await examination.examine(path)
        folder = await asyncio.to_thread(read_folder, path)
        known = registry.resolve(f"{folder.name}@{folder.version}")
        if known is not None:
            if known.digest != folder.digest:
                raise _taken(folder.name, folder.version)
            return known, False
        row = row_of(
            folder,
            verdict.signature,
            author=origin.by,
            at=time.time(),
            bundled=True,
            source_run=origin.source_run,
            training_job=origin.training_job,
            dataset_id=origin.dataset,
            metrics=metrics,
            note=origin.note,
        )
        await registry.add(row, folder)
    return row, True


def check_origin(cursor: Cursor, origin: Origin) -> dict[str, float]:
    """Refuses what is not here; gives the last metrics of the run."""
    if origin.dataset and datasets.find_dataset(cursor, origin.dataset) is None:
        raise errors.Invalid(
            f"dataset {origin.dataset!r} is not here", code="dataset_not_found", field="dataset"
        )
    if not origin.source_run:
        return {}
    if tracking.find_run(cursor, origin.source_run) is None:
        raise errors.Invalid(
            f"run {origin.source_run!r} is not here", code="run_not_found", field="source_run"
        )
    latest = tracking.latest(cursor, [origin.source_run]).get(origin.source_run, {})
    found = {key: point.value for key, point in latest.items() if not key.startswith("system/")}
    return {key: float(value) for key, value in found.items() if isinstance(value, int | float)}


def _named(
    registry: Registry, table: dict[str, Any], name: str | None, version: str | None
) -> tuple[dict[str, Any], ModelVersionRow | None]:
    """The manifest under its final name and version, and the version that holds exactly this already, if any."""
    name = _checked("name", name or table.get("name", ""))
    digest = folder_digest(table["files"])
    for row in registry.versions(name):
        if row.is_run_here and row.kind != table.get("kind"):
            raise errors.Conflict(
                f"model {name!r} is of kind {row.kind}: a version of kind {table.get('kind')!r} needs another name",
                code="model_of_other_kind",
            )
        folder = registry.here(row.id)
        if row.digest == digest and folder is not None and _same(folder, table):
            return table, row
    taken = registry.taken(name)
    if version is not None and version in taken:
        raise _taken(name, version)
    if version is None:
        version = str(table.get("version", ""))
        version = version if version and version not in taken else references.next_version(taken)
    return {**table, "name": name, "version": _checked("version", version)}, None


def _checked(field: str, value: object) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise errors.Invalid(
            f"{field}: {value!r:.80} is none: small letters, digits, `.`, `_` and `-`, at most 64; give it in "
            f"model.toml or as {field}",
            code=f"bad_{field}",
            field=field,
        )
    if value in references.RESERVED:
        raise errors.Invalid(
            f"{field}: {value} means a stage or the newest version",
            code=f"bad_{field}",
            field=field,
        )
    return value


def _same(folder: ModelFolder, table: dict[str, Any]) -> bool:
    return all(getattr(folder, key) == table.get(key, {}) for key in DEFINING)


def _taken(name: str, version: str) -> errors.Conflict:
    return errors.Conflict(
        f"{name}@{version} exists and holds other files: versions never change, take another number or none",
        code="version_exists",
    )


def _kept(registry: Registry, placed: Path) -> ModelFolder:
    """The folder as it was examined, in its lasting place."""
    try:
        folder = read_folder(placed)
    except ModelRefused as error:
        raise examination.refused(str(error)) from None
    path = registry.files.keep(placed, folder.name, folder.version)
    return msgspec.structs.replace(folder, path=path)
