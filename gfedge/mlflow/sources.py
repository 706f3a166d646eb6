"""Where a registered version comes from: `models:/`, `runs:/` or `mlflow-artifacts:/` here, or a store elsewhere.

What is here is named anew by the version, so it has its files whatever becomes of the run that logged them.
"""

from __future__ import annotations

import re
import time
from urllib.parse import unquote, urlsplit

import msgspec
from aiohttp import web

from gfedge import auth, errors, keys
from gfedge.mlflow import logged_models, places, refusals, runs, servable, versions
from gfedge.mlflow.model_types import VersionCreate
from gfedge.mlflow.places import Place
from gfedge.registry import kept
from gfedge.registry.registration import Origin
from gfedge.registry.routes import author, opened
from gfedge.registry.types import ModelVersionRow
from gfedge.tracking import artifacts
from gfedge.tracking.artifact_types import ArtifactRow


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What a version is made of. Without files it lies at a store elsewhere."""

    uri: str
    run_id: str = ""
    model_id: str = ""
    files: list[ArtifactRow] = []


async def origin(request: web.Request, asked: VersionCreate) -> Source:
    """Looks a source up; Refused where it is not what its run or its model has."""
    scheme = urlsplit(asked.source).scheme
    plain = _unquoted(asked.source)
    if {".", ".."} & set(plain.split("/")) or "\0" in plain:
        raise refusals.invalid(
            f"Invalid model version source: '{asked.source}'. If supplying a source as an http, https, local "
            "file path, ftp, objectstore, or mlflow-artifacts uri, an absolute path must be provided "
            "without relative path references present. Please provide an absolute path."
        )
    match scheme:
        case "models":
            return await _of_model(request, asked)
        case "runs":
            run_id, _, path = asked.source.removeprefix("runs:/").strip("/").partition("/")
            if (asked.run_id and asked.run_id != run_id) or urlsplit(asked.source).netloc:
                raise _misplaced(asked.source, "run_id")
            if not asked.run_id and not await runs.is_known(request, run_id):
                raise _misplaced(asked.source, "run_id")
            at = Place("run", run_id, path)
            return await _here(request, asked, at, run_id, "")
        case "mlflow-artifacts":
            if urlsplit(asked.source).netloc:
                raise _elsewhere(asked.source)
            path = re.sub("/+", "/", unquote(urlsplit(asked.source).path)).strip("/")
            return await _at_place(request, asked, await places.place(request, path))
        case "" | "file":
            parameter = "model_id" if asked.model_id else "run_id"
            raise refusals.invalid(
                f"Invalid model version source: '{asked.source}'. To use a local path as a model version "
                f"source, the {parameter} request parameter has to be specified and the local path has to be "
                f"contained within the artifact directory of the run specified by the {parameter}; the files "
                "of this server's runs have no local paths: name them by models:/, runs:/ or mlflow-artifacts:/."
            )
        case "http" | "https" | "ftp" | "sftp":
            raise _elsewhere(asked.source)
    return Source(uri=asked.source, run_id=asked.run_id or "", model_id=asked.model_id or "")


async def register(
    request: web.Request, name: str, source: Source, asked: VersionCreate
) -> ModelVersionRow:
    """The version: one that is run here where its files fit, and else one that is kept."""
    registry = await opened(request)
    known = bool(source.run_id) and await runs.is_known(request, source.run_id)
    by = Origin(by=author(request), source_run=source.run_id if known else "")
    told = {
        "source_run": source.run_id,
        "uri": source.uri,
        "model_id": source.model_id,
        "run_link": asked.run_link or "",
    }
    if source.files and auth.who(request).may("admin"):
        row = await servable.register(request, name, source.files, by, told)
        if row is not None:  # what is run needs few of them; whoever loads it with MLflow, all
            named = (msgspec.structs.replace(file, run_id=row.id) for file in source.files)
            await request.app[keys.DB].insert(*named)
            return row
    return await kept.keep(registry, name, source.files, by, **told)


async def files_of(request: web.Request, owner: str, path: str = "") -> list[ArtifactRow]:
    """The files of an owner below a folder, with paths from there."""
    return await request.app[keys.DB].read(artifacts.files_below, owner, path)


async def _of_model(request: web.Request, asked: VersionCreate) -> Source:
    named = asked.source.removeprefix("models:").strip("/")
    if named.startswith(places.MODEL_ID) and "/" not in named:
        if asked.model_id and asked.model_id != named:
            raise _misplaced(asked.source, "model_id")
        try:
            model = await logged_models.found(request, named)
        except errors.ApiError:
            raise _misplaced(asked.source, "model_id") from None
        at = Place("model", named, "")
        return await _here(request, asked, at, asked.run_id or model.run_id, named)
    registry = await opened(request)
    name, _, label = unquote(named).replace("@", "/").partition("/")
    row = registry.resolve(f"{name}@{versions.FOLLOWING.get(label, label)}") if label else None
    if row is None:
        raise refusals.absent(f"Model Version (name={name}, version={label}) not found")
    at = Place("version", row.id, "")
    uri = f"models:/{row.name}/{row.version}"
    found = await _here(request, asked, at, asked.run_id or row.source_run, row.model_id)
    return msgspec.structs.replace(found, uri=uri)


async def _at_place(request: web.Request, asked: VersionCreate, at: Place) -> Source:
    if at.kind == "run":
        if asked.run_id != at.owner:
            raise _misplaced(asked.source, "run_id")
        return await _here(request, asked, at, at.owner, "")
    if at.kind == "model":
        if asked.model_id != at.owner:
            raise _misplaced(asked.source, "model_id")
        model = await logged_models.found(request, at.owner)
        return await _here(request, asked, at, asked.run_id or model.run_id, at.owner)
    raise _misplaced(asked.source, "run_id")


async def _here(
    request: web.Request, asked: VersionCreate, at: Place, run_id: str, model_id: str
) -> Source:
    files = await files_of(request, at.owner, at.path)
    now = time.time()
    return Source(
        uri=asked.source,
        run_id=run_id,
        model_id=model_id,
        files=[msgspec.structs.replace(file, created_at=now) for file in files],
    )


def _unquoted(text: str) -> str:
    """As it is when it is decoded as often as that changes it."""
    while (plain := unquote(text)) != text:
        text = plain
    return text


def _elsewhere(source: str) -> refusals.Refused:
    return refusals.invalid(
        f"Invalid model version source: '{source}'. It is at another host: name what is here (models:/, runs:/, "
        "mlflow-artifacts:/) or a store that clients reach themselves (s3://…)."
    )


def _misplaced(source: str, parameter: str) -> refusals.Refused:
    return refusals.invalid(
        f"Invalid model version source: '{source}'. The {parameter} request parameter must identify the "
        "resource that contains the source."
    )
