"""The GPUs of this machine: one thread samples them by NVML and, between samples, waits for their XID errors.

Without a driver there are no GPUs, and that is looked at again once a minute.
"""

from __future__ import annotations

import importlib
import logging
import threading
import time
from collections import Counter
from typing import Any

from gfedge.monitoring import measured
from gfedge.monitoring import nvml as calls
from gfedge.monitoring.nvml import Found, Key, Lost, ask
from gfedge.monitoring.types import Gpu, GpuProcess, XidError

log = logging.getLogger(__name__)

AGAIN_SECONDS = 60.0
"""Before a missing driver is looked for again, and cards and instances anew."""
WAIT_MS = 500
"""For an XID at a time; then it is looked whether to stop."""
XID_EVENT = 0x8
KEPT_XIDS = 100
NO_DRIVER = "no NVIDIA driver"


class Gpus:
    """What is known of the GPUs; `start` it, read it from any thread, `stop` it."""

    def __init__(self, interval: float, nvml: Any = None) -> None:
        self.note = NO_DRIVER
        """Why there are no GPUs, or the driver's version."""
        self.latest: tuple[Gpu, ...] = ()
        self.xids: list[XidError] = []
        """The latest XID errors since the server started, oldest first."""
        self._interval = interval
        self._nvml = nvml
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._known: dict[Key, dict[str, str]] = {}
        self._events: Any = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gpus", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the thread has ended; a driver that hangs is not waited for long."""
        self._stopping.set()
        if self._thread.is_alive():  # the start may have failed before
            self._thread.join(2.0)
        measured.readings.forget("gpus")

    def _run(self) -> None:
        if self._nvml is None:
            self._nvml = importlib.import_module("pynvml")
        while not self._stopping.is_set():
            try:
                self._nvml.nvmlInit()
                self._live()
            except self._nvml.NVMLError as error:
                self.note = NO_DRIVER
                log.debug("no GPUs: %s", error)
            except Exception:
                log.exception("sampling the GPUs failed and is begun anew")
            self.latest = ()
            measured.readings.forget("gpus")
            self._stopping.wait(AGAIN_SECONDS)

    def _live(self) -> None:
        """Samples until it is time to stop; looks for cards and instances anew now and then."""
        try:
            while not self._stopping.is_set():
                devices = calls.devices(self._nvml)
                self._register([handle for (_, mig), handle in devices if not mig and handle])
                until = time.monotonic() + AGAIN_SECONDS
                while not self._stopping.is_set() and time.monotonic() < until:
                    self.sample(devices)
                    self._wait(self._interval)
        finally:
            ask(self._nvml, "nvmlShutdown")

    def sample(self, devices: list[tuple[Key, Any]]) -> None:
        """Reads all of them once."""
        driver = ask(self._nvml, "nvmlSystemGetDriverVersion") or ""
        self.note = f"driver {driver}"
        found: Found = {measured.GPU_UP: {}, measured.GPU_XID_ERRORS: {}, measured.GPU_INFO: {}}
        shown = [self._sample_one(key, handle, found) for key, handle in devices]
        for (gpu, mig, xid), count in self._counts.items():
            found[measured.GPU_XID_ERRORS][gpu, mig, xid] = count
        found[measured.GPU_LAST_XID] = {(x.gpu, x.mig): float(x.xid) for x in self.xids}
        measured.readings.replace("gpus", found)
        self.latest = tuple(shown)

    def _sample_one(self, key: Key, handle: Any, found: Found) -> Gpu:
        own: Found = {}
        processes: list[GpuProcess] = []
        up = handle is not None
        try:
            if up:
                self._describe(key, handle)
                calls.read(self._nvml, handle, key, own)
                processes = [
                    GpuProcess(pid=p.pid, name=calls.program(p.pid), memory_bytes=p.usedGpuMemory)
                    for p in calls.processes(self._nvml, handle)
                ]
        except Lost:
            own, up = {}, False
        for metric, values in own.items():
            found.setdefault(metric, {}).update(values)
        facts = self._known.get(key, {})
        found[measured.GPU_UP][key] = float(up)
        labels = measured.GPU_INFO.labels[2:]
        found[measured.GPU_INFO][(*key, *(facts.get(name, "") for name in labels))] = 1.0
        return _shown(key, facts, own, up, processes)

    def _describe(self, key: Key, handle: Any) -> None:
        """What does not change of a card, kept so that a lost one can still be named."""
        if key in self._known:
            return
        nvml = self._nvml
        pci = ask(nvml, "nvmlDeviceGetPciInfo", handle)
        cuda = ask(nvml, "nvmlSystemGetCudaDriverVersion_v2")
        self._known[key] = {
            "uuid": _text(ask(nvml, "nvmlDeviceGetUUID", handle)),
            "name": _text(ask(nvml, "nvmlDeviceGetName", handle)),
            "pci_bus_id": _text(getattr(pci, "busId", "")),
            "driver": _text(ask(nvml, "nvmlSystemGetDriverVersion")),
            "cuda": f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else "",
        }

    # XID errors

    def _register(self, handles: list[Any]) -> None:
        """Asks for the XID errors of all cards; where that is not to be had, there are none."""
        nvml = self._nvml
        if self._events is not None:
            ask(nvml, "nvmlEventSetFree", self._events)
            self._events = None
        if (events := ask(nvml, "nvmlEventSetCreate")) is None:
            return
        for handle in handles:
            try:
                nvml.nvmlDeviceRegisterEvents(handle, XID_EVENT, events)
                self._events = events
            except nvml.NVMLError:
                log.debug("a GPU tells no XID errors", exc_info=True)

    def _wait(self, seconds: float) -> None:
        """Waits for the next sample and notes the XID errors that come meanwhile."""
        until = time.monotonic() + seconds
        while not self._stopping.is_set() and (left := until - time.monotonic()) > 0:
            if self._events is None:
                self._stopping.wait(left)
                continue
            try:
                event = self._nvml.nvmlEventSetWait_v2(
                    self._events, max(1, min(WAIT_MS, int(left * 1000)))
                )
            except self._nvml.NVMLError as error:
                if not isinstance(error, self._nvml.NVMLError_Timeout):
                    self._events = None
                continue
            self._note(event)

    def _note(self, event: Any) -> None:
        try:
            index = ask(self._nvml, "nvmlDeviceGetIndex", event.device)
        except Lost:  # the error may be just that
            index = None
        gpu = "" if index is None else str(index)
        mig = "" if event.gpuInstanceId in (None, 0xFFFFFFFF) else str(event.gpuInstanceId)
        xid = int(event.eventData)
        self._counts[gpu, mig, str(xid)] += 1
        self.xids = [*self.xids, XidError(gpu=gpu, mig=mig, xid=xid, at=time.time())][-KEPT_XIDS:]
        log.error("GPU %s: XID error %d", gpu or "?", xid)


def _shown(
    key: Key, facts: dict[str, str], own: Found, up: bool, processes: list[GpuProcess]
) -> Gpu:
    def value(metric: measured.Measured) -> float | None:
        return own.get(metric, {}).get(key)

    throttled = own.get(measured.GPU_THROTTLED, {})
    return Gpu(
        gpu=key[0],
        mig=key[1],
        up=up,
        uuid=facts.get("uuid", ""),
        name=facts.get("name", ""),
        utilization_ratio=value(measured.GPU_UTILIZATION),
        memory_bytes=value(measured.GPU_MEMORY),
        memory_used_bytes=value(measured.GPU_MEMORY_USED),
        temperature_celsius=value(measured.GPU_TEMPERATURE),
        power_watts=value(measured.GPU_POWER),
        power_limit_watts=value(measured.GPU_POWER_LIMIT),
        throttled=sorted(labels[2] for labels, on in throttled.items() if on),
        processes=processes,
    )


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")
