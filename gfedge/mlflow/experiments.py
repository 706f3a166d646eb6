"""Experiments, as MLflow's clients make, find and change them."""

from __future__ import annotations

import math
from collections.abc import Iterable

from aiohttp import web

from gfedge import errors
from gfedge.mlflow import filter as filters
from gfedge.mlflow import limits, pages, refusals
from gfedge.mlflow.filter import Grammar, Key, Order
from gfedge.mlflow.protocol import Nothing, call
from gfedge.mlflow.types import (
    Experiment,
    ExperimentCreate,
    ExperimentFound,
    ExperimentId,
    ExperimentMade,
    ExperimentName,
    ExperimentSearch,
    ExperimentsFound,
    ExperimentTag,
    ExperimentTagKey,
    ExperimentUpdate,
    KeyValue,
)
from gfedge.tracking.experiments import Experiments
from gfedge.tracking.routes import EXPERIMENTS
from gfedge.tracking.types import ExperimentCreate as Wanted
from gfedge.tracking.types import ExperimentPatch, ExperimentRow
from gfedge.wire import Route

DEFAULT_ID, DEFAULT_NAME = "0", "Default"
HERE = "mlflow-artifacts:"
MAX_PAGE = 50_000
GRAMMAR = Grammar(
    texts={"name": "name", "experiment_id": "experiment_id"},
    numbers={"creation_time": "creation_time", "last_update_time": "last_update_time"},
    lists=("experiment_id",),
    entities=("tag", "attribute"),
    nulls=("tag",),
)
NEWEST = [Order(Key("attribute", "creation_time"), True), Order(Key("attribute", "id"), True)]


def routes() -> list[Route]:
    at = "experiments"
    return [
        call("POST", f"{at}/create", create_experiment, ExperimentCreate, ExperimentMade, "MLflow: make an experiment"),
        call("GET", f"{at}/get", get_experiment, ExperimentId, ExperimentFound, "MLflow: an experiment, also a deleted one"),
        call("GET", f"{at}/get-by-name", get_experiment_by_name, ExperimentName, ExperimentFound, "MLflow: an experiment by its name"),
        call("POST", f"{at}/search", search_experiments, ExperimentSearch, ExperimentsFound, "MLflow: experiments by a filter", scope="read", example={"filter": "tags.team = 'art'", "max_results": 10}),
        call("GET", f"{at}/search", list_experiments, ExperimentSearch, ExperimentsFound, "MLflow: experiments by a filter"),
        call("POST", f"{at}/update", rename_experiment, ExperimentUpdate, Nothing, "MLflow: rename an experiment"),
        call("POST", f"{at}/delete", delete_experiment, ExperimentId, Nothing, "MLflow: hide an experiment and its runs"),
        call("POST", f"{at}/restore", restore_experiment, ExperimentId, Nothing, "MLflow: bring an experiment back"),
        call("POST", f"{at}/set-experiment-tag", set_experiment_tag, ExperimentTag, Nothing, "MLflow: tag an experiment"),
        call("POST", f"{at}/delete-experiment-tag", delete_experiment_tag, ExperimentTagKey, Nothing, "MLflow: take a tag away"),
    ]  # fmt: skip


async def create_experiment(request: web.Request, asked: ExperimentCreate) -> ExperimentMade:
    _check_name(asked.name)
    location = _location(asked.artifact_location)
    for tag in asked.tags:
        _check_tag(tag)
    await default(request)
    known = request.app[EXPERIMENTS]
    if known.of_name(asked.name) is not None:
        raise refusals.exists(f"Experiment(name={asked.name}) already exists.")
    wanted = Wanted(name=asked.name, tags={tag.key: tag.value for tag in asked.tags})
    row = await known.create(wanted, artifact_location=location)
    return ExperimentMade(experiment_id=row.id)


async def get_experiment(request: web.Request, asked: ExperimentId) -> ExperimentFound:
    return ExperimentFound(experiment=shown(await found(request, asked.experiment_id)))


async def get_experiment_by_name(request: web.Request, asked: ExperimentName) -> ExperimentFound:
    await default(request)
    row = request.app[EXPERIMENTS].of_name(asked.experiment_name)
    if row is None:
        raise refusals.absent(f"Could not find experiment with name '{asked.experiment_name}'")
    return ExperimentFound(experiment=shown(row))


async def search_experiments(request: web.Request, asked: ExperimentSearch) -> ExperimentsFound:
    await default(request)
    most = limits.page(asked.max_results, MAX_PAGE)
    clauses = filters.parse(asked.filter, GRAMMAR)
    orders = filters.parse_orders(asked.order_by, GRAMMAR) or NEWEST
    orders = [*orders, Order(Key("attribute", "id"))]
    rows = [row for row in request.app[EXPERIMENTS].all() if _is_in(row, asked.view_type)]
    page, token = pages.cut(pages.search(rows, clauses, orders, _value), most, asked.page_token)
    return ExperimentsFound(experiments=[shown(row) for row in page], next_page_token=token)


async def list_experiments(request: web.Request, asked: ExperimentSearch) -> ExperimentsFound:
    return await search_experiments(request, asked)


async def rename_experiment(request: web.Request, asked: ExperimentUpdate) -> Nothing:
    _check_name(asked.new_name)
    row = await found(request, asked.experiment_id)
    if row.deleted_at is not None:
        raise refusals.Refused("Cannot rename a non-active experiment.", "INVALID_STATE")
    await request.app[EXPERIMENTS].change(row.id, ExperimentPatch(name=asked.new_name))
    return Nothing()


async def delete_experiment(request: web.Request, asked: ExperimentId) -> Nothing:
    row = await found(request, asked.experiment_id)
    if row.deleted_at is not None:
        raise _no_experiment(asked.experiment_id)
    await request.app[EXPERIMENTS].delete(row.id)
    return Nothing()


async def restore_experiment(request: web.Request, asked: ExperimentId) -> Nothing:
    row = await found(request, asked.experiment_id)
    if row.deleted_at is None:
        raise _no_experiment(asked.experiment_id)
    await request.app[EXPERIMENTS].restore(row.id)
    return Nothing()


async def set_experiment_tag(request: web.Request, asked: ExperimentTag) -> Nothing:
    _check_tag(KeyValue(asked.key, asked.value))
    row = active(await found(request, asked.experiment_id))
    await request.app[EXPERIMENTS].change(row.id, ExperimentPatch(tags={asked.key: asked.value}))
    return Nothing()


async def delete_experiment_tag(request: web.Request, asked: ExperimentTagKey) -> Nothing:
    row = active(await found(request, asked.experiment_id))
    if asked.key not in row.tags:
        raise refusals.absent(
            f"No tag with name: {asked.key} in experiment with id {asked.experiment_id}"
        )
    await request.app[EXPERIMENTS].change(row.id, ExperimentPatch(tags={asked.key: None}))
    return Nothing()


# For the other modules


async def default(request: web.Request) -> ExperimentRow:
    """The experiment of runs that name none, made when it is first needed."""
    known = request.app[EXPERIMENTS]
    if (row := _default(known)) is None:
        try:
            row = await known.create(Wanted(name=DEFAULT_NAME), experiment_id=DEFAULT_ID)
        except errors.Conflict:  # another call made it meanwhile
            row = _default(known)
            assert row is not None
    return row


def _default(known: Experiments) -> ExperimentRow | None:
    return known.get(DEFAULT_ID) or known.of_name(DEFAULT_NAME)


async def found(request: web.Request, experiment_id: str) -> ExperimentRow:
    """An experiment by its id; a deleted one too."""
    row = request.app[EXPERIMENTS].get(experiment_id)
    if row is None and experiment_id == DEFAULT_ID:
        row = await default(request)
    if row is None:
        raise _no_experiment(experiment_id)
    return row


def active(row: ExperimentRow) -> ExperimentRow:
    if row.deleted_at is not None:
        raise refusals.invalid(
            f"The experiment {row.id} must be in the 'active' state. Current state is deleted."
        )
    return row


def location(row: ExperimentRow) -> str:
    """Where its files are, as a URI."""
    return row.artifact_location or f"{HERE}/{row.id}"


def shown(row: ExperimentRow) -> Experiment:
    return Experiment(
        experiment_id=row.id,
        name=row.name,
        artifact_location=location(row),
        lifecycle_stage="active" if row.deleted_at is None else "deleted",
        creation_time=milliseconds(row.created_at),
        last_update_time=milliseconds(row.updated_at or row.created_at),
        tags=key_values(row.tags.items()),
    )


def key_values(pairs: Iterable[tuple[str, str]]) -> list[KeyValue]:
    return [KeyValue(key, value) for key, value in pairs]


def milliseconds(at: float) -> int:
    """Whole ones, never after the moment itself; what came as milliseconds is given back as it came."""
    return math.floor(at * 1000 + 0.01)


# Inside


def _no_experiment(experiment_id: str) -> refusals.Refused:
    return refusals.absent(f"No Experiment with id={experiment_id} exists")


def _check_name(name: str) -> None:
    if len(name) > limits.EXPERIMENT_NAME:
        raise refusals.invalid(
            f"'name' exceeds the maximum length of {limits.EXPERIMENT_NAME} characters"
        )


def _check_tag(tag: KeyValue) -> None:
    limits.key(tag.key, "key")
    limits.length(tag.value, limits.EXPERIMENT_TAG, "value")


def _location(asked: str | None) -> str:
    """Where clients put the files of its runs: here, or at a store that they reach themselves."""
    if not asked:
        return ""
    if asked.startswith("runs:"):
        raise refusals.invalid(f"Artifact location cannot be a runs:/ URI. Given: '{asked}'")
    if ".." in asked or any(character in asked for character in "#?\0"):
        raise refusals.invalid(f"Invalid artifact_location '{asked}'")
    return asked.rstrip("/")


def _is_in(row: ExperimentRow, view: str) -> bool:
    return view == "ALL" or (row.deleted_at is None) == (view == "ACTIVE_ONLY")


def _value(row: ExperimentRow, key: Key) -> str | float | None:
    if key.entity == "tag":
        return row.tags.get(key.name)
    match key.name:
        case "name":
            return row.name
        case "creation_time":
            return milliseconds(row.created_at)
        case "last_update_time":
            return milliseconds(row.updated_at or row.created_at)
        case _:
            return row.id
