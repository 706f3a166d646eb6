"""What a worker's process and its GPU use, as the worker itself finds it."""

from __future__ import annotations

import os
from typing import Any

import psutil

from gfedge.inference.types import Device, Vitals


def read(device: Device) -> Vitals:
    """What is used now; of the GPU only where graphs run on one, and what its driver tells."""
    process = psutil.Process()
    with process.oneshot():
        times, memory = process.cpu_times(), process.memory_info().rss
    found: dict[str, float] = {}
    if device.provider == "CUDAExecutionProvider":
        found = _gpu()
    return Vitals(cpu_seconds=times.user + times.system, memory_bytes=memory, gpu=found)


def _gpu() -> dict[str, float]:
    import pynvml

    try:
        pynvml.nvmlInit()
        handle = _handle(pynvml)
        memory, use = (
            pynvml.nvmlDeviceGetMemoryInfo(handle),
            pynvml.nvmlDeviceGetUtilizationRates(handle),
        )
        return {
            "utilization_ratio": use.gpu / 100,
            "memory_used_bytes": float(memory.used),
            "memory_bytes": float(memory.total),
            "temperature_celsius": float(pynvml.nvmlDeviceGetTemperature(handle, 0)),
            "power_watts": pynvml.nvmlDeviceGetPowerUsage(handle) / 1000,
        }
    except pynvml.NVMLError:
        return {}


def _handle(nvml: Any) -> Any:
    """The GPU that CUDA sees first."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    if first.isdigit() or not first:
        return nvml.nvmlDeviceGetHandleByIndex(int(first or 0))
    return nvml.nvmlDeviceGetHandleByUUID(first)
