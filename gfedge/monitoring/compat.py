"""The names of others: DCGM's and Triton's metrics, made of our own, so that boards made for those draw unchanged.

A collector beside our metrics: its names are scraped and sampled like all others. What NVML or the server does not know
(DCGM's profiling counters, Triton's times of single batches) is not made up.
"""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec
from prometheus_client import Counter, Histogram
from prometheus_client.metrics_core import Metric

from gfedge import metrics
from gfedge.monitoring import measured
from gfedge.monitoring.measured import Measured

MIB = 1 / (1 << 20)


class Alias(msgspec.Struct, frozen=True):
    """Another name of a GPU metric: by which factor, and of which values where there are several."""

    name: str
    source: Measured
    factor: float = 1.0
    of: tuple[str, ...] = ()
    """What the labels behind gpu and mig must be."""


DCGM = (
    Alias("DCGM_FI_DEV_GPU_UTIL", measured.GPU_UTILIZATION, 100),
    Alias("DCGM_FI_PROF_GR_ENGINE_ACTIVE", measured.GPU_UTILIZATION),
    Alias("DCGM_FI_DEV_MEM_COPY_UTIL", measured.GPU_MEMORY_UTILIZATION, 100),
    Alias("DCGM_FI_DEV_ENC_UTIL", measured.GPU_ENCODER_UTILIZATION, 100),
    Alias("DCGM_FI_DEV_DEC_UTIL", measured.GPU_DECODER_UTILIZATION, 100),
    Alias("DCGM_FI_DEV_FB_USED", measured.GPU_MEMORY_USED, MIB),
    Alias("DCGM_FI_DEV_FB_FREE", measured.GPU_MEMORY_FREE, MIB),
    Alias("DCGM_FI_DEV_FB_RESERVED", measured.GPU_MEMORY_RESERVED, MIB),
    Alias("DCGM_FI_DEV_POWER_USAGE", measured.GPU_POWER),
    Alias("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", measured.GPU_ENERGY, 1e3),
    Alias("DCGM_FI_DEV_GPU_TEMP", measured.GPU_TEMPERATURE),
    Alias("DCGM_FI_DEV_MEMORY_TEMP", measured.GPU_MEMORY_TEMPERATURE),
    Alias("DCGM_FI_DEV_SM_CLOCK", measured.GPU_SM_CLOCK, 1e-6),
    Alias("DCGM_FI_DEV_MEM_CLOCK", measured.GPU_MEMORY_CLOCK, 1e-6),
    Alias("DCGM_FI_DEV_POWER_VIOLATION", measured.GPU_THROTTLED_SECONDS, 1e9, ("power",)),
    Alias("DCGM_FI_DEV_THERMAL_VIOLATION", measured.GPU_THROTTLED_SECONDS, 1e9, ("thermal",)),
    Alias("DCGM_FI_DEV_XID_ERRORS", measured.GPU_LAST_XID),
    Alias("DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", measured.GPU_ECC_ERRORS, 1, ("corrected", "volatile")),
    Alias("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", measured.GPU_ECC_ERRORS, 1, ("uncorrected", "volatile")),
    Alias("DCGM_FI_DEV_ECC_SBE_AGG_TOTAL", measured.GPU_ECC_ERRORS, 1, ("corrected", "aggregate")),
    Alias(
        "DCGM_FI_DEV_ECC_DBE_AGG_TOTAL", measured.GPU_ECC_ERRORS, 1, ("uncorrected", "aggregate")
    ),
    Alias("DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS", measured.GPU_REMAPPED_ROWS, 1, ("corrected",)),
    Alias(
        "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", measured.GPU_REMAPPED_ROWS, 1, ("uncorrected",)
    ),
    Alias("DCGM_FI_DEV_ROW_REMAP_FAILURE", measured.GPU_REMAPPED_ROWS, 1, ("failed",)),
    Alias("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", measured.GPU_PCIE_REPLAYS),
    Alias("DCGM_FI_PROF_PCIE_TX_BYTES", measured.GPU_PCIE_SENT),
    Alias("DCGM_FI_PROF_PCIE_RX_BYTES", measured.GPU_PCIE_RECEIVED),
)
TRITON = (
    Alias("nv_gpu_utilization", measured.GPU_UTILIZATION),
    Alias("nv_gpu_memory_used_bytes", measured.GPU_MEMORY_USED),
    Alias("nv_gpu_memory_total_bytes", measured.GPU_MEMORY),
    Alias("nv_gpu_power_usage", measured.GPU_POWER),
    Alias("nv_gpu_power_limit", measured.GPU_POWER_LIMIT),
    Alias("nv_energy_consumption", measured.GPU_ENERGY),
)
STAGES = {
    "input": (metrics.request_preprocess_seconds, "request_preprocess_seconds_sum"),
    "infer": (metrics.request_predict_seconds, "request_predict_seconds_sum"),
    "output": (metrics.request_postprocess_seconds, "request_postprocess_seconds_sum"),
}
Labels = Callable[[tuple[str, str]], dict[str, str]]


class Compat:
    """Collects under the names of `dcgm`, `triton` or both; register it beside our metrics."""

    def __init__(self, whose: str) -> None:
        self._whose = whose.split(",")
        self._host = socket.gethostname()

    def collect(self) -> Iterator[Metric]:
        facts = _facts()
        if "dcgm" in self._whose:
            yield from _aliases(DCGM, lambda key: self._dcgm_labels(key, facts.get(key, {})))
        if "triton" in self._whose:
            yield from _aliases(
                TRITON, lambda key: {"gpu_uuid": facts.get(key, {}).get("uuid", "")}
            )
            yield from _triton_models()

    def describe(self) -> Iterable[Metric]:
        return ()

    def _dcgm_labels(self, key: tuple[str, str], facts: Mapping[str, str]) -> dict[str, str]:
        gpu, mig = key
        return {
            "gpu": gpu,
            "UUID": facts.get("uuid", ""),
            "pci_bus_id": facts.get("pci_bus_id", ""),
            "device": f"nvidia{gpu}",
            "modelName": facts.get("name", ""),
            "Hostname": self._host,
            "DCGM_FI_DRIVER_VERSION": facts.get("driver", ""),
            **({"GPU_I_ID": mig} if mig else {}),
        }


def _facts() -> dict[tuple[str, str], dict[str, str]]:
    """What is known of each GPU."""
    names = measured.GPU_INFO.labels
    found = [
        dict(zip(names, labels, strict=True))
        for labels in measured.readings.values(measured.GPU_INFO)
    ]
    return {(one["gpu"], one["mig"]): one for one in found}


def _aliases(aliases: Iterable[Alias], labels: Labels) -> Iterator[Metric]:
    for alias in aliases:
        metric = Metric(alias.name, f"The same as {alias.source.name}.", "unknown")
        for (gpu, mig, *rest), value in measured.readings.values(alias.source).items():
            if tuple(rest) == alias.of:
                metric.add_sample(alias.name, labels((gpu, mig)), value * alias.factor)
        if metric.samples:
            yield metric


def _triton_models() -> Iterator[Metric]:
    for status, name in (("succeeded", "success"), ("failed", "failure")):
        yield _triton_jobs(status, f"nv_inference_request_{name}")
    count = Metric("nv_inference_count", "Pictures that were made.", "unknown")
    for labels, value in _samples(metrics.pictures_total, "gfedge_pictures_total"):
        count.add_sample(count.name, labels, value)
    yield count
    whole = Metric(
        "nv_inference_request_duration_us", "Time of all stages, without waiting.", "unknown"
    )
    seconds: defaultdict[str, float] = defaultdict(float)
    for stage, (histogram, total) in STAGES.items():
        name = f"nv_inference_compute_{stage}_duration_us"
        metric = Metric(name, f"Time of the stage {stage} in microseconds, added up.", "unknown")
        for labels, value in _samples(histogram, total):
            metric.add_sample(name, {"model": labels["model_name"]}, value * 1e6)
            seconds[labels["model_name"]] += value
        yield metric
    for model, value in seconds.items():
        whole.add_sample(whole.name, {"model": model}, value * 1e6)
    yield whole


def _triton_jobs(status: str, name: str) -> Metric:
    """Jobs of a model version of all kinds."""
    found: defaultdict[tuple[str, str], float] = defaultdict(float)
    for labels, value in _samples(metrics.jobs_total, "gfedge_jobs_total"):
        if labels["status"] == status and labels["model"]:
            found[labels["model"], labels["version"]] += value
    metric = Metric(name, f"Jobs that {status}.", "unknown")
    for (model, version), value in found.items():
        metric.add_sample(name, {"model": model, "version": version}, value)
    return metric


def _samples(metric: Counter | Histogram, name: str) -> Iterator[tuple[dict[str, str], float]]:
    for family in metric.collect():
        for one in family.samples:
            if one.name == name:
                yield one.labels, one.value
