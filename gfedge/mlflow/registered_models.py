"""Registered models, as MLflow's clients make, find, tag and rename them: the registry's own, with those of this server."""

from __future__ import annotations

import time

from aiohttp import web
from msgspec.structs import replace

from gfedge.mlflow import filter as filters
from gfedge.mlflow import limits, pages, refusals, versions
from gfedge.mlflow.experiments import key_values, milliseconds
from gfedge.mlflow.filter import Clause, Grammar, Key, Order
from gfedge.mlflow.model_types import (
    Alias,
    LatestAsked,
    ModelCreate,
    ModelFound,
    ModelNamed,
    ModelRename,
    ModelsFound,
    ModelTag,
    ModelTagKey,
    ModelUpdate,
    RegisteredModel,
    Search,
    VersionsFound,
)
from gfedge.mlflow.protocol import Nothing, call
from gfedge.mlflow.types import KeyValue
from gfedge.registry import labels
from gfedge.registry import policy as held
from gfedge.registry.registry import Registry
from gfedge.registry.routes import author, opened
from gfedge.wire import Route

PROMPT_TAG = "mlflow.prompt.is_prompt"
PAGE, MAX_PAGE = 100, 1000
TIMES = {"timestamp": "updated", "last_updated_timestamp": "updated"}
GRAMMAR = Grammar(
    texts={"name": "name"},
    lists=("name",),
    entities=("tag", "attribute"),
    ordered={"name": "name", **TIMES},
)
BY_NAME = Order(Key("attribute", "name"))


def routes() -> list[Route]:
    at = "registered-models"
    return [
        call("POST", f"{at}/create", create_registered_model, ModelCreate, ModelFound, "MLflow: make a registered model, yet without versions", example={"name": "classifier"}),
        call("GET", f"{at}/get", get_registered_model, ModelNamed, ModelFound, "MLflow: a registered model with its newest versions"),
        call("GET", f"{at}/search", search_registered_models, Search, ModelsFound, "MLflow: registered models by a filter"),
        call("PATCH", f"{at}/update", update_registered_model, ModelUpdate, ModelFound, "MLflow: describe a registered model"),
        call("POST", f"{at}/rename", rename_registered_model, ModelRename, ModelFound, "MLflow: rename a registered model that is not run here", example={"name": "classifier", "new_name": "labels"}),
        call("DELETE", f"{at}/delete", delete_registered_model, ModelNamed, Nothing, "MLflow: take a registered model away", scope="admin", example={"name": "classifier"}),
        call("POST", f"{at}/set-tag", set_registered_model_tag, ModelTag, Nothing, "MLflow: tag a registered model"),
        call("DELETE", f"{at}/delete-tag", delete_registered_model_tag, ModelTagKey, Nothing, "MLflow: take a tag away"),
        call("POST", f"{at}/get-latest-versions", get_latest_versions, LatestAsked, VersionsFound, "MLflow: the newest version of each stage", scope="read", example={"name": "sprite"}),
        call("GET", f"{at}/get-latest-versions", list_latest_versions, LatestAsked, VersionsFound, "MLflow: the newest version of each stage"),
    ]  # fmt: skip


async def create_registered_model(request: web.Request, asked: ModelCreate) -> ModelFound:
    name = limits.model_name(asked.name)
    refuse_prompts(asked.tags)
    registry = await opened(request)
    if name in registry.registered():
        raise refusals.exists(f"Registered Model (name={name}) already exists.")
    now = time.time()
    model = replace(
        registry.settings(name),
        description=asked.description or "",
        tags={tag.key: _checked(tag) for tag in asked.tags},
        created_at=now,
        updated_at=now,
    )
    await registry.commit([], model)
    return ModelFound(registered_model=shown(registry, name))


async def get_registered_model(request: web.Request, asked: ModelNamed) -> ModelFound:
    registry = await opened(request)
    return ModelFound(registered_model=shown(registry, found(registry, asked.name)))


async def search_registered_models(request: web.Request, asked: Search) -> ModelsFound:
    registry = await opened(request)
    most = limits.page(PAGE if asked.max_results is None else asked.max_results, MAX_PAGE)
    clauses = filters.parse(asked.filter, GRAMMAR)
    orders = [*filters.parse_orders(asked.order_by, GRAMMAR), BY_NAME]
    models = (
        [] if asks_for_prompts(clauses) else [_model(registry, n) for n in registry.registered()]
    )
    fitting = pages.search(models, without_prompts(clauses), orders, _value)
    page, token = pages.cut(fitting, most, asked.page_token)
    return ModelsFound(
        registered_models=[shown(registry, model.name) for model in page], next_page_token=token
    )


async def update_registered_model(request: web.Request, asked: ModelUpdate) -> ModelFound:
    registry = await opened(request)
    name = found(registry, asked.name)
    await change(registry, name, description=asked.description or "")
    return ModelFound(registered_model=shown(registry, name))


async def rename_registered_model(request: web.Request, asked: ModelRename) -> ModelFound:
    registry = await opened(request)
    name, new = found(registry, asked.name), limits.model_name(asked.new_name, "new_name")
    if new in registry.registered():
        raise refusals.exists(f"Registered Model (name={new}) already exists.")
    if any(row.is_run_here for row in registry.versions(name)):
        raise refusals.denied(
            f"{name} is run here, and what its versions made names them: register them under the new name"
        )
    model = replace(_model(registry, name), name=new, updated_at=time.time())
    told = {"renamed": [name, new]}
    change = labels.change_of_model(new, "described", author(request), "", told)
    await registry.rename(name, model, change)
    return ModelFound(registered_model=shown(registry, new))


async def delete_registered_model(request: web.Request, asked: ModelNamed) -> Nothing:
    registry = await opened(request)
    name = found(registry, asked.name)
    rows = registry.versions(name)
    for row in rows:
        if row.is_run_here:
            labels.check_deletable(row, registry.jobs_of(row.id), registry.settings(name))
    gone = [replace(row, stage="archived", aliases=[], deleted_at=time.time()) for row in rows]
    changes = [
        labels.change(row, "deleted", author(request), {"digest": row.digest}) for row in rows
    ]
    await registry.remove(name, gone, *changes)
    return Nothing()


async def set_registered_model_tag(request: web.Request, asked: ModelTag) -> Nothing:
    registry = await opened(request)
    tag = KeyValue(asked.key, asked.value)
    refuse_prompts([tag])
    value = _checked(tag)
    name = found(registry, asked.name)
    await change(registry, name, tags={**(_model(registry, name).tags or {}), asked.key: value})
    return Nothing()


async def delete_registered_model_tag(request: web.Request, asked: ModelTagKey) -> Nothing:
    registry = await opened(request)
    name = found(registry, asked.name)
    tags = _model(registry, name).tags or {}
    await change(registry, name, tags={k: v for k, v in tags.items() if k != asked.key})
    return Nothing()


async def get_latest_versions(request: web.Request, asked: LatestAsked) -> VersionsFound:
    registry = await opened(request)
    name = found(registry, asked.name)
    wanted = {versions.stage(one) for one in asked.stages}
    return VersionsFound(
        model_versions=[
            versions.shown(registry, row)
            for row in versions.newest(registry, name)
            if not wanted or row.stage in wanted
        ]
    )


async def list_latest_versions(request: web.Request, asked: LatestAsked) -> VersionsFound:
    return await get_latest_versions(request, asked)


# For the other modules


def found(registry: Registry, name: str) -> str:
    """The name of a model that there is."""
    if limits.model_name(name) not in registry.registered():
        raise refusals.absent(f"Registered Model with name={name} not found")
    return name


async def change(registry: Registry, name: str, **values: object) -> None:
    """Writes what is told of a model as a whole."""
    await registry.commit([], changed(registry, name, **values))


def changed(registry: Registry, name: str, **values: object) -> held.RegisteredModel:
    """What is told of a model as a whole, changed now: a version that comes, goes or moves changes its model."""
    return replace(_model(registry, name), updated_at=time.time(), **values)


def shown(registry: Registry, name: str) -> RegisteredModel:
    model = _model(registry, name)
    aliases = [
        Alias(alias, row.version)
        for row in registry.versions(name)
        for alias in versions.aliases(registry, row)
    ]
    return RegisteredModel(
        name=name,
        creation_timestamp=milliseconds(model.created_at or 0.0),
        last_updated_timestamp=milliseconds(model.updated_at or 0.0),
        description=model.description or None,
        latest_versions=[
            versions.shown(registry, row, aliased=False) for row in versions.newest(registry, name)
        ],
        tags=key_values((model.tags or {}).items()),
        aliases=sorted(aliases, key=lambda one: one.alias),
    )


def refuse_prompts(tags: list[KeyValue]) -> None:
    if any(tag.key == PROMPT_TAG and tag.value.lower() == "true" for tag in tags):
        raise refusals.not_implemented("prompts are not kept by this server: see docs/mlflow.md")


def asks_for_prompts(clauses: list[Clause]) -> bool:
    return any(
        clause.key.name == PROMPT_TAG and (clause.operator, clause.value) in _PROMPTS
        for clause in clauses
    )


def without_prompts(clauses: list[Clause]) -> list[Clause]:
    """Nothing here is a prompt, so whoever asks for what is none asks for everything."""
    return [clause for clause in clauses if clause.key.name != PROMPT_TAG]


# Inside

_PROMPTS = (("=", "true"), ("!=", "false"))


def _model(registry: Registry, name: str) -> held.RegisteredModel:
    """A model, also one whose beginning is that of its first version."""
    model = registry.settings(name)
    if model.created_at is not None:
        return model
    times = [row.registered_at for row in registry.versions(name)]
    changed = [row.updated_at or row.registered_at for row in registry.versions(name)]
    return replace(
        model,
        created_at=min(times, default=0.0),
        updated_at=model.updated_at or max(changed, default=0.0),
    )


def _value(model: held.RegisteredModel, key: Key) -> str | float | None:
    if key.entity == "tag":
        return (model.tags or {}).get(key.name)
    return model.name if key.name == "name" else milliseconds(model.updated_at or 0.0)


def _checked(tag: KeyValue) -> str:
    limits.key(tag.key, "key")
    limits.length(tag.value, limits.REGISTRY_TAG, "value")
    return tag.value
