"""Training jobs, on the wire and as rows."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from gfedge.registry.evaluations import Evaluation
from gfedge.tracking.dataset_types import InputCreate
from gfedge.tracking.types import Key, Limit, Name, Number, ParamValue, Point, Source, TagValue
from gfedge.wire import Page

Backend = Literal["local", "external", "vastai"]
State = Literal[
    "queued", "starting", "running", "paused", "lost", "succeeded", "failed", "cancelled"
]
ENDED = ("succeeded", "failed", "cancelled")
Scalar = bool | int | float | str
Folder = Annotated[
    str, Meta(max_length=200, description="Folder of the run's artifacts that holds the model.")
]
Line = Annotated[str, Meta(max_length=10_000)]
ModelName = Annotated[
    str,
    Meta(max_length=100, pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*)?$(?!\n)"),
]


class RentalWish(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What a rented machine may cost; never more than the settings and the entry point allow."""

    gpu_memory_gb: Annotated[float, Meta(ge=0, le=10_000, description="Least GPU memory.")] = 0
    max_dollars_per_hour: Annotated[float, Meta(gt=0, le=1000)] | None = None
    max_dollars: (
        Annotated[float, Meta(gt=0, le=1e6, description="What the whole job may cost.")] | None
    ) = None


class TrainingCreate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A new training job."""

    backend: Annotated[
        Backend,
        Meta(
            description="`local` runs an entry point on this machine, `vastai` on a rented one; "
            "`external` is a trainer elsewhere that reports in."
        ),
    ] = "local"
    entry_point: Annotated[
        str, Meta(max_length=100, description="One of GET /training-jobs/entry-points.")
    ] = ""
    params: Annotated[
        dict[Key, Scalar], Meta(max_length=200, description="Parameters of the entry point.")
    ] = {}
    name: Name | None = None
    experiment: Annotated[
        str, Meta(max_length=200, description="Made if there is none of that name.")
    ] = ""
    tags: Annotated[dict[Key, TagValue], Meta(max_length=200)] = {}
    datasets: Annotated[
        list[InputCreate], Meta(max_length=20, description="What it is trained on.")
    ] = []
    source: Annotated[
        Source | None, Meta(description="Code of an external trainer; the server finds its own.")
    ] = None
    model: Annotated[
        ModelName, Meta(description="Name to register the model by; its folder's if empty.")
    ] = ""
    rental: RentalWish | None = None


class Progress(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How far a job is."""

    step: Annotated[int, Meta(ge=0, le=1 << 53)] = 0
    steps: Annotated[int, Meta(ge=0, le=1 << 53, description="0 where nobody knows.")] = 0
    epoch: Annotated[float, Meta(ge=0, le=1e12)] | None = None
    epochs: Annotated[float, Meta(ge=0, le=1e12)] | None = None
    message: Annotated[str, Meta(max_length=500)] = ""

    @property
    def fraction(self) -> float | None:
        if self.steps:
            return min(1.0, self.step / self.steps)
        if self.epochs and self.epoch is not None:
            return min(1.0, self.epoch / self.epochs)
        return None


class TrainingError(msgspec.Struct, kw_only=True, frozen=True):
    """Why a job failed."""

    code: str
    detail: str


class Outcome(msgspec.Struct, kw_only=True, frozen=True):
    """How the training itself ended; what it exported is registered after that."""

    status: Literal["succeeded", "failed", "cancelled"]
    error: TrainingError | None = None
    model: str = ""
    """Folder of the run's artifacts with the exported model."""
    evaluation: Evaluation | None = None
    """What it measured of the version `evaluated`."""
    evaluated: str = ""


class Rental(msgspec.Struct, kw_only=True, frozen=True):
    """A rented machine."""

    label: Annotated[str, Meta(description="By which the machine is found again.")]
    max_dollars: float
    instance_id: int | None = None
    gpu: str = ""
    dollars_per_hour: float = 0.0
    rented_at: float | None = None
    destroyed_at: float | None = None
    spent_dollars: Annotated[float, Meta(description="By the hour's price and this clock.")] = 0.0


class TrainingFacts(msgspec.Struct, kw_only=True, frozen=True):
    """What is known of a job, stored and shown."""

    id: str
    name: str
    backend: Backend
    entry_point: str
    params: dict[str, Scalar]
    experiment_id: str
    run_id: str
    created_at: float
    state: State = "queued"
    reason: Annotated[str, Meta(description="Why it is in this state.")] = ""
    attempt: Annotated[int, Meta(description="Starts of it so far.")] = 0
    started_at: float | None = None
    ended_at: float | None = None
    cancel_requested_at: float | None = None
    progress: Progress = Progress()
    error: TrainingError | None = None
    exit_code: int | None = None
    model: Annotated[str, Meta(description="The model version that came of it.")] = ""
    rental: Rental | None = None


class TrainingRecord(TrainingFacts, kw_only=True, frozen=True):
    """A job as it is stored: what is shown, and what only the server needs."""

    model_name: str = ""
    dataset_id: str = ""
    commit: str = ""
    pid: int | None = None
    process_started_at: float | None = None
    replayed: dict[str, int] = {}
    """Highest step of each metric when this attempt began: a resumed trainer repeats some."""
    outcome: Outcome | None = None
    reported: Outcome | None = None
    """What the trainer said of its end; a local one ends when its process does."""
    rental_wish: RentalWish | None = None
    idempotency_key: str | None = None
    request_digest: str = ""


class TrainingRow(msgspec.Struct, kw_only=True, frozen=True):
    """A job as a row."""

    table: ClassVar[str] = "training_jobs"

    id: str
    state: str
    backend: str
    entry_point: str
    experiment_id: str
    run_id: str
    idempotency_key: str | None
    spent_dollars: float
    created_at: float
    record: TrainingRecord


class Usage(msgspec.Struct, kw_only=True, frozen=True):
    """What the processes of a local job use."""

    processes: int
    cpu_ratio: Annotated[float, Meta(description="Cores in use: 1.5 is one and a half.")]
    rss_bytes: int
    gpu_memory_bytes: int | None = None
    gpu_ratio: Annotated[
        float | None, Meta(description="Share of the time that its GPU is busy.")
    ] = None


class TrainingJob(TrainingFacts, kw_only=True, frozen=True):
    """A training job as clients see it."""

    url: str
    progress_ratio: float | None = None
    eta_seconds: float | None = None
    queue_position: int | None = None
    heard_at: Annotated[float | None, Meta(description="When its trainer last reported.")] = None
    usage: Usage | None = None
    metrics: Annotated[dict[str, Number], Meta(description="The latest value of each.")] = {}
    log_tail: list[str] = []


class TrainingCreated(TrainingJob, kw_only=True, frozen=True):
    """A job as whoever made it sees it: with what its trainer reports by."""

    secret: Annotated[str, Meta(description="For an external trainer: `X-Job-Secret: SECRET`.")] = (
        ""
    )


class TrainingJobs(Page, kw_only=True):
    jobs: list[TrainingJob]


class TrainingQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A page of training jobs, newest first."""

    state: Annotated[
        str, Meta(max_length=200, description="States with commas; `active` is all but the ended.")
    ] = ""
    backend: Backend | None = None
    entry_point: Annotated[str, Meta(max_length=100)] = ""
    experiment: Annotated[str, Meta(max_length=200, description="Id or name.")] = ""
    limit: Limit = 100
    cursor: Annotated[str, Meta(max_length=200, description="`next` of the page before.")] = ""


class LogQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which part of a log."""

    offset: Annotated[
        int,
        Meta(
            ge=-(1 << 40), le=1 << 50, description="First byte; a negative one counts from the end."
        ),
    ] = 0
    limit: Annotated[int, Meta(ge=0, le=1 << 50, description="Bytes at most; 0 for all.")] = 0
    follow: Annotated[bool, Meta(description="Go on with what is written until the job ends.")] = (
        False
    )


# What a trainer says


class Report(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a trainer reports; all of it may be left out, and any of it is a heartbeat."""

    session: Annotated[
        str, Meta(max_length=64, description="Made up by the trainer once, with `seq`.")
    ] = ""
    seq: Annotated[
        int, Meta(ge=0, le=1 << 53, description="Counts up; a report that comes twice counts once.")
    ] = 0
    metrics: Annotated[list[Point], Meta(max_length=10_000)] = []
    progress: Progress | None = None
    params: Annotated[dict[Key, ParamValue], Meta(max_length=1000)] = {}
    tags: Annotated[dict[Key, TagValue], Meta(max_length=1000)] = {}
    log: Annotated[list[Line], Meta(max_length=5000, description="Lines for the log.")] = []


class Heard(msgspec.Struct, kw_only=True, frozen=True):
    """The answer to a report."""

    state: State
    cancelled: Annotated[bool, Meta(description="Whether the trainer should stop.")]


class Finish(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How the training ended."""

    status: Literal["succeeded", "failed", "cancelled"] = "succeeded"
    error: Annotated[str, Meta(max_length=5000)] = ""
    model: Folder = ""


# Entry points


class EntryParam(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A parameter that an entry point takes."""

    type: Literal["int", "float", "bool", "str", "path", "model", "judge"] = "str"
    """`model` is a version that is here, handed over as its folder; `judge` one whose judge to take, or a folder below root."""
    default: Scalar | None = None
    """None: it must be given."""
    min: float | None = None
    max: float | None = None
    choices: list[Scalar] = []
    pattern: str = ""
    max_length: int = 200
    root: str = ""
    """Folder that a path, or the folder of a judge, must lie in; shown to the scope admin alone."""
    help: str = ""


class EntryPoint(msgspec.Struct, kw_only=True, frozen=True):
    """What can be trained, as clients see it."""

    name: str
    title: str
    backends: list[Backend]
    params: dict[str, EntryParam]
    resumes: Annotated[bool, Meta(description="Whether it goes on after a restart.")]
    problem: Annotated[str, Meta(description="Why it cannot be started now.")] = ""


class EntryPoints(msgspec.Struct, kw_only=True, frozen=True):
    entry_points: list[EntryPoint]


def row_of(record: TrainingRecord) -> TrainingRow:
    return TrainingRow(
        id=record.id,
        state=record.state,
        backend=record.backend,
        entry_point=record.entry_point,
        experiment_id=record.experiment_id,
        run_id=record.run_id,
        idempotency_key=record.idempotency_key,
        spent_dollars=record.rental.spent_dollars if record.rental else 0.0,
        created_at=record.created_at,
        record=record,
    )


def facts(record: TrainingRecord) -> dict[str, Any]:
    """The fields of a record that are shown."""
    return {name: getattr(record, name) for name in TrainingFacts.__struct_fields__}
