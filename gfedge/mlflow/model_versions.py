"""Model versions, as MLflow's clients make, find, label and promote them: promotion goes through the gates of this server."""

from __future__ import annotations

import re
import time
from typing import Any

from aiohttp import web
from msgspec.structs import replace

from gfedge import auth, errors
from gfedge.mlflow import filter as filters
from gfedge.mlflow import limits, logged_models, pages, refusals, sources, versions
from gfedge.mlflow.experiments import milliseconds
from gfedge.mlflow.filter import Grammar, Key, Order
from gfedge.mlflow.model_types import (
    AliasNamed,
    AliasSet,
    DownloadUri,
    Search,
    StageAsked,
    VersionCreate,
    VersionFound,
    VersionNamed,
    VersionsFound,
    VersionTag,
    VersionTagKey,
    VersionUpdate,
)
from gfedge.mlflow.protocol import Nothing, call
from gfedge.mlflow.registered_models import (
    asks_for_prompts,
    change,
    changed,
    found,
    refuse_prompts,
    without_prompts,
)
from gfedge.mlflow.types import KeyValue
from gfedge.registry import labels, references
from gfedge.registry.gates import GateFailed, failed
from gfedge.registry.policy import PromoteBody
from gfedge.registry.promotion_routes import PROMOTIONS
from gfedge.registry.registry import Registry
from gfedge.registry.routes import author, opened
from gfedge.registry.types import ModelVersionRow, Stage
from gfedge.wire import Route

MODELS = "models:/"
PAGE, MAX_PAGE = 10_000, 200_000
_alias = re.compile(r"[\w\-]+")
_version_alias = re.compile(r"[vV]\d+")
TIMES = {"creation_timestamp": "created", "last_updated_timestamp": "updated"}
GRAMMAR = Grammar(
    texts={"name": "name", "run_id": "run_id", "source_path": "source"},
    numbers={"version_number": "version", "version": "version"},
    lists=("name", "run_id"),
    entities=("tag", "attribute"),
    nulls=("tag",),
    ordered={"name": "name", "version_number": "version", **TIMES},
)
ORDER = (Order(Key("attribute", "name")), Order(Key("attribute", "version"), True))
NEWEST = Order(Key("attribute", "updated"), True)


def routes() -> list[Route]:
    at, alias = "model-versions", "registered-models/alias"
    return [
        call("POST", f"{at}/create", create_model_version, VersionCreate, VersionFound, "MLflow: register a version; an ONNX graph that fits is run here", example={"name": "sprite", "source": "s3://bucket/model"}),
        call("GET", f"{at}/get", get_version, VersionNamed, VersionFound, "MLflow: a version"),
        call("GET", f"{at}/search", search_model_versions, Search, VersionsFound, "MLflow: versions by a filter"),
        call("PATCH", f"{at}/update", update_model_version, VersionUpdate, VersionFound, "MLflow: describe a version"),
        call("DELETE", f"{at}/delete", delete_version, VersionNamed, Nothing, "MLflow: take a version away", scope="admin", example={"name": "classifier", "version": "1"}),
        call("POST", f"{at}/set-tag", set_model_version_tag, VersionTag, Nothing, "MLflow: tag a version"),
        call("DELETE", f"{at}/delete-tag", delete_model_version_tag, VersionTagKey, Nothing, "MLflow: take a tag away"),
        call("GET", f"{at}/get-download-uri", get_download_uri, VersionNamed, DownloadUri, "MLflow: where the files of a version are"),
        call("POST", f"{at}/transition-stage", transition_stage, StageAsked, VersionFound, "MLflow: promote a version, if its gates hold", scope="admin", example={"name": "classifier", "version": "1", "stage": "Staging"}),
        call("POST", alias, set_alias, AliasSet, Nothing, "MLflow: name a version; `prod`, `champion` and `staging` promote it"),
        call("GET", alias, get_version_by_alias, AliasNamed, VersionFound, "MLflow: the version of an alias"),
        call("DELETE", alias, delete_alias, AliasNamed, Nothing, "MLflow: take an alias away"),
    ]  # fmt: skip


async def create_model_version(request: web.Request, asked: VersionCreate) -> VersionFound:
    registry = await opened(request)
    refuse_prompts(asked.tags)
    origin = await sources.origin(request, asked)
    tags = {tag.key: _checked(tag) for tag in asked.tags}
    name = found(registry, asked.name)
    row = await sources.register(request, name, origin, asked)
    row = replace(row, tags={**row.tags, **tags}, description=asked.description or row.description)
    await registry.commit([row], changed(registry, name))
    if row.model_id:
        await _tell_model(request, row)
    return VersionFound(model_version=versions.shown(registry, row))


async def get_version(request: web.Request, asked: VersionNamed) -> VersionFound:
    registry = await opened(request)
    return VersionFound(model_version=versions.shown(registry, _version(registry, asked)))


async def search_model_versions(request: web.Request, asked: Search) -> VersionsFound:
    registry = await opened(request)
    most = limits.page(PAGE if asked.max_results is None else asked.max_results, MAX_PAGE)
    clauses = filters.parse(asked.filter, GRAMMAR)
    orders = filters.parse_orders(asked.order_by, GRAMMAR) or [NEWEST]
    rows = [row for row in registry.recorded() if row.deleted_at is None]
    rows = [] if asks_for_prompts(clauses) else rows
    fitting = pages.search(rows, without_prompts(clauses), [*orders, *ORDER], _value)
    page, token = pages.cut(fitting, most, asked.page_token)
    return VersionsFound(
        model_versions=[versions.shown(registry, row, aliased=False) for row in page],
        next_page_token=token,
    )


async def update_model_version(request: web.Request, asked: VersionUpdate) -> VersionFound:
    registry = await opened(request)
    row = _version(registry, asked)
    row = await _relabel(request, row, replace(row, description=asked.description or ""))
    return VersionFound(model_version=versions.shown(registry, row))


async def delete_version(request: web.Request, asked: VersionNamed) -> Nothing:
    registry = await opened(request)
    row = _version(registry, asked)
    labels.check_deletable(row, registry.jobs_of(row.id), registry.settings(row.name))
    await change(registry, row.name)  # its last version may go, the model stays
    gone = replace(row, stage="archived", aliases=[], deleted_at=time.time())
    told = {"digest": row.digest}
    await registry.commit([gone], labels.change(row, "deleted", author(request), told))
    await registry.forget(gone)
    return Nothing()


async def set_model_version_tag(request: web.Request, asked: VersionTag) -> Nothing:
    value = _checked(KeyValue(asked.key, asked.value))
    row = _version(await opened(request), asked)
    await _relabel(request, row, replace(row, tags={**row.tags, asked.key: value}))
    return Nothing()


async def delete_model_version_tag(request: web.Request, asked: VersionTagKey) -> Nothing:
    row = _version(await opened(request), asked)
    tags = {key: value for key, value in row.tags.items() if key != asked.key}
    await _relabel(request, row, replace(row, tags=tags))
    return Nothing()


async def get_download_uri(request: web.Request, asked: VersionNamed) -> DownloadUri:
    registry = await opened(request)
    row = _version(registry, asked)
    while not row.is_run_here and not await sources.files_of(request, row.id):
        if (copied := _copied(registry, row)) is None:
            return DownloadUri(artifact_uri=row.uri)
        row = copied
    return DownloadUri(artifact_uri=versions.place(row))


def _copied(registry: Registry, row: ModelVersionRow) -> ModelVersionRow | None:
    """The version that one was copied of (`models:/name/3`), if any."""
    name, _, version = row.uri.removeprefix(MODELS).partition("/")
    return registry.resolve(f"{name}@{version}") if row.uri.startswith(MODELS) and version else None


# Stages and aliases


async def transition_stage(request: web.Request, asked: StageAsked) -> VersionFound:
    registry = await opened(request)
    stage = versions.stage(asked.stage)
    row = _version(registry, asked)
    if asked.archive_existing_versions and stage not in ("staging", "prod"):
        raise refusals.invalid(
            "Model version transition cannot archive existing model versions because "
            f"'{asked.stage}' is not an Active stage. Valid stages are ['Production', 'Staging']"
        )
    await _promote(request, row, stage)
    if asked.archive_existing_versions:
        others = [one for one in registry.versions(row.name) if one.stage == stage]
        for other in others:
            if other.id != row.id:
                await _promote(request, other, "archived")
    return VersionFound(model_version=versions.shown(registry, _version(registry, asked)))


async def set_alias(request: web.Request, asked: AliasSet) -> Nothing:
    registry = await opened(request)
    alias = _checked_alias(asked.alias)
    if alias.lower() == references.LATEST or _version_alias.fullmatch(alias):
        raise refusals.invalid(f"Version alias name '{alias}' is reserved.")
    row = _version(registry, VersionNamed(name=found(registry, asked.name), version=asked.version))
    if (stage := versions.FOLLOWING.get(alias)) is not None:
        await _promote(request, row, stage)
        return Nothing()
    losers = [
        replace(other, aliases=[one for one in other.aliases if one != alias])
        for other in registry.versions(row.name)
        if other.id != row.id and alias in other.aliases
    ]
    await _relabel(request, row, replace(row, aliases=sorted({*row.aliases, alias})), *losers)
    return Nothing()


async def get_version_by_alias(request: web.Request, asked: AliasNamed) -> VersionFound:
    registry = await opened(request)
    alias = _checked_alias(asked.alias)
    name = found(registry, asked.name)
    known = registry.versions(name)
    stage = versions.FOLLOWING.get(alias)
    if alias.lower() == references.LATEST or stage is not None:
        row = references.resolve(known, stage or references.LATEST)
    else:
        row = next((one for one in known if alias in one.aliases), None)
    if row is None:
        raise refusals.invalid(f"Registered model alias {alias} not found.")
    return VersionFound(model_version=versions.shown(registry, row))


async def delete_alias(request: web.Request, asked: AliasNamed) -> Nothing:
    registry = await opened(request)
    alias = _checked_alias(asked.alias)
    name = found(registry, asked.name)
    if alias in versions.FOLLOWING:
        raise refusals.denied(
            f"'{alias}' follows the stage here: promote another version, or move this one to Archived"
        )
    for row in registry.versions(name):
        if alias in row.aliases:
            aliases = [one for one in row.aliases if one != alias]
            await _relabel(request, row, replace(row, aliases=aliases))
    return Nothing()


async def _promote(request: web.Request, row: ModelVersionRow, stage: Stage) -> None:
    """Moves a version through the gates; one that is there stays without a word."""
    if row.stage == stage:
        return
    if not auth.who(request).may("admin"):
        raise refusals.denied(
            f"a token with the scope admin brings versions to {stage}; this one has less"
        )
    wanted = PromoteBody(version=row.version, stage=stage, reason="by an MLflow client")
    try:
        await request.app[PROMOTIONS].promote(row.name, wanted, author(request), admin=True)
    except GateFailed as refusal:
        why = "; ".join(
            f"{gate.gate}: {gate.note or gate.figure}" for gate in failed(refusal.gates)
        )
        raise refusals.denied(f"{refusal.detail} ({why})") from None
    registry = await opened(request)
    moved = replace(registry.version(row.id), updated_at=time.time())
    await registry.commit([moved], changed(registry, row.name))


# Inside


def _version(registry: Registry, asked: VersionNamed) -> ModelVersionRow:
    name = limits.model_name(asked.name)
    for row in registry.versions(name):
        if row.version == asked.version:
            return row
    if not asked.version.isdigit():
        raise refusals.invalid(f"Parameter 'version' must be an integer, got '{asked.version}'.")
    raise refusals.absent(f"Model Version (name={name}, version={asked.version}) not found")


async def _relabel(
    request: web.Request, row: ModelVersionRow, after: ModelVersionRow, *more: ModelVersionRow
) -> ModelVersionRow:
    """Writes labels, with an entry in the history where one differs."""
    registry = await opened(request)
    after = replace(after, updated_at=time.time())
    entries = []
    if told := labels.difference(row, after):
        entries.append(labels.change(row, "described", author(request), told))
    await registry.commit([after, *more], *entries)
    return after


async def _tell_model(request: web.Request, row: ModelVersionRow) -> None:
    """A logged model's tag names the versions that were made of it."""
    try:
        await logged_models.tell_version(request, row.model_id, row.name, row.version)
    except errors.ApiError:
        return  # it was deleted meanwhile; the version stands


def _value(row: ModelVersionRow, key: Key) -> str | float | None:
    if key.entity == "tag":
        return row.tags.get(key.name)
    found: dict[str, Any] = {
        "name": row.name,
        "run_id": row.source_run,
        "source": versions.source(row),
        "version": int(row.version) if row.version.isdigit() else 0,
        "created": milliseconds(row.registered_at),
        "updated": milliseconds(row.updated_at or row.registered_at),
    }
    value: str | float = found[key.name]
    return value


def _checked(tag: KeyValue) -> str:
    limits.key(tag.key, "key")
    limits.length(tag.value, limits.REGISTRY_TAG, "value")
    return tag.value


def _checked_alias(alias: str) -> str:
    if not _alias.fullmatch(alias):
        raise refusals.invalid(
            f"Invalid alias name: '{alias}'. Names may only contain alphanumerics, underscores (_), and "
            "dashes (-)."
        )
    limits.length(alias, limits.ALIAS, "Registered model alias name")
    return alias
