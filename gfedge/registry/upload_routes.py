"""Versions in and out over HTTP: registered from uploads, artifacts and folders; downloaded file by file or as a tar."""

from __future__ import annotations

import asyncio
import os
import tarfile
from pathlib import Path

from aiohttp import hdrs, web

from gfedge import content, errors, examples, keys, wire
from gfedge.inference.types import ModelFolder
from gfedge.registry import files, golden, registration, uploads
from gfedge.registry.registration import Origin
from gfedge.registry.routes import MODELS, VERSION, author, opened, reference
from gfedge.registry.types import (
    GoldenInputs,
    ModelCard,
    ModelVersion,
    ModelVersionRow,
    RegisterBody,
    RegisterQuery,
)
from gfedge.tracking.artifact_routes import FILES, disposition
from gfedge.tracking.routes import RUNS
from gfedge.wire import Route, reply

ANY = "application/octet-stream"
TAR = "application/x-tar"
REFUSED = {
    400: ("empty_body", "no_file", "malformed_form"),
    409: ("version_exists", "model_of_other_kind", "artifact_not_found"),
    413: ("archive_too_large",),
    422: (
        "model_refused",
        "bad_archive",
        "bad_file_name",
        "bad_name",
        "no_source",
        "folder_not_found",
        "run_not_found",
        "artifact_not_found",
        "dataset_not_found",
    ),
}


def routes() -> list[Route]:
    accepts = (uploads.FORM, *uploads.BODIES)
    return [
        Route(
            method="POST",
            path=MODELS,
            handler=register_model,
            summary="Register a version: an archive (tar, tar.gz, zip) or a graph as the body, a form with model.toml "
            "and its files, or JSON that names a run's artifact or a folder under the models folder",
            reply=ModelVersion,
            status=201,
            also=(200,),
            fails=REFUSED,
            accepts=accepts,
            streams=True,
            options=RegisterQuery,
            reads=RegisterBody,
            example={"run_id": examples.ID, "artifact": "model", "note": "trained on cc0 tiles"},
            scope="admin",
        ),
        Route(
            method="POST",
            path=f"{MODELS}/{{name}}/versions",
            handler=register_version,
            summary="Register a version of this model; without a model.toml it takes the manifest of the newest one",
            reply=ModelVersion,
            status=201,
            also=(200,),
            fails=REFUSED,
            accepts=accepts,
            streams=True,
            options=RegisterQuery,
            reads=RegisterBody,
            example={"run_id": examples.ID, "artifact": "model", "note": "trained on cc0 tiles"},
            scope="admin",
        ),
        Route(
            method="GET",
            path=f"{VERSION}/download",
            handler=download_version,
            fails={404: ("model_not_found",), 409: ("files_missing",)},
            summary="All files of a version as a tar, which can be registered elsewhere",
            produces=(TAR,),
        ),
        Route(
            method="GET",
            path=f"{VERSION}/files/{{file}}",
            handler=get_model_file,
            also=(206, 304),
            fails={
                404: ("model_not_found", "file_not_found"),
                409: ("files_missing",),
                **content.REFUSED,
            },
            summary="One file of a version, with ETag and ranges",
            produces=(ANY,),
        ),
        Route(
            method="GET",
            path=f"{VERSION}/card",
            handler=get_card,
            fails={404: ("model_not_found",), 409: ("files_missing",)},
            summary="What its makers wrote about a version",
            reply=ModelCard,
        ),
        Route(
            method="GET",
            path=f"{VERSION}/golden",
            handler=get_golden,
            fails={404: ("model_not_found",), 409: ("files_missing",)},
            summary="The golden inputs that a version is compared with others on",
            reply=GoldenInputs,
        ),
    ]


async def register_model(request: web.Request) -> web.Response:
    return await _register(request, "")


async def register_version(request: web.Request) -> web.Response:
    return await _register(request, request.match_info["name"])


async def _register(request: web.Request, name: str) -> web.Response:
    registry = await opened(request)
    if request.content_type == wire.JSON:
        row, new = await _from_here(request, wire.decode(await request.read(), RegisterBody), name)
    else:
        row, new = await _from_upload(request, name)
    headers = {"Location": f"/api/v1{MODELS}/{row.name}/versions/{row.version}"}
    return reply(registry.wire(row), 201 if new else 200, headers)


async def _from_upload(request: web.Request, name: str) -> tuple[ModelVersionRow, bool]:
    registry = await opened(request)
    room = registry.files.max_bytes
    async with registry.files.room() as folder:
        fields = dict(request.query)
        if request.content_type == uploads.FORM:
            source, told = await uploads.from_form(request, folder, room)
            fields |= told
        elif request.content_type in uploads.BODIES:
            source = await uploads.from_body(request, folder, room)
        else:
            raise errors.UnsupportedMedia(
                "send an archive (application/x-tar, application/gzip, application/zip), a graph "
                f"({ANY}), a form with files, or {wire.JSON}; not {request.content_type}"
            )
        told = wire.convert(fields, RegisterQuery, "field")
        origin = Origin(
            by=author(request, told.by),
            source_run=told.source_run,
            training_job=told.training_job,
            dataset=told.dataset,
            note=told.note,
        )
        named = _one_name(name, told.name)
        return await registration.register(registry, source, named, told.version, origin)


async def _from_here(
    request: web.Request, body: RegisterBody, name: str
) -> tuple[ModelVersionRow, bool]:
    registry = await opened(request)
    if bool(body.folder) == bool(body.run_id):
        raise errors.Invalid(
            "say either `folder`, or `run_id` with `artifact`", code="no_source", field="folder"
        )
    origin = Origin(
        by=author(request, body.by),
        source_run=body.run_id,
        training_job=body.training_job,
        dataset=body.dataset,
        note=body.note,
    )
    if body.folder:
        models = request.app[keys.SETTINGS].models
        return await registration.register_bundled(registry, body.folder, models, origin)
    await request.app[RUNS].find(body.run_id)
    async with registry.files.room() as folder:
        source = await uploads.from_artifact(
            registry.db, request.app[FILES], body.run_id, body.artifact, folder
        )
        named = _one_name(name, body.name)
        return await registration.register(registry, source, named, body.version, origin)


def _one_name(path: str, told: str | None) -> str | None:
    if path and told not in (None, path):
        raise errors.Invalid(
            f"the path says model {path!r} and the request {told!r}", code="bad_name", field="name"
        )
    return path or told


async def get_model_file(request: web.Request) -> web.StreamResponse:
    folder, name = await _folder(request), request.match_info["file"]
    if name not in folder.files:
        raise errors.NotFound(f"this version has no file {name!r}", code="file_not_found")
    headers: dict[str, str] = {
        hdrs.CONTENT_TYPE: ANY,
        hdrs.CONTENT_DISPOSITION: disposition(name),
    }
    return content.answer(request, folder.path / name, folder.files[name], headers)


async def get_card(request: web.Request) -> ModelCard:
    folder = await _folder(request)
    return ModelCard(text=await asyncio.to_thread(files.card, folder.path))


async def get_golden(request: web.Request) -> GoldenInputs:
    return await asyncio.to_thread(golden.inputs, await _folder(request))


async def download_version(request: web.Request) -> web.StreamResponse:
    """Written as it is read: no copy of the archive is made."""
    folder = await _folder(request)
    name = f"{folder.name}-{folder.version}.tar"
    response = web.StreamResponse(
        headers={
            hdrs.CONTENT_TYPE: TAR,
            hdrs.CONTENT_DISPOSITION: f'attachment; filename="{name}"',
        }
    )
    await response.prepare(request)
    if request.method != hdrs.METH_HEAD:
        for path in sorted(path for path in folder.path.iterdir() if path.is_file()):
            await _send(response, path)
        await response.write(bytes(2 * tarfile.BLOCKSIZE))
    return response


async def _send(response: web.StreamResponse, path: Path) -> None:
    info = tarfile.TarInfo(path.name)
    with path.open("rb") as file:
        info.size = os.fstat(file.fileno()).st_size
        await response.write(info.tobuf())
        while chunk := await asyncio.to_thread(file.read, uploads.CHUNK):
            await response.write(chunk)
    await response.write(bytes(-info.size % tarfile.BLOCKSIZE))


async def _folder(request: web.Request) -> ModelFolder:
    registry = await opened(request)
    return registry.folder(registry.version(reference(request)).id)
