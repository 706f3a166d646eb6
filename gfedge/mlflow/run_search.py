"""MLflow's search for runs: its language into the tree that the index of runs is asked by."""

from __future__ import annotations

import base64
import hashlib

import msgspec
from aiohttp import web

from gfedge.mlflow import filter as filters
from gfedge.mlflow import limits, refusals, run_answers
from gfedge.mlflow.filter import Clause, Grammar
from gfedge.mlflow.pages import like
from gfedge.mlflow.protocol import call
from gfedge.mlflow.types import RunSearch, RunsFound
from gfedge.tracking import query
from gfedge.tracking.filter import Comparison, Junction, Key, Node, Order, Query
from gfedge.tracking.routes import EXPERIMENTS, INDEX
from gfedge.tracking.types import Run as RunSeen
from gfedge.wire import Route

MAX_PAGE = 50_000
STATUSES = {name.upper(): name for name in ("scheduled", "running", "finished", "failed", "killed")}
VIEWS = {"ACTIVE_ONLY": "active", "DELETED_ONLY": "deleted", "ALL": "all"}
TEXTS = {
    **dict.fromkeys(("run_name", "run name", "Run name", "Run Name"), "name"),
    "run_id": "id",
    "status": "status",
    "artifact_uri": "artifact_uri",
    "user_id": "user_id",
}
NUMBERS = {
    **dict.fromkeys(("start_time", "created", "Created"), "started_at"),
    "end_time": "ended_at",
}
GRAMMAR = Grammar(
    texts=TEXTS,
    numbers=NUMBERS,
    lists=("run_id",),
    entities=("metric", "parameter", "tag", "attribute", "dataset"),
    nulls=("tag", "parameter"),
    orders=("metric", "parameter", "tag", "attribute"),
    ordered={**TEXTS, **NUMBERS},
)
OURS = {"metric": "metrics", "parameter": "params", "tag": "tags", "attribute": "attributes"}
ENTITIES = {**OURS, "dataset": "datasets"}
TIES = (Order(Key("attributes", "started_at"), True), Order(Key("attributes", "id")))
_run = msgspec.json.Decoder(RunSeen).decode


def routes() -> list[Route]:
    summary = "MLflow: runs by a filter, in an order, page by page"
    example = {"experiment_ids": ["0"], "filter": "metrics.loss < 0.1 AND params.lr = '0.001'"}
    return [
        call(
            "POST",
            "runs/search",
            search_runs,
            RunSearch,
            RunsFound,
            summary,
            scope="read",
            example=example,
        )
    ]


async def search_runs(request: web.Request, asked: RunSearch) -> RunsFound:
    wanted, scope = _query(asked), _scope(request, asked)
    if not scope.experiments:
        return RunsFound()
    page, end = await request.app[INDEX].search(wanted, scope, _digest(asked))
    runs = [_run(text) for text in page.runs]
    known = request.app[EXPERIMENTS]
    datasets = await run_answers.datasets_of(request, runs)
    return RunsFound(
        runs=[run_answers.of_run(run, known.known(run.experiment_id), datasets) for run in runs],
        next_page_token=query.cursor_text(end) if end else "",
    )


def _query(asked: RunSearch) -> Query:
    clauses = [_node(clause) for clause in filters.parse(asked.filter, GRAMMAR)]
    orders = [
        Order(_key(order.key), order.descending)
        for order in filters.parse_orders(asked.order_by, GRAMMAR)
    ]
    keys = {order.key for order in orders}
    orders += [tie for tie in TIES if tie.key not in keys]
    where = Junction("and", tuple(clauses)) if len(clauses) > 1 else next(iter(clauses), None)
    return Query(where, tuple(orders))


def _node(clause: Clause) -> Node:
    key, value = _key(clause.key), clause.value
    if key == Key("attributes", "status") and isinstance(value, str):
        return _of_status(key, clause.operator, value)
    operator = clause.operator.lower()
    if operator in ("is null", "is not null"):
        return Comparison(key, "null", None, operator == "is not null")
    if operator == "not in":
        return Comparison(key, "in", value, True)
    if key.numeric and key.entity == "attributes" and isinstance(value, float):
        value /= 1000
    return Comparison(key, operator, value)


def _of_status(key: Key, operator: str, value: str) -> Comparison:
    """MLflow's names of a status are in capitals, and may be sought by a pattern."""
    if operator in ("LIKE", "ILIKE"):
        pattern = like(value, any_case=operator == "ILIKE")
        fitting = [ours for theirs, ours in STATUSES.items() if pattern.fullmatch(theirs)]
        return Comparison(key, "in", fitting)
    return Comparison(key, operator, STATUSES.get(value, "none"))


def _key(key: filters.Key) -> Key:
    return Key(ENTITIES[key.entity], key.name)  # type: ignore[arg-type]


def _scope(request: web.Request, asked: RunSearch) -> query.Scope:
    known = request.app[EXPERIMENTS]
    ids = [row.id for one in asked.experiment_ids if (row := known.get(one)) is not None]
    return query.Scope(
        experiments=ids,
        hidden=known.deleted(),
        hidden_view=True,
        view=VIEWS[asked.run_view_type],
        limit=limits.page(asked.max_results, MAX_PAGE),
        after=_position(asked),
    )


def _digest(asked: RunSearch) -> str:
    parts = [asked.filter, sorted(asked.experiment_ids), asked.run_view_type, asked.order_by]
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=8).hexdigest()


def _position(asked: RunSearch) -> query.Position | None:
    """Where the page begins; Refused where the token is none, or another search's."""
    if not asked.page_token:
        return None
    try:
        data = base64.urlsafe_b64decode(asked.page_token)
        found = msgspec.json.decode(data, type=query.Position)
    except (ValueError, msgspec.MsgspecError):
        found = None
    if found is None or found.digest != _digest(asked):
        raise refusals.invalid("Invalid page token: it is not that of a page of this very search")
    return found
