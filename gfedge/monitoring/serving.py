"""The rest of the server as monitoring sees it: a few functions, so that it knows nothing of the slices above it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from gfedge.inference.types import Device, LoadedModel, WorkerState
from gfedge.monitoring import measured
from gfedge.monitoring.measured import Values
from gfedge.monitoring.types import AlertSummary

Labelled = dict[tuple[str, ...], float]

STATES = ("registered", "loading", "ready", "failed")


WORKER: dict[measured.Measured, Callable[[WorkerState], float]] = {
    measured.WORKER_UP: lambda one: float(one.up),
    measured.WORKER_CALLS: lambda one: float(one.calls),
    measured.WORKER_CALLS_TOTAL: lambda one: float(one.calls_total),
    measured.WORKER_INFERENCE_SECONDS: lambda one: one.inference_seconds,
    measured.WORKER_RESTARTS: lambda one: float(one.restarts),
    measured.WORKER_CPU_SECONDS: lambda one: one.cpu_seconds,
    measured.WORKER_MEMORY: lambda one: float(one.vitals.memory_bytes) if one.up else 0.0,
}
WORKER_GPU: dict[measured.Measured, str] = {
    measured.WORKER_GPU_UTILIZATION: "utilization_ratio",
    measured.WORKER_GPU_MEMORY: "memory_bytes",
    measured.WORKER_GPU_MEMORY_USED: "memory_used_bytes",
    measured.WORKER_GPU_TEMPERATURE: "temperature_celsius",
    measured.WORKER_GPU_POWER: "power_watts",
}


class VersionState(msgspec.Struct, kw_only=True, frozen=True):
    """A model version and how it is."""

    model: str
    version: str
    kind: str
    digest: str
    serves: bool
    state: str
    """One of STATES, or what is wrong with it."""
    role: str = ""
    """prod, canary or shadow where it gets traffic."""

    @property
    def short_state(self) -> str:
        return self.state if self.state in STATES else "failed"


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of the server at each tick, and by those who look at its status. None of it waits."""

    versions: Callable[[], Iterable[VersionState]]
    loaded: Callable[[], list[LoadedModel]]
    device: Callable[[], Device | None]
    """None while it is looked for."""
    jobs: Callable[[], dict[str, int]]
    """How many are `queued` and `running`."""
    failure: Callable[[], str]
    """Why no jobs can run, if so."""
    workers: Callable[[], list[WorkerState]] = list
    """The processes that run graphs for the server."""
    alerts: Callable[[], AlertSummary] = AlertSummary


def read(serving: Serving) -> None:
    """Reads the models into the metrics."""
    versions, loaded = list(serving.versions()), serving.loaded()
    device = serving.device()
    provider: str = device.provider if device is not None else ""
    info: Labelled = {(v.model, v.version, v.kind, v.digest, provider): 1.0 for v in versions}
    states: Labelled = {
        (v.model, v.version, state): float(v.short_state == state)
        for v in versions
        for state in STATES
    }
    roles: Labelled = {(v.model, v.version, v.role): 1.0 for v in versions if v.role}
    found: Values = {
        measured.MODEL_INFO: info,
        measured.MODEL_STATE: states,
        measured.MODEL_ROLE: roles,
        measured.MODEL_LOAD_SECONDS: {(m.name, m.version): m.load_seconds for m in loaded},
        measured.MODEL_MEMORY_BYTES: {(m.name, m.version): float(m.memory_bytes) for m in loaded},
    }
    measured.readings.replace("models", found)
    measured.readings.replace("workers", _workers(serving.workers()))


def _workers(workers: Iterable[WorkerState]) -> Values:
    found: dict[measured.Measured, Labelled] = {metric: {} for metric in (*WORKER, *WORKER_GPU)}
    memory: Labelled = {}
    for one in workers:
        values = {**{metric: value(one) for metric, value in WORKER.items()}, **_gpu(one)}
        for metric, value in values.items():
            found[metric][one.name,] = value
        memory |= {(one.name, m.name, m.version): float(m.memory_bytes) for m in one.loaded}
    found[measured.WORKER_MODEL_MEMORY] = memory
    return {metric: values for metric, values in found.items() if values}


def _gpu(worker: WorkerState) -> dict[measured.Measured, float]:
    known = worker.vitals.gpu if worker.up else {}
    return {metric: known[name] for metric, name in WORKER_GPU.items() if name in known}
