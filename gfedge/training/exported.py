"""What a training leaves behind: the files of its model become artifacts of its run, and a version in the registry."""

from __future__ import annotations

import asyncio
import contextlib
import mimetypes
import shutil
import tempfile
import time
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from gfedge import errors
from gfedge.db import Database
from gfedge.lineage.types import Node, edge
from gfedge.tracking import artifacts, inputs, paths
from gfedge.tracking.artifact_types import ArtifactQuery, ArtifactRow
from gfedge.tracking.artifacts import ArtifactFiles
from gfedge.tracking.dataset_types import InputCreate
from gfedge.tracking.runs import Runs
from gfedge.tracking.types import Input
from gfedge.training.types import TrainingRecord

MODEL = "model"
"""Folder of the run's artifacts that an exported model goes to."""
MANIFEST = "model.toml"
MAX_FILES = 1000
CHUNK = 1 << 20

Register = Callable[..., Awaitable[Any]]


class Exports:
    """Keeps and registers the models of training jobs."""

    def __init__(
        self, db: Database, runs: Runs, files: ArtifactFiles, register: Register, scratch: Path
    ) -> None:
        self._db = db
        self._runs = runs
        self._files = files
        self._register = register
        self._scratch = scratch

    async def keep(self, run_id: str, folder: Path) -> str:
        """Stores an exported folder as artifacts of the run; gives where, or "" where nothing was exported."""
        if not (folder / MANIFEST).is_file():
            return ""
        for path in await asyncio.to_thread(_files, folder):
            await self._keep_file(run_id, f"{MODEL}/{path.relative_to(folder).as_posix()}", path)
        return MODEL

    async def _keep_file(self, run_id: str, name: str, path: Path) -> None:
        paths.checked(name)
        size = (await asyncio.to_thread(path.stat)).st_size
        sha256, size = await self._files.write(_chunks(path), size, "")
        row = ArtifactRow(
            run_id=run_id,
            path=name,
            sha256=sha256,
            media_type=mimetypes.guess_type(name)[0] or "application/octet-stream",
            bytes=size,
            created_at=time.time(),
        )
        await self._db.write(artifacts.put_artifact, row)

    async def trained_on(self, record: TrainingRecord, folder: str) -> str:
        """Id of the dataset of a training; where its run has none, it gets the one that the model names with a digest."""
        if record.dataset_id:
            return record.dataset_id
        told = (await self._runs.find(record.run_id)).inputs
        read = [one for one in told if one.context in ("", "training", "train")]
        if not read:
            read = await self._link(record.run_id, await self._named(record.run_id, folder))
        return await self._read(record, read)

    async def evaluated_on(self, record: TrainingRecord, told: InputCreate | None) -> str:
        """Id of the set that an evaluation says it read, which becomes an input of its run and its job."""
        if record.dataset_id or told is None:
            return record.dataset_id
        return await self._read(record, await self._link(record.run_id, told))

    async def _read(self, record: TrainingRecord, told: list[Input]) -> str:
        """Id of the first of these, which the job is said to have read; empty where there is none."""
        if not told:
            return ""
        job: Node = ("training_job", record.id)
        await self._db.insert(edge(("dataset", told[0].dataset_id), "input", job, time.time()))
        return told[0].dataset_id

    async def _named(self, run_id: str, folder: str) -> InputCreate | None:
        """The set that the model in a folder of the run's artifacts says it learned."""
        files = dict(await self._db.read(_below, run_id, paths.folder(folder)))
        sha256 = files.get(MANIFEST)
        return await asyncio.to_thread(dataset_of, self._files.path_of(sha256)) if sha256 else None

    async def _link(self, run_id: str, told: InputCreate | None) -> list[Input]:
        if told is None:
            return []
        with contextlib.suppress(errors.Conflict):  # the run was deleted
            return (await inputs.link(self._db, self._runs, run_id, [told])).inputs
        return []

    async def register(self, record: TrainingRecord, folder: str) -> str:
        """Registers the model in a folder of the run's artifacts as a new version; gives its id."""
        found = await self._db.read(_below, record.run_id, paths.folder(folder))
        if not any(path == MANIFEST for path, _ in found):
            raise errors.Invalid(
                f"the artifacts in {folder!r} have no {MANIFEST}", code="no_manifest"
            )
        self._scratch.mkdir(parents=True, exist_ok=True)
        place = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="model-", dir=self._scratch))
        try:
            await asyncio.to_thread(self._gather, found, place)
            version = await self._register(
                place,
                name=record.model_name or None,
                by=f"training job {record.id}",
                source_run=record.run_id,
                training_job=record.id,
                dataset=record.dataset_id or None,
            )
            return str(version.id)
        finally:
            await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)

    async def fetch(self, run_id: str, folder: str, names: Sequence[str], place: Path) -> bool:
        """Copies files that a run keeps in a folder of its artifacts; False where one of them is not there."""
        kept = await self._db.read(_below, run_id, paths.folder(folder))
        found = [(path, sha256) for path, sha256 in kept if path in names]
        if len(found) < len(names):
            return False
        await asyncio.to_thread(self._gather, found, place)
        return True

    def _gather(self, found: list[tuple[str, str]], place: Path) -> None:
        for path, sha256 in found:
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._files.path_of(sha256), place / path)


def dataset_of(manifest: Path) -> InputCreate | None:
    """The set that a model.toml names; None where it tells no digest, without which a set is not known again."""
    try:
        facts = tomllib.loads(manifest.read_text(encoding="utf-8")).get("dataset", {})
        told = {"name": facts["name"], "digest": facts["digest"], "context": "training"}
        more = {key: value for key, value in facts.items() if key not in told}
        return msgspec.convert({**told, "profile": msgspec.to_builtins(more)}, InputCreate)
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
    ):  # the registry says what is wrong with it
        return None


def _below(cursor: Any, run_id: str, folder: str) -> list[tuple[str, str]]:
    """(path within the folder, sha256) of all files below a folder."""
    query, found = ArtifactQuery(limit=1000), []
    for entry in artifacts.list_artifacts(cursor, run_id, folder, query):
        if entry.is_folder:
            found += [(f"{entry.name}/{p}", s) for p, s in _below(cursor, run_id, entry.path)]
        else:
            found.append((entry.name, str(entry.sha256)))
    return found


def _files(folder: Path) -> list[Path]:
    """The plain files below a folder, links left out; Invalid where there are too many."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    if len(found) > MAX_FILES:
        raise errors.Invalid(f"a model has at most {MAX_FILES} files, this one has {len(found)}")
    return found


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while chunk := await asyncio.to_thread(file.read, CHUNK):
            yield chunk
    finally:
        file.close()
