"""Experiments and runs, on the wire and as rows."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from gfedge.wire import Page

Name = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description="A readable name without control characters.",
    ),
]


class ExperimentCreate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A new experiment."""

    name: Name
    description: Annotated[str, Meta(max_length=10_000)] = ""
    tags: dict[Annotated[str, Meta(max_length=250)], Annotated[str, Meta(max_length=5000)]] = {}


class ExperimentRow(msgspec.Struct, kw_only=True, frozen=True):
    """An experiment as it is stored."""

    table: ClassVar[str] = "experiments"

    id: str
    name: str
    kind: Annotated[
        str, Meta(description="What makes its runs: ai-generate, ai-superres, or user.")
    ]
    description: str
    tags: dict[str, str]
    created_at: float


class Experiment(ExperimentRow, kw_only=True, frozen=True):
    """An experiment: a named collection of runs."""

    run_count: int = 0
    last_activity_at: float | None = None


class RunRow(msgspec.Struct, kw_only=True, frozen=True):
    """A run as it is stored."""

    table: ClassVar[str] = "runs"

    id: str
    experiment_id: str
    name: str
    kind: str
    status: str
    created_at: float
    started_at: float | None
    ended_at: float | None


class ParamRow(msgspec.Struct, kw_only=True, frozen=True):
    """One parameter of a run."""

    table: ClassVar[str] = "params"

    run_id: str
    key: str
    value: str


class MetricRow(msgspec.Struct, kw_only=True, frozen=True):
    """One point of a run's metric."""

    table: ClassVar[str] = "metrics"

    run_id: str
    key: str
    value: float
    step: int
    logged_at: float


class Run(RunRow, kw_only=True, frozen=True):
    """A run with its params and the latest value of each metric."""

    params: dict[str, str] = {}
    metrics: dict[str, float] = {}


class Experiments(Page, kw_only=True):
    experiments: list[Experiment]


class Runs(Page, kw_only=True):
    runs: list[Run]


class ListQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A page of a listing, newest first."""

    limit: Annotated[int, Meta(ge=1, le=1000, description="Rows on a page.")] = 100
    cursor: Annotated[str, Meta(max_length=200, description="`next` of the page before.")] = ""


class ExperimentQuery(ListQuery, kw_only=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(max_length=200, description="Part of the name.")] = ""
    kind: Annotated[str, Meta(max_length=100, description="ai-generate, ai-superres, user, …")] = ""


def structured(kind: Any, values: dict[str, Any], *json_columns: str) -> Any:
    """A row of the database as a struct; `json_columns` hold JSON text."""
    for name in json_columns:
        if values.get(name) is not None:
            values[name] = msgspec.json.decode(values[name])
    return msgspec.convert(values, kind)
