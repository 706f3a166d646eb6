"""Files through the server, as MLflow's clients send and fetch those of `mlflow-artifacts:`: streamed, by content."""

from __future__ import annotations

import hmac
import time
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from gfedge import content, errors, keys
from gfedge.mlflow import places, refusals, run_answers, runs
from gfedge.mlflow.model_types import VersionNamed
from gfedge.mlflow.places import Place
from gfedge.mlflow.protocol import Nothing, call, in_query, row
from gfedge.mlflow.types import FileInfo, Needed, RunId
from gfedge.registry.routes import opened
from gfedge.tracking import artifact_routes, artifacts, multipart, paths
from gfedge.tracking.artifact_routes import ANY, FILES
from gfedge.tracking.artifact_types import ArtifactEntry, ArtifactQuery, ArtifactRow
from gfedge.tracking.routes import EXPERIMENTS, RUNS
from gfedge.wire import Route

BASE = "/api/2.0/mlflow-artifacts"
AJAX = "/ajax-api/2.0/mlflow-artifacts"
AJAX_CALLS = "/ajax-api/2.0/mlflow"
SECRET = "X-Upload-Secret"  # noqa: S105 - the name of a header
TEXTS = ("MLmodel", "MLproject", "mlproject")
MOST = 1_000_000
"""Entries of a folder."""
UPLOADS = web.AppKey("uploads", multipart.Uploads)


class ListAsked(msgspec.Struct, kw_only=True):
    path: str = ""


class RunListAsked(RunId, kw_only=True):
    path: str = ""


class RunFileAsked(RunId, kw_only=True):
    path: Needed


class RunFileSent(msgspec.Struct, kw_only=True):
    run_uuid: str = ""
    path: str = ""


class VersionFileAsked(VersionNamed, kw_only=True):
    path: Needed


class FilesFound(msgspec.Struct, kw_only=True, omit_defaults=True):
    root_uri: str = ""
    files: list[FileInfo] = []


class UploadBegin(msgspec.Struct, kw_only=True):
    path: Needed
    num_parts: Annotated[int, Meta(ge=1)] = 1


class UploadEnd(msgspec.Struct, kw_only=True):
    path: str = ""
    upload_id: Needed


class Credential(msgspec.Struct, kw_only=True):
    """Where a part goes, and what must come with it."""

    url: str
    part_number: int
    headers: dict[str, str]


class UploadBegun(msgspec.Struct, kw_only=True):
    upload_id: str
    credentials: list[Credential]


def routes() -> list[Route]:
    one, many = f"{BASE}/artifacts/{{path}}", f"{BASE}/artifacts"
    twin = {"tail": True, "twins": (f"{AJAX}/artifacts/{{path}}",)}
    mpu = f"{BASE}/mpu"
    return [
        call("GET", many, list_files, ListAsked, FilesFound, "MLflow: what is in a folder", twins=(f"{AJAX}/artifacts",)),
        row("PUT", one, put_file, "MLflow: store a file", name="put_file", reply=Nothing, accepts=(ANY,), streams=True, **twin),
        row("GET", one, get_file, "MLflow: the bytes of a file, with ranges", name="get_file", produces=(ANY,), also=(206, 304), **twin),
        row("DELETE", one, delete_file, "MLflow: take a file away, or a folder", name="delete_file", reply=Nothing, **twin),
        call("GET", "artifacts/list", list_run_files, RunListAsked, FilesFound, "MLflow: what is in a folder of a run"),
        row("GET", "/get-artifact", get_run_file, "MLflow: a file of a run, by its id and path", name="get_run_file", produces=(ANY,), options=RunFileAsked, also=(206, 304), twins=(f"{AJAX_CALLS}/get-artifact",)),
        row("POST", f"{AJAX_CALLS}/upload-artifact", post_run_file, "MLflow: store a small file of a run", name="post_run_file", reply=Nothing, options=RunFileSent, accepts=(ANY,), streams=True),
        row("GET", "/model-versions/get-artifact", get_version_file, "MLflow: a file of a registered version", name="get_version_file", produces=(ANY,), options=VersionFileAsked, also=(206, 304), twins=("//model-versions/get-artifact", f"{AJAX_CALLS}/model-versions/get-artifact")),
        call("POST", f"{mpu}/create/{{path}}", begin_upload, UploadBegin, UploadBegun, "MLflow: begin a file that comes in parts", tail=True),
        call("POST", f"{mpu}/complete/{{path}}", end_upload, UploadEnd, Nothing, "MLflow: put the parts together", tail=True),
        call("POST", f"{mpu}/abort/{{path}}", abort_upload, UploadEnd, Nothing, "MLflow: give an upload up", tail=True),
        row("PUT", f"{mpu}/parts/{{upload_id}}/{{number}}", put_part, "MLflow: one part of a file", name="put_part", reply=Nothing, accepts=(ANY,), streams=True, scope="open", secret=SECRET),
    ]  # fmt: skip


# Lists


async def list_files(request: web.Request, asked: ListAsked) -> FilesFound:
    """Names alone, as MLflow's server gives them; nothing where there is no such folder."""
    try:
        path = "/".join(part for part in asked.path.split("/") if part != ".")
        found = await entries(request, await places.place(request, path))
    except refusals.Refused:
        return FilesFound()
    return FilesFound(files=[info(entry, entry.name) for entry in found])


async def list_run_files(request: web.Request, asked: RunListAsked) -> FilesFound:
    """Paths within the run."""
    run = await runs.found(request, asked)
    experiment = request.app[EXPERIMENTS].known(run.experiment_id)
    at = Place("run", run.id, paths.folder("" if asked.path == "." else asked.path))
    found = await entries(request, at)
    root = run_answers.info(run, experiment).artifact_uri
    return FilesFound(root_uri=root, files=[info(entry, entry.path) for entry in found])


async def entries(request: web.Request, at: Place) -> list[ArtifactEntry]:
    query = ArtifactQuery(path=at.path, limit=MOST)
    if at.kind == "run":
        return await artifact_routes.entries(request, at.owner, at.path, query)
    found = await request.app[keys.DB].read(artifacts.list_artifacts, at.owner, at.path, query)
    return found or (await _version_files(request, at) if at.kind == "version" else [])


def info(entry: ArtifactEntry, path: str) -> FileInfo:
    return FileInfo(
        path=path, is_dir=entry.is_folder, file_size=None if entry.is_folder else entry.bytes
    )


# Files


async def put_file(request: web.Request) -> web.Response:
    at = await places.writable(request, request.match_info["path"])
    return await _store(request, at)


async def post_run_file(request: web.Request) -> web.Response:
    run_id, path = (request.query.get(name, "") for name in ("run_uuid", "path"))
    for name, value in (("run_uuid", run_id), ("path", path), ("data", request.can_read_body)):
        if not value:
            raise refusals.invalid(f"Request must specify {name}.")
    at = Place("run", run_id, paths.checked(path))
    runs.writable(request, await runs.of_id(request, run_id))
    return await _store(request, at)


async def _store(request: web.Request, at: Place) -> web.Response:
    sha256, size = await request.app[FILES].write(
        artifact_routes.chunks(request), request.content_length or 0, ""
    )
    kind = artifact_routes.media_type(request, at.path)
    named = at.path.rpartition("/")[2] in TEXTS and not request.headers.get("Content-Type")
    await _name(request, at, sha256, size, "text/plain" if named else kind)
    return web.json_response({})


async def get_file(request: web.Request) -> web.StreamResponse:
    return await fetch(request, await places.place(request, request.match_info["path"]))


async def get_run_file(request: web.Request) -> web.StreamResponse:
    asked = in_query(request, RunFileAsked)
    run = await runs.found(request, asked)
    return await fetch(request, Place("run", run.id, asked.path))


async def get_version_file(request: web.Request) -> web.StreamResponse:
    asked = in_query(request, VersionFileAsked)
    path = paths.checked(asked.path)
    return await fetch(request, await places.of_version(request, asked.name, asked.version, path))


async def fetch(request: web.Request, at: Place) -> web.StreamResponse:
    """The bytes of a file, wherever it is."""
    try:
        return await artifact_routes.fetch(request, at.owner, at.path)
    except errors.NotFound:
        folder = (await opened(request)).here(at.owner) if at.kind == "version" else None
        if folder is not None and at.path in folder.files:
            return content.answer(request, folder.path / at.path, folder.files[at.path], {})
        if await entries(request, at):
            text = f"Artifact path refers to a directory, not a file: '{at.path}'"
            raise refusals.invalid(text) from None
        raise refusals.absent(f"No such artifact: '{at.path}'") from None


async def delete_file(request: web.Request) -> web.Response:
    at = await places.writable(request, request.match_info["path"])
    gone = [at.path] if at.path else [entry.path for entry in await entries(request, at)]
    for path in gone:
        await request.app[keys.DB].write(artifacts.delete_artifact, at.owner, path)
    return web.json_response({})


async def _name(request: web.Request, at: Place, sha256: str, size: int, kind: str) -> None:
    """Gives a file that is on the disk its name."""
    if not at.path:
        raise refusals.invalid("Invalid path: it names no file")
    found = ArtifactRow(
        run_id=at.owner,
        path=at.path,
        sha256=sha256,
        media_type=kind,
        bytes=size,
        created_at=time.time(),
    )
    if at.kind != "run":
        await request.app[keys.DB].write(artifacts.put_artifact, found)
        return
    async with request.app[RUNS].written(at.owner) as live:
        await artifact_routes.check_not_made(request, live.record, at.path)
        await request.app[keys.DB].write(artifacts.put_artifact, found)


async def _version_files(request: web.Request, at: Place) -> list[ArtifactEntry]:
    """Those of a version that is run here and was not logged by MLflow: what its folder lists, without folders."""
    registry = await opened(request)
    if at.path or (folder := registry.here(at.owner)) is None:
        return []
    return [
        ArtifactEntry(
            path=name,
            name=name,
            is_folder=False,
            bytes=(folder.path / name).stat().st_size,
            files=1,
            created_at=0.0,
            sha256=sha256,
            media_type=ANY,
        )
        for name, sha256 in sorted(folder.files.items())
    ]


# Files in parts


async def begin_upload(request: web.Request, asked: UploadBegin) -> UploadBegun:
    folder, name = request.match_info["path"], asked.path.rpartition("/")[2]
    target = folder if folder.rpartition("/")[2] == name else f"{folder}/{name}"
    await places.writable(request, target)
    upload = await request.app[UPLOADS].begin(target, asked.num_parts)
    at = f"{request.url.origin()}{BASE}/mpu/parts/{upload.id}"
    return UploadBegun(
        upload_id=upload.id,
        credentials=[
            Credential(url=f"{at}/{number}", part_number=number, headers={SECRET: upload.secret})
            for number in range(1, asked.num_parts + 1)
        ],
    )


async def put_part(request: web.Request) -> web.Response:
    upload = request.app[UPLOADS].find(request.match_info["upload_id"])
    told = request.headers.get(SECRET, "").encode()
    if not hmac.compare_digest(told, upload.secret.encode()):
        raise refusals.denied("This is not the secret of this upload.")
    number = request.match_info["number"]
    if not number.isascii() or not number.isdigit():
        raise refusals.invalid("A part has a number.")
    await request.app[UPLOADS].put(upload, int(number), artifact_routes.chunks(request))
    return web.json_response({}, headers={"ETag": f'"{upload.id}-{number}"'})


async def end_upload(request: web.Request, asked: UploadEnd) -> Nothing:
    uploads = request.app[UPLOADS]
    upload = uploads.find(asked.upload_id)
    at = await places.writable(request, upload.target)
    content: AsyncIterator[bytes] = uploads.content(upload)
    sha256, size = await request.app[FILES].write(content, sum(upload.sizes.values()), "")
    await _name(request, at, sha256, size, ANY)
    await uploads.end(upload.id)
    return Nothing()


async def abort_upload(request: web.Request, asked: UploadEnd) -> Nothing:
    await request.app[UPLOADS].end(asked.upload_id)
    return Nothing()
