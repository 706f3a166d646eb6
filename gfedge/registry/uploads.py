"""The files of a version as clients give them: streamed in as one body or as a form, or taken from a run's artifacts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from gfedge import errors
from gfedge.db import Database
from gfedge.inference.folder import FILE_NAME
from gfedge.registry import unpack
from gfedge.registry.files import MANIFEST
from gfedge.tracking import artifacts, paths
from gfedge.tracking.artifact_types import ArtifactQuery
from gfedge.tracking.artifacts import ArtifactFiles

ARCHIVES = ("application/zip", "application/x-tar", "application/gzip", "application/x-gzip")
BODIES = (*ARCHIVES, "application/octet-stream", "application/onnx")
FORM = "multipart/form-data"
CHUNK = 256 << 10
MAX_FIELD = 64 << 10


async def from_body(request: web.Request, folder: Path, room: int) -> Path:
    """An archive or a graph as the body itself; gives the file."""
    path = folder / "upload"
    await _write(path, request.content.iter_chunked(CHUNK), room)
    if not path.stat().st_size:
        raise errors.BadRequest("the body is empty: send the model's bytes", code="empty_body")
    return path


async def from_form(request: web.Request, folder: Path, room: int) -> tuple[Path, dict[str, str]]:
    """The files of a form (one archive, or model.toml and the files it names) and its other fields."""
    fields: dict[str, str] = {}
    names: list[str] = []
    try:
        async for part in _parts(request):
            if part.filename is None:
                fields[part.name or ""] = (await _field(part)).decode()
                continue
            names.append(_file_name(part.filename))
            room -= await _write(folder / names[-1], _chunks(part), room)
    except (ValueError, LookupError, RuntimeError, HttpProcessingError) as error:
        raise errors.BadRequest(
            f"the form cannot be read ({type(error).__name__})", code="malformed_form"
        ) from None
    if not names:
        raise errors.BadRequest(
            "the form has no file: send an archive, or model.toml and the files it names",
            code="no_file",
        )
    return folder / names[0] if len(names) == 1 else _with_graph(folder), fields


async def from_artifact(
    db: Database, files: ArtifactFiles, run_id: str, path: str, folder: Path
) -> Path:
    """An artifact of a run, by links to its bytes: a file with the manifest beside it, or a folder of files."""
    path = paths.folder(path)
    above, _, name = path.rpartition("/")
    row = await db.read(artifacts.find_artifact, run_id, path) if path else None
    if row is not None:
        _link(files.path_of(row.sha256), folder / _file_name(name))
        beside = f"{above}/{MANIFEST}".removeprefix("/")
        if (toml := await db.read(artifacts.find_artifact, run_id, beside)) is not None:
            _link(files.path_of(toml.sha256), folder / MANIFEST)
        return folder / name if toml is None else _with_graph(folder)
    query = ArtifactQuery(path=path, limit=unpack.MAX_FILES)
    entries = await db.read(artifacts.list_artifacts, run_id, path, query)
    found = [(entry.name, entry.sha256) for entry in entries if entry.sha256 is not None]
    for name, sha256 in found:
        _link(files.path_of(sha256), folder / _file_name(name))
    if not found:
        raise errors.Invalid(
            f"run {run_id} has no artifact {path!r}", code="artifact_not_found", field="artifact"
        )
    return _with_graph(folder)


def _with_graph(folder: Path) -> Path:
    """The folder, its one graph called as all graphs are, or the archive, where it lies beside a manifest by chance."""
    graphs = list(folder.glob("*.onnx"))
    if len(graphs) == 1:
        graphs[0].rename(folder / "model.onnx")
    others = [path for path in folder.iterdir() if path.name != MANIFEST]
    if len(others) == 1 and unpack.kind_of(others[0]) != "onnx":
        return others[0]
    return folder


def _file_name(name: str) -> str:
    if not FILE_NAME.fullmatch(name):
        raise errors.Invalid(
            f"{name!r:.120} is no plain name of a file: letters, digits, `.`, `_`, `-`",
            code="bad_file_name",
        )
    return name


async def _parts(request: web.Request) -> AsyncIterator[BodyPartReader]:
    form, count = await request.multipart(), 0
    while (part := await form.next()) is not None:
        count += 1
        if not isinstance(part, BodyPartReader) or count > unpack.MAX_FILES:
            raise ValueError("a form within a form, or too many parts")
        yield part


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(CHUNK):
        yield chunk


async def _field(part: BodyPartReader) -> bytes:
    return b"".join([chunk async for chunk in _bounded(_chunks(part), MAX_FIELD)])


async def _bounded(chunks: AsyncIterator[bytes], room: int) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        room -= len(chunk)
        if room < 0:
            raise errors.TooLarge("the upload is larger than is taken (setting max_model)")
        yield chunk


async def _write(path: Path, chunks: AsyncIterator[bytes], room: int) -> int:
    size = 0
    try:
        with path.open("xb") as file:
            async for chunk in _bounded(chunks, room):
                size += len(chunk)
                await asyncio.to_thread(file.write, chunk)
    except FileExistsError:
        raise errors.Invalid(f"{path.name} came twice", code="bad_file_name") from None
    except OSError as error:
        if error.errno in artifacts.FULL:
            raise errors.NoSpace("the disk is full: free some space and try again") from error
        raise
    return size


def _link(source: Path, target: Path) -> None:
    """A second name for bytes that never change; a symbolic link where the file system has no other."""
    try:
        os.link(source, target)
    except FileExistsError:
        pass
    except FileNotFoundError:
        raise errors.Conflict("the artifact's bytes are gone", code="artifact_not_found") from None
