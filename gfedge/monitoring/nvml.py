"""What NVML says of one GPU: a table of its calls, each of which may be refused by a card without an error for us.

`nvml` is the pynvml module, or in tests what stands for it. Units are base units; what NVML gives in its own (mW, MHz,
percent, KiB/s, ns) is converted here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psutil

from gfedge.monitoring import measured
from gfedge.monitoring.measured import Measured

Key = tuple[str, str]
"""Number of the GPU, and of its MIG instance (empty for the whole card)."""
Found = dict[Measured, dict[tuple[str, ...], float]]

GPU_IS_LOST = 15
MEMORY_TEMPERATURE = 82
REASONS = {
    0x1: "idle",
    0x2: "application_clocks",
    0x4: "power_cap",
    0x8: "hardware_slowdown",
    0x10: "sync_boost",
    0x20: "thermal_software",
    0x40: "thermal_hardware",
    0x80: "power_brake",
    0x100: "display",
}
"""Why clocks are lowered, by NVML's bits."""
MOST_PROGRAMS = 16
"""Programs that are named; the memory of others is added up as `other`."""


class Lost(Exception):
    """The GPU has fallen off the bus."""


def ask(nvml: Any, call: str, *args: object) -> Any:
    """What a call gives; None where this card, driver or user does not get it. Raises Lost."""
    try:
        return getattr(nvml, call)(*args)
    except nvml.NVMLError as error:
        if error.value == GPU_IS_LOST:
            raise Lost from None
        return None


SINGLE: tuple[tuple[Measured, float, str, tuple[int, ...]], ...] = (
    (measured.GPU_POWER, 1e-3, "nvmlDeviceGetPowerUsage", ()),
    (measured.GPU_POWER_LIMIT, 1e-3, "nvmlDeviceGetEnforcedPowerLimit", ()),
    (measured.GPU_ENERGY, 1e-3, "nvmlDeviceGetTotalEnergyConsumption", ()),
    (measured.GPU_TEMPERATURE, 1, "nvmlDeviceGetTemperature", (0,)),
    (measured.GPU_FAN, 1e-2, "nvmlDeviceGetFanSpeed", ()),
    (measured.GPU_SM_CLOCK, 1e6, "nvmlDeviceGetClockInfo", (1,)),
    (measured.GPU_MEMORY_CLOCK, 1e6, "nvmlDeviceGetClockInfo", (2,)),
    (measured.GPU_PCIE_SENT, 1024, "nvmlDeviceGetPcieThroughput", (0,)),
    (measured.GPU_PCIE_RECEIVED, 1024, "nvmlDeviceGetPcieThroughput", (1,)),
    (measured.GPU_PCIE_REPLAYS, 1, "nvmlDeviceGetPcieReplayCounter", ()),
)
"""Metric, factor to its unit, call, and its arguments behind the device."""


def read(nvml: Any, handle: Any, key: Key, found: Found) -> None:
    """Adds the readings of one GPU or MIG instance to `found`; raises Lost."""
    for metric, factor, call, more in SINGLE:
        if (value := ask(nvml, call, handle, *more)) is not None:
            _put(found, metric, key, value * factor)
    _utilization(nvml, handle, key, found)
    _memory(nvml, handle, key, found)
    _throttling(nvml, handle, key, found)
    _errors(nvml, handle, key, found)
    for name, size in _programs(nvml, handle).items():
        _put(found, measured.GPU_PROCESS_MEMORY, (*key, name), size)


def _put(found: Found, metric: Measured, labels: tuple[str, ...], value: float | None) -> None:
    if value is not None:
        found.setdefault(metric, {})[labels] = float(value)


def _utilization(nvml: Any, handle: Any, key: Key, found: Found) -> None:
    if (rates := ask(nvml, "nvmlDeviceGetUtilizationRates", handle)) is not None:
        _put(found, measured.GPU_UTILIZATION, key, rates.gpu / 100)
        _put(found, measured.GPU_MEMORY_UTILIZATION, key, rates.memory / 100)
    if (encoder := ask(nvml, "nvmlDeviceGetEncoderUtilization", handle)) is not None:
        _put(found, measured.GPU_ENCODER_UTILIZATION, key, encoder[0] / 100)
    if (decoder := ask(nvml, "nvmlDeviceGetDecoderUtilization", handle)) is not None:
        _put(found, measured.GPU_DECODER_UTILIZATION, key, decoder[0] / 100)


def _memory(nvml: Any, handle: Any, key: Key, found: Found) -> None:
    """Version 2 of the call tells what the driver keeps from what is used."""
    memory = ask(nvml, "nvmlDeviceGetMemoryInfo", handle, nvml.nvmlMemory_v2)
    if memory is not None:
        _put(found, measured.GPU_MEMORY_RESERVED, key, memory.reserved)
    else:
        memory = ask(nvml, "nvmlDeviceGetMemoryInfo", handle)
    if memory is not None:
        _put(found, measured.GPU_MEMORY, key, memory.total)
        _put(found, measured.GPU_MEMORY_USED, key, memory.used)
        _put(found, measured.GPU_MEMORY_FREE, key, memory.free)
    fields = ask(nvml, "nvmlDeviceGetFieldValues", handle, [MEMORY_TEMPERATURE])
    if fields is not None and fields[0].nvmlReturn == 0:
        _put(found, measured.GPU_MEMORY_TEMPERATURE, key, fields[0].value.uiVal)


def _throttling(nvml: Any, handle: Any, key: Key, found: Found) -> None:
    bits = ask(nvml, "nvmlDeviceGetCurrentClocksEventReasons", handle)
    if bits is None:  # drivers before 535 know the call by its old name
        bits = ask(nvml, "nvmlDeviceGetCurrentClocksThrottleReasons", handle)
    if bits is not None:
        for bit, reason in REASONS.items():
            _put(found, measured.GPU_THROTTLED, (*key, reason), bool(bits & bit))
    for number, reason in enumerate(("power", "thermal")):
        if (status := ask(nvml, "nvmlDeviceGetViolationStatus", handle, number)) is not None:
            seconds = status.violationTime / 1e9
            _put(found, measured.GPU_THROTTLED_SECONDS, (*key, reason), seconds)


def _errors(nvml: Any, handle: Any, key: Key, found: Found) -> None:
    for kind, kind_name in enumerate(("corrected", "uncorrected")):
        for since, since_name in enumerate(("volatile", "aggregate")):
            count = ask(nvml, "nvmlDeviceGetTotalEccErrors", handle, kind, since)
            _put(found, measured.GPU_ECC_ERRORS, (*key, kind_name, since_name), count)
    rows = ask(nvml, "nvmlDeviceGetRemappedRows", handle) or ()
    for name, count in zip(("corrected", "uncorrected", "pending", "failed"), rows, strict=False):
        _put(found, measured.GPU_REMAPPED_ROWS, (*key, name), count)


def _programs(nvml: Any, handle: Any) -> dict[str, int]:
    """GPU memory by program: names, not process ids, which would be series without end."""
    sizes: dict[str, int] = {}
    for process in processes(nvml, handle):
        if process.usedGpuMemory is not None:
            name = program(process.pid)
            name = name if name in sizes or len(sizes) < MOST_PROGRAMS else "other"
            sizes[name] = sizes.get(name, 0) + process.usedGpuMemory
    return sizes


def processes(nvml: Any, handle: Any) -> list[Any]:
    """Those that compute or draw on a GPU, each once."""
    found: dict[int, Any] = {}
    for call in ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses"):
        # Drivers before 510 know version 2 alone.
        for process in ask(nvml, f"{call}_v3", handle) or ask(nvml, f"{call}_v2", handle) or ():
            found.setdefault(process.pid, process)
    return list(found.values())


def program(pid: int) -> str:
    """`gfedge` for this process; else the program's name, as far as this user may see it."""
    if pid == os.getpid():
        return "gfedge"
    try:
        return str(psutil.Process(pid).name())
    except (psutil.Error, ValueError):
        return "other"


def devices(nvml: Any) -> list[tuple[Key, Any]]:
    """Every GPU and behind it its MIG instances, with their handles; a lost GPU has None."""
    found: list[tuple[Key, Any]] = []
    for number in range(nvml.nvmlDeviceGetCount()):
        try:
            handle = ask(nvml, "nvmlDeviceGetHandleByIndex", number)
            parts = list(_instances(nvml, number, handle)) if handle is not None else []
        except Lost:
            handle, parts = None, []
        found += [((str(number), ""), handle), *parts]
    return found


def _instances(nvml: Any, number: int, handle: Any) -> Iterator[tuple[Key, Any]]:
    mode = ask(nvml, "nvmlDeviceGetMigMode", handle)
    if not mode or not mode[0]:
        return
    for place in range(ask(nvml, "nvmlDeviceGetMaxMigDeviceCount", handle) or 0):
        part = ask(nvml, "nvmlDeviceGetMigDeviceHandleByIndex", handle, place)
        if part is not None:
            instance = ask(nvml, "nvmlDeviceGetGpuInstanceId", part)
            yield (str(number), str(place if instance is None else instance)), part
