"""The server and its machine now, from memory: nothing here waits for the database or a disk."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import time

from prometheus_client import Counter

from gfedge import __version__, http_metrics, metrics
from gfedge.auth import Who
from gfedge.monitoring import measured
from gfedge.monitoring.gpus import Gpus
from gfedge.monitoring.history import TAIL_MS, History
from gfedge.monitoring.live import Values
from gfedge.monitoring.serving import Serving
from gfedge.monitoring.types import (
    DashboardData,
    HistoryState,
    LoadedModel,
    QuickStats,
    Status,
    Storage,
)
from gfedge.settings import Settings

RATES = ("jobs_per_minute", "job_failure_ratio", "requests_per_second")


class Overview:
    """Says how things are; made of what it looks at."""

    def __init__(self, settings: Settings, serving: Serving, gpus: Gpus, history: History) -> None:
        self._settings = settings
        self._serving = serving
        self._gpus = gpus
        self._history = history
        self._started_at = time.time()

    def status(self, values: Values, who: Who) -> Status:
        device = self._serving.device()
        by_name = {value.name: value.value for value in values.values}
        return Status(
            status=self._serving.failure() or "ok",
            version=__version__,
            python=platform.python_version(),
            onnxruntime=_version("onnxruntime-gpu") or _version("onnxruntime"),
            duckdb=_version("duckdb"),
            started_at=self._started_at,
            uptime_seconds=time.time() - self._started_at,
            provider=device.provider if device is not None else "",
            device=device.note if device is not None else "starting",
            gpu_driver=self._gpus.note,
            gpus=list(self._gpus.latest),
            xid_errors=list(self._gpus.xids),
            models=[
                LoadedModel(
                    name=model.name,
                    version=model.version,
                    load_seconds=model.load_seconds,
                    memory_bytes=model.memory_bytes,
                    busy=model.busy,
                )
                for model in self._serving.loaded()
            ],
            model_states={f"{v.model}@{v.version}": v.state for v in self._serving.versions()},
            queue=dict(self._serving.jobs()),
            storage=self._storage(who),
            history=self._history_state(),
            rates={name: by_name.get(name) for name in RATES},
        )

    def dashboard(self, values: Values, who: Who) -> DashboardData:
        return DashboardData(
            system_status=self.status(values, who),
            metrics={value.name: value for value in values.values},
            alerts=self._serving.alerts(),
            quick_stats=self._quick_stats(),
        )

    def _storage(self, who: Who) -> Storage:
        return Storage(
            data=str(self._settings.data) if who.may("admin") else "",
            disk_free_bytes=_read(measured.DISK_FREE_BYTES),
            disk_size_bytes=_read(measured.DISK_SIZE_BYTES),
            database_bytes=_read(measured.DATABASE_FILE_BYTES),
            wal_bytes=_read(measured.DATABASE_WAL_BYTES),
        )

    def _history_state(self) -> HistoryState:
        history = self._history
        memory, archive = history.memory, history.archive
        entries = archive.entries
        return HistoryState(
            series=history.sampler.live,
            dropped_series=dict(history.sampler.dropped),
            interval_seconds=history.interval_ms / 1000,
            last_sample_at=memory.last / 1000 or None,
            memory_from=memory.start / 1000 if memory.start is not None else None,
            memory_bytes=memory.nbytes,
            stored_from=min((e.started_at for e in entries), default=None),
            stored_samples=sum(e.samples for e in entries),
            stored_bytes=sum(e.size_bytes for e in entries),
            lost_by_a_crash_seconds=TAIL_MS / 1000 + history.interval_ms / 1000,
        )

    def _quick_stats(self) -> QuickStats:
        jobs = _totals(metrics.jobs_total, "status")
        return QuickStats(
            jobs_succeeded=jobs.get("succeeded", 0.0),
            jobs_failed=jobs.get("failed", 0.0),
            jobs_cancelled=jobs.get("cancelled", 0.0),
            pictures=sum(_totals(metrics.pictures_total, "model").values()),
            requests=float(http_metrics.requests.total),
            models_ready=sum(v.state == "ready" for v in self._serving.versions()),
            uptime_seconds=time.time() - self._started_at,
        )


def _read(metric: measured.Measured) -> float | None:
    return measured.readings.values(metric).get(())


def _totals(counter: Counter, label: str) -> dict[str, float]:
    """Sums of a counter by one of its labels."""
    found: dict[str, float] = {}
    for family in counter.collect():
        for one in family.samples:
            found[one.labels[label]] = found.get(one.labels[label], 0.0) + one.value
    return found


@functools.cache
def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
