"""The vital values: what a first screen shows, by name, each a PromQL expression with its unit; and any other expression."""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from gfedge import errors
from gfedge.monitoring.queries import Cancelled, Queries
from gfedge.monitoring.types import SeriesValue, Value
from gfedge.promql.engine import Engine
from gfedge.promql.types import QueryError, Result

SECONDS = 5.0
"""What the evaluation of one value may take."""
UNITS = {
    "seconds": "seconds",
    "bytes": "bytes",
    "ratio": "ratio",
    "celsius": "celsius",
    "watts": "watts",
}


class Vital(msgspec.Struct, frozen=True):
    """A value with a name."""

    name: str
    query: str
    unit: str


def _p95(metric: str) -> str:
    return f"histogram_quantile(0.95, sum by (le) (rate({metric}_bucket[5m])))"


VITALS = (
    Vital("jobs_queued", "gfedge_jobs_queued", "jobs"),
    Vital("jobs_running", "gfedge_jobs_running", "jobs"),
    Vital(
        "jobs_per_minute", "60 * (sum(rate(gfedge_jobs_total[5m])) or vector(0))", "jobs per minute"
    ),
    Vital(
        "job_failure_ratio",
        'sum(rate(gfedge_jobs_total{status="failed"}[5m])) / sum(rate(gfedge_jobs_total[5m]))',
        "ratio",
    ),
    Vital("job_p95_seconds", _p95("gfedge_job_seconds"), "seconds"),
    Vital("queue_p95_seconds", _p95("gfedge_job_queue_seconds"), "seconds"),
    Vital(
        "requests_per_second",
        "sum(rate(gfedge_http_requests_total[1m])) or vector(0)",
        "requests per second",
    ),
    Vital("request_p95_seconds", _p95("gfedge_http_request_seconds"), "seconds"),
    Vital("cpu_ratio", "gfedge_host_cpu_ratio", "ratio"),
    Vital(
        "memory_used_ratio",
        "1 - gfedge_host_memory_available_bytes / gfedge_host_memory_bytes",
        "ratio",
    ),
    Vital("process_memory_bytes", "process_resident_memory_bytes", "bytes"),
    Vital("disk_free_bytes", "gfedge_disk_free_bytes", "bytes"),
    Vital("database_bytes", "gfedge_database_file_bytes + gfedge_database_wal_bytes", "bytes"),
    Vital("commit_p95_seconds", _p95("gfedge_database_commit_seconds"), "seconds"),
    Vital("event_loop_lag_p95_seconds", _p95("gfedge_event_loop_lag_seconds"), "seconds"),
    Vital("gpu_utilization_ratio", "gfedge_gpu_utilization_ratio", "ratio"),
    Vital("gpu_memory_used_bytes", "gfedge_gpu_memory_used_bytes", "bytes"),
    Vital("gpu_temperature_celsius", "gfedge_gpu_temperature_celsius", "celsius"),
    Vital("gpu_power_watts", "gfedge_gpu_power_watts", "watts"),
)
BY_NAME = {vital.name: vital for vital in VITALS}


def wanted(name: str) -> Vital:
    """A vital value by its name; else the name is taken for an expression, which a metric's name is too."""
    return BY_NAME.get(name) or Vital(name, name, _unit(name))


async def evaluate(queries: Queries, vitals: Iterable[Vital], time_ms: int) -> list[Value]:
    """Their values at a time, in one go; raises Invalid where an expression cannot be evaluated."""
    asked = list(vitals)

    def work(engine: Engine, cancelled: Cancelled) -> list[Value]:
        return [_value(engine, vital, time_ms, cancelled) for vital in asked]

    return await queries.run(work)


def _value(engine: Engine, vital: Vital, time_ms: int, cancelled: Cancelled) -> Value:
    limits = msgspec.structs.replace(engine.limits, seconds=SECONDS)
    try:
        found = engine.instant(vital.query, time_ms, limits=limits, cancelled=cancelled)
    except QueryError as error:
        raise refused(error, vital.query) from None
    series = _series(found)
    alone = series[0].value if len(series) == 1 else None
    return Value(
        name=vital.name,
        query=vital.query,
        unit=vital.unit,
        at=time_ms / 1000,
        value=alone,
        series=series,
    )


def refused(error: QueryError, query: str) -> errors.ApiError:
    """What a client is told of a query that has no answer."""
    detail = f"{query[:200]}: {error}"
    if error.kind in ("timeout", "canceled"):
        return errors.Unavailable(detail, code="query_timeout", headers={"Retry-After": "5"})
    return errors.Invalid(detail, code="bad_query", field="query")


def _series(found: Result) -> list[SeriesValue]:
    if found.scalar is not None:
        return [SeriesValue(labels={}, value=number(float(found.scalar[0])))]
    if found.vector is None:
        return []
    mask = found.vector.mask
    return [
        SeriesValue(labels=dict(labels), value=number(float(found.vector.values[row, 0])))
        for row, labels in enumerate(found.vector.labels.rows)
        if mask[row, 0]
    ]


def number(value: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return value if math.isfinite(value) else None


def _unit(name: str) -> str:
    """The unit in a metric's name; an expression has none that could be known."""
    if not name.replace("_", "").replace(":", "").isalnum():
        return ""
    words = name.removesuffix("_total").split("_")
    return UNITS.get(words[-1], "")
