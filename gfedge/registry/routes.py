"""The registry over HTTP."""

from __future__ import annotations

from aiohttp import web

from gfedge import errors
from gfedge.registry.registry import Registry
from gfedge.registry.types import Model, Models
from gfedge.wire import Route

REGISTRY = web.AppKey("registry", Registry)


def routes() -> list[Route]:
    return [
        Route(
            method="GET",
            path="/ml-platform/models",
            handler=list_models,
            summary="Models, their versions and which one serves; and the folders that were refused",
            reply=Models,
        ),
        Route(
            method="GET",
            path="/ml-platform/models/{name}",
            handler=get_model,
            summary="One model",
            reply=Model,
        ),
    ]


async def list_models(request: web.Request) -> Models:
    registry = request.app[REGISTRY]
    await registry.opened()
    return Models(models=registry.models(), refused=registry.refused)


async def get_model(request: web.Request) -> Model:
    name = request.match_info["name"].partition("@")[0]
    registry = request.app[REGISTRY]
    await registry.opened()
    for model in registry.models():
        if model.name == name:
            return model
    raise errors.NotFound(f"no model {name!r} is here", code="model_not_found")
