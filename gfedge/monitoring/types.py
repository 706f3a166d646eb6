"""What monitoring tells its clients."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


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
