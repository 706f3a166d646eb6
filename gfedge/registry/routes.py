"""The registry over HTTP: models, their versions, how they are labelled, and what was changed."""

from __future__ import annotations

import time

from aiohttp import web
from msgspec.structs import replace

from gfedge import auth, errors, keys
from gfedge.registry import labels, store
from gfedge.registry.registry import Registry
from gfedge.registry.types import (
    History,
    Model,
    ModelQuery,
    Models,
    ModelVersion,
    VersionPatch,
)
from gfedge.wire import Route

REGISTRY = web.AppKey("registry", Registry)
MODELS = "/ml-platform/models"
GONE = {404: ("model_not_found",)}
VERSION = f"{MODELS}/{{name}}/versions/{{version}}"


def routes() -> list[Route]:
    return [
        Route(
            method="GET",
            path=MODELS,
            handler=list_models,
            summary="Models, their versions and which one serves; and the folders that were refused",
            query=ModelQuery,
            reply=Models,
        ),
        Route(
            method="GET",
            path=f"{MODELS}/{{name}}",
            handler=get_model,
            fails=GONE,
            summary="One model with its versions",
            reply=Model,
        ),
        Route(
            method="GET",
            path=VERSION,
            handler=get_model_version,
            fails=GONE,
            summary="One version, by its number, its stage or an alias",
            reply=ModelVersion,
        ),
        Route(
            method="PATCH",
            path=VERSION,
            handler=patch_version,
            fails={**GONE, 422: ("bad_alias",)},
            summary="Describe and label a version; what it is never changes",
            body=VersionPatch,
            reply=ModelVersion,
            scope="admin",
        ),
        Route(
            method="DELETE",
            path=VERSION,
            handler=delete_version,
            fails={**GONE, 409: ("version_in_use", "version_bundled")},
            summary="Remove the files of a version that neither serves nor has jobs; its record stays",
            reply=ModelVersion,
            scope="admin",
        ),
        Route(
            method="GET",
            path=f"{MODELS}/{{name}}/history",
            handler=get_model_history,
            fails=GONE,
            summary="What was changed on a model, by whom, why, and by which figures",
            reply=History,
        ),
    ]


def author(request: web.Request, by: str = "") -> str:
    """Who does it: the token's name, or on this machine itself whoever the request names."""
    who = auth.who(request)
    return by if by and who == auth.LOCAL else who.name


async def opened(request: web.Request) -> Registry:
    registry = request.app[REGISTRY]
    await registry.opened()
    return registry


async def list_models(request: web.Request, query: ModelQuery) -> Models:
    registry = await opened(request)
    return Models(models=registry.models(query), refused=registry.refused)


async def get_model(request: web.Request) -> Model:
    registry, name = await opened(request), request.match_info["name"].partition("@")[0]
    found = registry.model(name)
    if not found.versions:
        raise errors.NotFound(f"no model {name!r} is here", code="model_not_found")
    return found


async def get_model_version(request: web.Request) -> ModelVersion:
    registry = await opened(request)
    return registry.wire(registry.version(reference(request)))


async def patch_version(request: web.Request, body: VersionPatch) -> ModelVersion:
    registry = await opened(request)
    row = registry.version(reference(request))
    rows = labels.patched(registry.versions(row.name), row, body)
    if changed := labels.difference(row, rows[0]):
        await registry.commit(
            rows, labels.change(row, "described", author(request, body.by), changed)
        )
    return registry.wire(rows[0])


async def delete_version(request: web.Request) -> ModelVersion:
    registry = await opened(request)
    row = registry.version(reference(request))
    labels.check_deletable(row, registry.jobs_of(row.id), registry.settings(row.name))
    wire = registry.wire(row)
    gone = replace(row, stage="archived", aliases=[], deleted_at=time.time())
    await registry.commit(
        [gone], labels.change(row, "deleted", author(request), {"digest": row.digest})
    )
    await registry.forget(gone)
    return wire


async def get_model_history(request: web.Request) -> History:
    name = request.match_info["name"].partition("@")[0]
    changes = await request.app[keys.DB].read(store.changes, name)
    if not changes:
        raise errors.NotFound(f"no model {name!r} is here", code="model_not_found")
    return History(name=name, changes=changes[::-1])


def reference(request: web.Request) -> str:
    return f"{request.match_info['name']}@{request.match_info['version']}"
