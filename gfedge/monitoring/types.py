"""What monitoring tells its clients."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType


class GpuProcess(msgspec.Struct, kw_only=True, frozen=True):
    """A process that uses a GPU."""

    pid: int
    name: str
    memory_bytes: float | None


class Gpu(msgspec.Struct, kw_only=True, frozen=True):
    """A GPU or a MIG instance of one; what this card does not tell is null."""

    gpu: str
    mig: Annotated[str, Meta(description="Number of the MIG instance; empty for a whole card.")]
    up: Annotated[bool, Meta(description="It answers; false where it was lost.")]
    uuid: str
    name: str
    utilization_ratio: float | None
    memory_bytes: float | None
    memory_used_bytes: float | None
    temperature_celsius: float | None
    power_watts: float | None
    power_limit_watts: float | None
    throttled: Annotated[list[str], Meta(description="Why its clocks are lowered now.")]
    processes: list[GpuProcess]


class XidError(msgspec.Struct, kw_only=True, frozen=True):
    """An error that the NVIDIA driver reported; its number says what it was."""

    gpu: str
    mig: str
    xid: int
    at: float


class SeriesValue(msgspec.Struct, kw_only=True, frozen=True):
    """One series of a value."""

    labels: dict[str, str]
    value: Annotated[float | None, Meta(description="Null where it is not a finite number.")]


class Value(msgspec.Struct, kw_only=True, frozen=True):
    """What an expression gives at one moment."""

    name: Annotated[str, Meta(description="As it was asked for.")]
    query: Annotated[str, Meta(description="The PromQL expression behind the name.")]
    unit: Annotated[str, Meta(description="Empty where it cannot be known.")]
    at: Annotated[float, Meta(description="Unix seconds.")]
    value: Annotated[float | None, Meta(description="Where there is exactly one series.")]
    series: list[SeriesValue]


class Check(msgspec.Struct, kw_only=True, frozen=True):
    """One thing that the server needs."""

    ok: bool
    reason: Annotated[str, Meta(description="What is wrong and what to do; else what was found.")]


class Readiness(msgspec.Struct, kw_only=True, frozen=True):
    """Whether work can be done here now."""

    status: Literal["ready", "not ready"]
    checks: Annotated[
        dict[str, Check] | UnsetType,
        Meta(
            description="models, provider, database, files, disk, gpu, workers; only with a token, where needed."
        ),
    ] = UNSET


class Alive(msgspec.Struct, kw_only=True, frozen=True):
    """The process answers."""

    status: Literal["ok"]


class LoadedModel(msgspec.Struct, kw_only=True, frozen=True):
    """A model in memory."""

    name: str
    version: str
    load_seconds: float
    memory_bytes: int
    busy: bool


class Storage(msgspec.Struct, kw_only=True, frozen=True):
    """Where things are kept, and how much."""

    data: Annotated[str, Meta(description="The data folder; only for the scope admin.")]
    disk_free_bytes: float | None
    disk_size_bytes: float | None
    database_bytes: float | None
    wal_bytes: float | None


class HistoryState(msgspec.Struct, kw_only=True, frozen=True):
    """The history of metrics."""

    series: int
    dropped_series: Annotated[
        dict[str, int], Meta(description="By name, what is not sampled (setting max_series).")
    ]
    interval_seconds: float
    last_sample_at: float | None
    memory_from: float | None
    memory_bytes: int
    stored_from: float | None
    stored_samples: int
    stored_bytes: int
    lost_by_a_crash_seconds: float


class Status(msgspec.Struct, kw_only=True, frozen=True):
    """The server and its machine now."""

    status: Annotated[str, Meta(description="ok, or why no jobs can run.")]
    version: str
    python: str
    onnxruntime: str
    duckdb: str
    started_at: float
    uptime_seconds: float
    provider: str
    device: str
    gpu_driver: str
    gpus: list[Gpu]
    xid_errors: list[XidError]
    models: list[LoadedModel]
    model_states: dict[str, str]
    queue: dict[str, int]
    storage: Storage
    history: HistoryState
    rates: Annotated[dict[str, float | None], Meta(description="Of the last minutes, by name.")]


class QuickStats(msgspec.Struct, kw_only=True, frozen=True):
    """A few numbers since the start."""

    jobs_succeeded: float
    jobs_failed: float
    jobs_cancelled: float
    pictures: float
    requests: float
    models_ready: int
    uptime_seconds: float


class AlertSummary(msgspec.Struct, kw_only=True, frozen=True):
    """Alerts now."""

    firing: int = 0
    pending: int = 0
    active: Annotated[
        list[Any],
        Meta(description="At most 200: those that fire first, then by how long."),
    ] = []


class DashboardData(msgspec.Struct, kw_only=True, frozen=True):
    """What a first screen shows, in one answer."""

    system_status: Status
    metrics: Annotated[dict[str, Value], Meta(description="The vital values by name.")]
    alerts: AlertSummary
    quick_stats: QuickStats
