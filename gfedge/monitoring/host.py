"""The machine: CPU, memory, disk and network, by psutil; and the files of this server."""

from __future__ import annotations

import platform
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import psutil

from gfedge import __version__
from gfedge.monitoring import measured
from gfedge.monitoring.measured import Values

CPU_MODES = ("user", "system", "idle", "iowait", "nice", "irq", "softirq", "steal")
MOST = 16
"""Disks and interfaces that are told apart."""
NOT_A_DISK = re.compile(r"(loop|ram|zram|dm-|md)\d+|.*[a-z]\d*p\d+|(sd|vd|hd|xvd)[a-z]+\d+")
"""Names of partitions and of what lies on disks, whose bytes would count twice."""


class Host:
    """Reads the machine; `read` is called at each tick and blocks for a millisecond or two."""

    def __init__(self, data: Path, database: Path) -> None:
        self._data = data
        self._database = database
        psutil.cpu_percent()  # the first call has nothing to compare with

    def read(self) -> None:
        measured.readings.replace("host", {**_cpu(), **_memory(), **_disks(), **_network()})
        measured.readings.replace("files", self._files())

    def _files(self) -> Values:
        disk = shutil.disk_usage(self._data)
        wal = self._database.with_name(f"{self._database.name}.wal")
        return {
            measured.BUILD_INFO: {(__version__, platform.python_version()): 1.0},
            measured.DISK_FREE_BYTES: {(): disk.free},
            measured.DISK_SIZE_BYTES: {(): disk.total},
            measured.DATABASE_FILE_BYTES: {(): _size(self._database)},
            measured.DATABASE_WAL_BYTES: {(): _size(wal)},
        }


def _size(path: Path) -> float:
    try:
        return path.stat().st_size
    except OSError:
        return 0.0


def _cpu() -> Values:
    times = psutil.cpu_times()
    modes: dict[tuple[str, ...], float] = {
        (mode,): getattr(times, mode) for mode in CPU_MODES if hasattr(times, mode)
    }
    return {
        measured.HOST_CPU_SECONDS: modes,
        measured.HOST_CPU_RATIO: {(): psutil.cpu_percent() / 100},
    }


def _memory() -> Values:
    memory = psutil.virtual_memory()
    return {
        measured.HOST_MEMORY_BYTES: {(): memory.total},
        measured.HOST_MEMORY_AVAILABLE_BYTES: {(): memory.available},
        measured.HOST_SWAP_USED_BYTES: {(): psutil.swap_memory().used},
    }


def _disks() -> Values:
    try:
        disks = psutil.disk_io_counters(perdisk=True) or {}
    except (OSError, RuntimeError):  # some containers hide them
        return {}
    names = _first(name for name in disks if not NOT_A_DISK.fullmatch(name))
    return {
        measured.HOST_DISK_READ_BYTES: {(name,): disks[name].read_bytes for name in names},
        measured.HOST_DISK_WRITTEN_BYTES: {(name,): disks[name].write_bytes for name in names},
    }


def _network() -> Values:
    try:
        interfaces = psutil.net_io_counters(pernic=True) or {}
    except OSError:
        return {}
    names = _first(interfaces)
    return {
        measured.HOST_NETWORK_RECEIVED_BYTES: {(n,): interfaces[n].bytes_recv for n in names},
        measured.HOST_NETWORK_SENT_BYTES: {(n,): interfaces[n].bytes_sent for n in names},
    }


def _first(names: Iterable[str]) -> list[str]:
    return sorted(names)[:MOST]
