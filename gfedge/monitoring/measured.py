"""Every metric that is read from outside at each tick of the clock: the host, GPUs, files, models, workers.

What is counted where it happens stands in `gfedge/metrics.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from prometheus_client import REGISTRY
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric


class Measured(NamedTuple):
    """A metric whose values are read from outside. `kind` is what Prometheus calls its type."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    kind: Literal["gauge", "counter"] = "gauge"


def _counter(name: str, text: str, *labels: str) -> Measured:
    return Measured(name, text, labels, "counter")


# The server

BUILD_INFO = Measured("gfedge_build_info", "Versions of what runs here.", ("version", "python"))
MODEL_INFO = Measured(
    "gfedge_model_info",
    "Model versions that are known here.",
    ("model", "version", "kind", "digest", "provider"),
)
MODEL_STATE = Measured(
    "gfedge_model_state",
    "1 for the state that a model version is in.",
    ("model", "version", "state"),
)
MODEL_ROLE = Measured(
    "gfedge_model_role",
    "1 for a model version that gets traffic: as prod, canary or shadow.",
    ("model", "version", "role"),
)
MODEL_LOAD_SECONDS = Measured(
    "gfedge_model_load_seconds",
    "Time that it took to load a model that is in memory.",
    ("model", "version"),
)
MODEL_MEMORY_BYTES = Measured(
    "gfedge_model_memory_bytes", "Memory that a loaded model counts for.", ("model", "version")
)

# Processes that run graphs for the server: one with engine = isolated, one on each GPU or node with engine = ray

_WORKER = ("worker",)
WORKER_UP = Measured("gfedge_worker_up", "1 if the worker answers, 0 if it is away.", _WORKER)
WORKER_CALLS = Measured("gfedge_worker_calls", "Calls that the worker has now.", _WORKER)
WORKER_CALLS_TOTAL = _counter(
    "gfedge_worker_calls_total", "Calls that the worker has answered.", *_WORKER
)
WORKER_INFERENCE_SECONDS = _counter(
    "gfedge_worker_inference_seconds_total", "Time of the calls in graphs.", *_WORKER
)
WORKER_RESTARTS = _counter(
    "gfedge_worker_restarts_total", "Times that the worker came back.", *_WORKER
)
WORKER_CPU_SECONDS = _counter(
    "gfedge_worker_cpu_seconds_total", "CPU time of the worker's processes.", *_WORKER
)
WORKER_MEMORY = Measured(
    "gfedge_worker_resident_memory_bytes", "Memory of the worker's process.", _WORKER
)
WORKER_MODEL_MEMORY = Measured(
    "gfedge_worker_model_memory_bytes",
    "Memory that a model counts for that the worker has loaded.",
    (*_WORKER, "model", "version"),
)
WORKER_GPU_UTILIZATION = Measured(
    "gfedge_worker_gpu_utilization_ratio", "Share of time in which kernels ran there.", _WORKER
)
WORKER_GPU_MEMORY = Measured("gfedge_worker_gpu_memory_bytes", "Memory of its GPU.", _WORKER)
WORKER_GPU_MEMORY_USED = Measured(
    "gfedge_worker_gpu_memory_used_bytes", "GPU memory in use there, by whomever.", _WORKER
)
WORKER_GPU_TEMPERATURE = Measured(
    "gfedge_worker_gpu_temperature_celsius", "Temperature of its GPU.", _WORKER
)
WORKER_GPU_POWER = Measured("gfedge_worker_gpu_power_watts", "Power that its GPU draws.", _WORKER)

DATABASE_FILE_BYTES = Measured("gfedge_database_file_bytes", "Size of the database file.")
DATABASE_WAL_BYTES = Measured(
    "gfedge_database_wal_bytes", "Size of the database's write-ahead log."
)
DATABASE_MEMORY_BYTES = Measured(
    "gfedge_database_memory_bytes",
    "Memory of the database by kind: blocks of its file, recent rows (since its last checkpoint), work of statements.",
    ("kind",),
)
DISK_FREE_BYTES = Measured("gfedge_disk_free_bytes", "Free space where the data folder is.")
DISK_SIZE_BYTES = Measured("gfedge_disk_size_bytes", "Size of the disk where the data folder is.")

# The host

HOST_CPU_SECONDS = _counter(
    "gfedge_host_cpu_seconds_total", "Time of all cores by what they did.", "mode"
)
HOST_CPU_RATIO = Measured("gfedge_host_cpu_ratio", "Share of all cores that was busy, from 0 to 1.")
HOST_MEMORY_BYTES = Measured("gfedge_host_memory_bytes", "Memory of this machine.")
HOST_MEMORY_AVAILABLE_BYTES = Measured(
    "gfedge_host_memory_available_bytes", "Memory that programs can still get."
)
HOST_SWAP_USED_BYTES = Measured("gfedge_host_swap_used_bytes", "Swap space in use.")
HOST_DISK_READ_BYTES = _counter(
    "gfedge_host_disk_read_bytes_total", "Bytes read from a disk.", "device"
)
HOST_DISK_WRITTEN_BYTES = _counter(
    "gfedge_host_disk_written_bytes_total", "Bytes written to a disk.", "device"
)
HOST_NETWORK_RECEIVED_BYTES = _counter(
    "gfedge_host_network_received_bytes_total", "Bytes that an interface received.", "interface"
)
HOST_NETWORK_SENT_BYTES = _counter(
    "gfedge_host_network_sent_bytes_total", "Bytes that an interface sent.", "interface"
)

# GPUs. `mig` is the number of a MIG instance, and empty for a whole card.

_GPU = ("gpu", "mig")
GPU_INFO = Measured(
    "gfedge_gpu_info",
    "GPUs of this machine.",
    (*_GPU, "uuid", "name", "pci_bus_id", "driver", "cuda"),
)
GPU_UP = Measured("gfedge_gpu_up", "1 if the GPU answers, 0 if it is lost.", _GPU)
GPU_UTILIZATION = Measured(
    "gfedge_gpu_utilization_ratio", "Share of time in which kernels ran.", _GPU
)
GPU_MEMORY_UTILIZATION = Measured(
    "gfedge_gpu_memory_utilization_ratio",
    "Share of time in which memory was read or written.",
    _GPU,
)
GPU_ENCODER_UTILIZATION = Measured(
    "gfedge_gpu_encoder_utilization_ratio", "Use of the video encoder.", _GPU
)
GPU_DECODER_UTILIZATION = Measured(
    "gfedge_gpu_decoder_utilization_ratio", "Use of the video decoder.", _GPU
)
GPU_MEMORY = Measured("gfedge_gpu_memory_bytes", "Memory of the GPU.", _GPU)
GPU_MEMORY_USED = Measured("gfedge_gpu_memory_used_bytes", "GPU memory in use.", _GPU)
GPU_MEMORY_FREE = Measured("gfedge_gpu_memory_free_bytes", "GPU memory that is free.", _GPU)
GPU_MEMORY_RESERVED = Measured(
    "gfedge_gpu_memory_reserved_bytes", "GPU memory that the driver keeps.", _GPU
)
GPU_PROCESS_MEMORY = Measured(
    "gfedge_gpu_process_memory_bytes",
    "GPU memory by program; `gfedge` is this server.",
    (*_GPU, "process"),
)
GPU_POWER = Measured("gfedge_gpu_power_watts", "Power that the GPU draws.", _GPU)
GPU_POWER_LIMIT = Measured("gfedge_gpu_power_limit_watts", "Power that the GPU is held to.", _GPU)
GPU_ENERGY = _counter(
    "gfedge_gpu_energy_joules_total", "Energy used since the driver was loaded.", *_GPU
)
GPU_TEMPERATURE = Measured("gfedge_gpu_temperature_celsius", "Temperature of the GPU's chip.", _GPU)
GPU_MEMORY_TEMPERATURE = Measured(
    "gfedge_gpu_memory_temperature_celsius", "Temperature of the GPU's memory.", _GPU
)
GPU_FAN = Measured("gfedge_gpu_fan_ratio", "Speed of the fan, of its highest.", _GPU)
GPU_SM_CLOCK = Measured(
    "gfedge_gpu_sm_clock_hertz", "Clock of the streaming multiprocessors.", _GPU
)
GPU_MEMORY_CLOCK = Measured("gfedge_gpu_memory_clock_hertz", "Clock of the GPU's memory.", _GPU)
GPU_THROTTLED = Measured(
    "gfedge_gpu_throttled", "1 if clocks are lowered for this reason.", (*_GPU, "reason")
)
GPU_THROTTLED_SECONDS = _counter(
    "gfedge_gpu_throttled_seconds_total",
    "Time in which clocks were lowered for this reason.",
    *_GPU,
    "reason",
)
GPU_PCIE_SENT = Measured(
    "gfedge_gpu_pcie_sent_bytes_per_second", "Rate at which the GPU sends over PCIe.", _GPU
)
GPU_PCIE_RECEIVED = Measured(
    "gfedge_gpu_pcie_received_bytes_per_second", "Rate at which the GPU receives over PCIe.", _GPU
)
GPU_PCIE_REPLAYS = _counter(
    "gfedge_gpu_pcie_replays_total", "PCIe packets that were sent again.", *_GPU
)
GPU_ECC_ERRORS = _counter(
    "gfedge_gpu_ecc_errors_total",
    "Memory errors: corrected or uncorrected, since the driver was loaded (volatile) or ever (aggregate).",
    *_GPU,
    "type",
    "since",
)
GPU_REMAPPED_ROWS = Measured(
    "gfedge_gpu_remapped_rows", "Rows of memory that were remapped, by why.", (*_GPU, "reason")
)
GPU_XID_ERRORS = _counter(
    "gfedge_gpu_xid_errors_total",
    "XID errors since the server started, by their number.",
    *_GPU,
    "xid",
)
GPU_LAST_XID = Measured("gfedge_gpu_last_xid", "Number of the latest XID error.", _GPU)

MEASURED = tuple(value for value in list(globals().values()) if isinstance(value, Measured))
"""All metrics that are read from outside."""

Values = Mapping[Measured, Mapping[tuple[str, ...], float]]
"""What was read: by metric, then by the values of its labels."""


class Readings:
    """What was read from outside last, by source. A source replaces its own as a whole, so what is gone is absent."""

    def __init__(self) -> None:
        self._of: dict[str, Values] = {}

    def replace(self, source: str, found: Values) -> None:
        self._of[source] = found

    def forget(self, source: str) -> None:
        self._of.pop(source, None)

    def values(self, metric: Measured) -> Mapping[tuple[str, ...], float]:
        """The latest values of one metric, by the values of its labels."""
        for found in list(self._of.values()):
            if metric in found:
                return found[metric]
        return {}

    def collect(self) -> Iterable[Metric]:
        for found in list(self._of.values()):
            for metric, values in found.items():
                yield family(metric, values)

    def describe(self) -> Iterable[Metric]:
        return [family(metric, {}) for metric in MEASURED]


def family(metric: Measured, values: Mapping[tuple[str, ...], float]) -> Metric:
    """A metric with its values, as the registry collects it."""
    made: CounterMetricFamily | GaugeMetricFamily
    if metric.kind == "counter":
        made = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    else:
        made = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in values.items():
        made.add_metric(labels, value)
    return made


readings = Readings()
REGISTRY.register(readings)
