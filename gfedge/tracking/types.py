"""Experiments and runs, on the wire and as rows."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gfedge.wire import Page

Name = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f]+$(?!\n)",
        description="A readable name without control characters.",
    ),
]
Key = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=250,
        pattern=r"^[^\x00-\x1f\x7f]+$(?!\n)",
        description="Name of a param, metric or tag, without control characters.",
    ),
]
ParamValue = Annotated[str, Meta(max_length=8000)]
TagValue = Annotated[str, Meta(max_length=8000)]
ExperimentTagValue = Annotated[str, Meta(max_length=5000)]
Description = Annotated[str, Meta(max_length=10_000)]
Time = Annotated[float, Meta(ge=0, le=1e11, description="Unix seconds.")]
Number = float | Literal["NaN", "Infinity", "-Infinity"]
"""JSON has no NaN and no infinity: on the wire they are these texts, both ways."""
Status = Literal["scheduled", "running", "finished", "failed", "killed"]
ENDED = ("finished", "failed", "killed")
View = Annotated[
    Literal["active", "deleted", "all"],
    Meta(description="Whether deleted ones are left out, alone, or among the others."),
]
Limit = Annotated[int, Meta(ge=1, le=1000, description="Rows on a page.")]


def number(value: float) -> Number:
    """A value as it goes over the wire."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


# Experiments


class Headline(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The metric by which an experiment's runs are judged."""

    metric: Key
    goal: Annotated[Literal["min", "max"], Meta(description="Which values are better.")] = "max"


class ExperimentCreate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A new experiment."""

    name: Name
    description: Description = ""
    tags: Annotated[dict[Key, ExperimentTagValue], Meta(max_length=1000)] = {}
    headline: Headline | None = None


class ExperimentPatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What changes; fields that are left out stay. A tag with null goes."""

    name: Name | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    tags: Annotated[dict[Key, ExperimentTagValue | None], Meta(max_length=1000)] | UnsetType = UNSET
    headline: Headline | UnsetType | None = UNSET


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
    headline: Headline | None = None
    deleted_at: float | None = None
    updated_at: float | None = None
    artifact_location: Annotated[
        str, Meta(description="Where its clients put files themselves; empty: here.")
    ] = ""


class Best(msgspec.Struct, kw_only=True, frozen=True):
    """The best value of the headline metric, and the run that reached it."""

    run_id: str
    value: float


class Experiment(ExperimentRow, kw_only=True, frozen=True):
    """An experiment: a named collection of runs."""

    run_count: int = 0
    last_activity_at: float | None = None
    best: Best | None = None


class Experiments(Page, kw_only=True):
    experiments: list[Experiment]


# Runs


class Source(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The code that a run ran."""

    commit: Annotated[str, Meta(max_length=200, description="Git commit.")] = ""
    entry_point: Annotated[str, Meta(max_length=1000, description="Script or command.")] = ""
    repository: Annotated[str, Meta(max_length=1000, description="Where the commit is.")] = ""


class RunCreate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A new run, which then is running."""

    name: Name | None = None
    params: Annotated[dict[Key, ParamValue], Meta(max_length=1000)] = {}
    tags: Annotated[dict[Key, TagValue], Meta(max_length=1000)] = {}
    parent_id: Annotated[str, Meta(max_length=100, description="The run that it is part of.")] = ""
    source: Source | None = None
    status: Literal["scheduled", "running"] = "running"
    started_at: Time | None = None


class RunPatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What changes; fields that are left out stay. A tag with null goes."""

    name: Name | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    ended_at: Annotated[float, Meta(ge=0, le=1e11)] | UnsetType = UNSET
    tags: Annotated[dict[Key, TagValue | None], Meta(max_length=1000)] | UnsetType = UNSET


class Point(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One point of a metric."""

    key: Key
    value: Number
    step: Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)] = 0
    logged_at: Time | None = None


class LogBatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a run reports: all of it is recorded, or nothing."""

    metrics: Annotated[
        list[Point],
        Meta(max_length=10_000, description="Keys that begin with `system/` are system metrics."),
    ] = []
    params: Annotated[
        dict[Key, ParamValue], Meta(max_length=1000, description="A value never changes.")
    ] = {}
    tags: Annotated[dict[Key, TagValue], Meta(max_length=1000)] = {}


class Logged(msgspec.Struct, kw_only=True, frozen=True):
    """What is recorded now, durably."""

    run_id: str
    points: int
    params: int
    tags: int


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
    parent_id: str | None = None
    source: Source | None = None
    deleted_at: float | None = None
    user_id: str = ""


class Made(msgspec.Struct, kw_only=True, frozen=True):
    """What a run is made with."""

    params: dict[str, str] = {}
    tags: dict[str, str] = {}


class MadeRow(RunRow, kw_only=True, frozen=True):
    """A run as it is first written: with all that its rows in other tables follow from."""

    made: Made


class ParamRow(msgspec.Struct, kw_only=True, frozen=True):
    """One parameter of a run."""

    table: ClassVar[str] = "params"

    run_id: str
    key: str
    value: str


class TagRow(msgspec.Struct, kw_only=True, frozen=True):
    """One tag of a run."""

    table: ClassVar[str] = "tags"

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


class StaleRow(msgspec.Struct, kw_only=True, frozen=True):
    """An ended run that changed after the index took it in; written with the change."""

    table: ClassVar[str] = "index_stale"

    run_id: str


class Latest(msgspec.Struct, frozen=True, array_like=True):
    """The latest point of a metric: of the highest step, then time, then value."""

    value: Number
    step: int
    logged_at: float


class Input(msgspec.Struct, kw_only=True, frozen=True):
    """A dataset that a run read."""

    dataset_id: str
    name: str
    digest: str
    context: str = ""
    tags: dict[str, str] = {}


class ModelLink(msgspec.Struct, kw_only=True, frozen=True):
    """A logged model that a run read or made."""

    model_id: str
    direction: Literal["input", "output"]
    step: int = 0


class RunRecord(RunRow, kw_only=True, frozen=True):
    """All that is known of a run but its history, as memory holds it."""

    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    metrics: dict[str, Latest] = {}
    inputs: list[Input] = []
    models: list[ModelLink] = []


class Run(RunRow, kw_only=True, frozen=True):
    """A run with its params, tags and the latest value of each metric."""

    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    metrics: dict[str, Number] = {}
    system_metrics: dict[str, Number] = {}
    """Those whose keys begin with `system/`."""
    reported: Annotated[
        dict[str, tuple[int, float]], Meta(description="Step and time of each latest value.")
    ] = {}
    inputs: list[Input] = []
    models: list[ModelLink] = []


class Runs(Page, kw_only=True):
    runs: list[Run]


class RunTexts(Page, kw_only=True):
    """A page of runs that the index holds as JSON already: on the wire the same as Runs."""

    runs: list[msgspec.Raw]


def shown(record: RunRecord) -> Run:
    """A run as clients see it."""
    values = {name: getattr(record, name) for name in record.__struct_fields__}
    values["reported"] = {k: (found.step, found.logged_at) for k, found in record.metrics.items()}
    latest = {key: found.value for key, found in record.metrics.items()}
    values["system_metrics"] = {k: v for k, v in latest.items() if k.startswith("system/")}
    values["metrics"] = {k: v for k, v in latest.items() if not k.startswith("system/")}
    return Run(**values)


class Compared(msgspec.Struct, kw_only=True, frozen=True):
    """One key side by side: a value for each run, null where it has none."""

    key: str
    values: list[Number | str | None]
    differs: bool


class RunComparison(msgspec.Struct, kw_only=True, frozen=True):
    """Runs side by side, in the order asked for."""

    runs: list[RunRow]
    params: list[Compared]
    metrics: list[Compared]
    system_metrics: list[Compared]
    tags: list[Compared]


class History(Page, kw_only=True):
    """A metric's points as columns of equal length, by step, then time. A point sent twice counts once."""

    run_id: str
    key: str
    total: Annotated[int, Meta(description="Points in the range asked for.")]
    sampled: Annotated[bool, Meta(description="Whether only the extremes of stretches are here.")]
    steps: list[int]
    times: list[float]
    values: list[Number]


class ListQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A page of a listing, newest first."""

    limit: Limit = 100
    cursor: Annotated[str, Meta(max_length=200, description="`next` of the page before.")] = ""


# Queries


class ExperimentQuery(ListQuery, kw_only=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(max_length=200, description="Part of the name.")] = ""
    kind: Annotated[str, Meta(max_length=100, description="ai-generate, ai-superres, user, …")] = ""
    tag: Annotated[
        str, Meta(max_length=5300, description="`key` or `key=value` that its tags hold.")
    ] = ""
    view: View = "active"
    order: Annotated[
        Literal["created", "-created", "name", "-name", "activity", "-activity", "runs", "-runs"],
        Meta(description="What to order by; `-` puts the highest first."),
    ] = "-created"


class RunQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A page of runs, in the order of the filter, or newest first."""

    limit: Limit = 100
    cursor: Annotated[str, Meta(max_length=50_000, description="`next` of the page before.")] = ""
    filter: Annotated[
        str,
        Meta(
            max_length=10_000,
            description="As in `metrics.loss < 0.1 and params.lr = '0.001' order by metrics.loss`.",
        ),
    ] = ""
    experiment: Annotated[
        str, Meta(max_length=20_000, description="Ids or names of experiments, with commas.")
    ] = ""
    view: View = "active"


class CompareQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    ids: Annotated[
        str, Meta(min_length=1, max_length=5000, description="Ids of up to 50 runs, with commas.")
    ]


class HistoryQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A page of the history, or with `points` a picture of all of it."""

    points: Annotated[
        int,
        Meta(ge=0, le=5000, description="At most so many points, extremes kept; 0 for pages."),
    ] = 0
    by: Annotated[
        Literal["step", "time"], Meta(description="The axis of a picture, and of from and to.")
    ] = "step"
    start: Annotated[float | None, Meta(description="First step or time.")] = None
    end: Annotated[float | None, Meta(description="Last step or time.")] = None
    limit: Annotated[int, Meta(ge=1, le=50_000, description="Points on a page.")] = 10_000
    cursor: Annotated[str, Meta(max_length=200, description="`next` of the page before.")] = ""


def structured(kind: Any, values: dict[str, Any], *json_columns: str) -> Any:
    """A row of the database as a struct; `json_columns` hold JSON text."""
    for name in json_columns:
        if values.get(name) is not None:
            values[name] = msgspec.json.decode(values[name])
    return msgspec.convert(values, kind)
