"""What is measured: the text that scrapers get, GPUs by a stand-in for NVML, the host, and the names of others."""

from __future__ import annotations

import asyncio
import ctypes.util
import gzip
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Api, Process, connected, eventually
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.parser import text_string_to_metric_families

from gfedge import metrics
from gfedge.db import Database
from gfedge.http_metrics import Requests
from gfedge.metrics import SHORT
from gfedge.monitoring import held, measured
from gfedge.monitoring.compat import Compat
from gfedge.monitoring.exposition import exposition
from gfedge.monitoring.gpus import NO_DRIVER, Gpus
from gfedge.monitoring.host import Host
from gfedge.monitoring.nvml import devices

OPEN = "application/openmetrics-text; version=1.0.0"
promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")


# -- the text -----------------------------------------------------------------------------------


@pytest.fixture
def registry() -> CollectorRegistry:
    """A metric of each kind, with texts that have to be escaped."""
    made = CollectorRegistry()
    Counter("done_total", 'Things "done" \\ so far.\nAll.', ["what"], registry=made).labels(
        'a "b" \\ \n'
    ).inc(3)
    gauges = Gauge("here_bytes", "Bytes.", ["z", "a"], registry=made)
    for number, value in enumerate((1.5, float("inf"), float("-inf"), float("nan"), 1e300, -0.0)):
        gauges.labels(str(number), "é").set(value)
    Histogram("took_seconds", "Times.", ["of"], buckets=(0.1, 1), registry=made).labels(
        "x"
    ).observe(0.5)
    return made


def samples(text: str) -> list[tuple[str, str, str]]:
    families = text_string_to_metric_families(text)
    return sorted(
        (one.name, repr(sorted(one.labels.items())), repr(one.value))
        for family in families
        for one in family.samples
    )


@pytest.mark.parametrize("accept", ["", "text/plain", "*/*", OPEN, f"{OPEN},text/plain;q=0.5"])
def test_the_text_is_what_prometheus_client_writes(
    registry: CollectorRegistry, accept: str
) -> None:
    body, kind = exposition(registry, accept, zipped=False)
    encode, expected_kind = choose_encoder(accept)
    expected = encode(registry).decode()
    assert kind == expected_kind
    assert samples(body.decode()) == samples(expected)
    comments = [line for line in expected.splitlines() if line.startswith("#")]
    assert [line for line in body.decode().splitlines() if line.startswith("#")] == comments


@pytest.mark.parametrize("accept", ["", OPEN])
def test_requests_are_counted_as_prometheus_client_counts(accept: str) -> None:
    """Its own counters, given the same, are the peer."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    requests = Requests()
    ours.register(requests)
    total, took = requests.describe()
    named = [total._labelnames, took._labelnames]
    total = Counter(total.name, total.documentation, named[0], registry=theirs)
    took = Histogram(took.name, took.documentation, named[1], buckets=SHORT, registry=theirs)
    answers = [("GET", "/a", 200, at * few) for at in SHORT for few in (0.5, 1.0, 1.5)]
    answers += [("POST", '/b/{"x"}', 503, 1e9), ("GET", "/stream", 101, 3600.0)]
    for method, route, status, seconds in answers:
        requests.count(method, route, status, seconds)
        total.labels(method, route, str(status)).inc()
        if status != 101:
            took.labels(route).observe(seconds)
    assert requests.total == len(answers)
    texts = [exposition(each, accept, zipped=False)[0].decode() for each in (ours, theirs)]
    assert texts[0] == texts[1]


async def test_metrics_answers_in_the_form_that_is_asked_for(client: Api) -> None:
    for accept, begins in (("text/plain", "text/plain"), (OPEN, "application/openmetrics-text")):
        headers = {"Accept": accept, "Accept-Encoding": "identity"}
        async with client.http.get("/metrics", headers=headers) as response:
            text = await response.text()
            assert response.headers["Content-Type"].startswith(begins)
            assert "Content-Encoding" not in response.headers
            assert text.endswith("# EOF\n") == (begins != "text/plain")
    async with client.http.get(
        "/metrics", headers={"Accept-Encoding": "gzip"}, auto_decompress=False
    ) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert b"gfedge_jobs_queued" in gzip.decompress(await response.read())


@promtool
async def test_promtool_finds_nothing_to_say(client: Api) -> None:
    await client.generate()
    every = measured.Readings()
    every.replace("test", {m: {tuple("x" for _ in m.labels): 1.0} for m in measured.MEASURED})
    for collected in (REGISTRY, every):
        text = exposition(collected, "", zipped=False)[0]
        check = ["promtool", "check", "metrics"]
        found = await asyncio.to_thread(subprocess.run, check, input=text, capture_output=True)
        assert (found.returncode, found.stdout + found.stderr) == (0, b"")


async def test_a_job_is_measured_by_its_stages_and_what_it_made(client: Api) -> None:
    async def value(name: str) -> float:
        text = (await client.bytes("/metrics")).decode()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found.group(1)) if found else 0.0

    names = (
        'request_predict_seconds_count{model_name="sprite"}',
        'request_postprocess_seconds_count{model_name="sprite"}',
        'gfedge_pictures_total{model="sprite",version="1"}',
        'gfedge_batch_size_count{model="sprite"}',
        'gfedge_tiles_total{model="superres"}',
        "gfedge_database_commit_seconds_count",
    )
    before = [await value(name) for name in names]
    await client.generate(n=2, scale=2)
    grown = [await value(name) - old for name, old in zip(names, before, strict=True)]
    assert grown[:4] == [1, 1, 2, 1]
    assert min(grown[4:]) >= 1


# -- the host -----------------------------------------------------------------------------------


def test_the_host_and_the_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "db.duckdb").write_bytes(b"x" * 100)
    Host(tmp_path, tmp_path / "db.duckdb").read()
    read = measured.readings.values
    assert read(measured.DATABASE_FILE_BYTES) == {(): 100}
    assert read(measured.DATABASE_WAL_BYTES) == {(): 0}
    assert 0 < read(measured.DISK_FREE_BYTES)[()] <= read(measured.DISK_SIZE_BYTES)[()]
    assert (
        0 < read(measured.HOST_MEMORY_AVAILABLE_BYTES)[()] <= read(measured.HOST_MEMORY_BYTES)[()]
    )
    assert {("user",), ("system",), ("idle",)} <= read(measured.HOST_CPU_SECONDS).keys()


async def test_the_memory_of_the_database_is_told_by_what_it_holds(tmp_path: Path) -> None:
    db = Database(tmp_path / "db.duckdb")
    db.open()

    async def read() -> Mapping[tuple[str, ...], float]:
        await asyncio.to_thread(held.read, db)
        return measured.readings.values(measured.DATABASE_MEMORY_BYTES)

    await db.write(lambda cursor: cursor.execute("create table filler (text varchar)"))
    before = await read()
    assert before.keys() == {("blocks",), ("recent",), ("work",)}
    texts = "insert into filler select repeat('x', 1000) || i from range(4000) t(i)"
    await db.write(lambda cursor: cursor.execute(texts))
    assert (await read())["recent",] > before["recent",] + 4_000_000
    await asyncio.to_thread(db.close)
    assert await read() == {}


# -- GPUs ---------------------------------------------------------------------------------------


class Refused(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value


class Timeout(Refused):
    pass


class Card(SimpleNamespace):
    """What a pretended GPU answers by call; a call that it lacks is not supported."""


def full_card(uuid: str = "GPU-1") -> Card:
    return Card(
        nvmlDeviceGetUUID=uuid,
        nvmlDeviceGetName="NVIDIA T4",
        nvmlDeviceGetPciInfo=SimpleNamespace(busId=b"0000:01:00.0"),
        nvmlDeviceGetPowerUsage=70_500,
        nvmlDeviceGetEnforcedPowerLimit=75_000,
        nvmlDeviceGetTotalEnergyConsumption=123_000,
        nvmlDeviceGetTemperature=64,
        nvmlDeviceGetFanSpeed=40,
        nvmlDeviceGetClockInfo=1500,
        nvmlDeviceGetEncoderUtilization=[5, 100],
        nvmlDeviceGetDecoderUtilization=[6, 100],
        nvmlDeviceGetPcieThroughput=10,
        nvmlDeviceGetPcieReplayCounter=2,
        nvmlDeviceGetUtilizationRates=SimpleNamespace(gpu=87, memory=33),
        nvmlDeviceGetFieldValues=[SimpleNamespace(nvmlReturn=0, value=SimpleNamespace(uiVal=71))],
        nvmlDeviceGetMemoryInfo=SimpleNamespace(
            total=16 << 30, used=4 << 30, free=11 << 30, reserved=1 << 30
        ),
        nvmlDeviceGetCurrentClocksEventReasons=0x4 | 0x20,
        nvmlDeviceGetViolationStatus=SimpleNamespace(violationTime=3_000_000_000),
        nvmlDeviceGetTotalEccErrors=1,
        nvmlDeviceGetRemappedRows=(1, 2, 0, 0),
        nvmlDeviceGetComputeRunningProcesses_v2=[
            SimpleNamespace(pid=os.getpid(), usedGpuMemory=1 << 30)
        ],
        nvmlDeviceGetGraphicsRunningProcesses_v3=[],
        nvmlDeviceGetMigMode=[0, 0],
    )


class Nvml:
    """Stands for the pynvml module, which is not ours: cards by number, and events that a test puts in."""

    NVMLError, NVMLError_Timeout = Refused, Timeout
    nvmlMemory_v2 = 2  # noqa: N815

    def __init__(self, *cards: Card | None, driver: bool = True) -> None:
        self.cards = cards
        self.driver = driver
        self.events: list[Any] = []
        self.woken = threading.Event()

    def nvmlInit(self) -> None:  # noqa: N802
        if not self.driver:
            raise Refused(12)

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, number: int) -> Card:  # noqa: N802
        if (card := self.cards[number]) is None:
            raise Refused(15)
        return card

    def nvmlDeviceGetMaxMigDeviceCount(self, card: Card) -> int:  # noqa: N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, card: Card, number: int) -> Card:  # noqa: N802
        if number >= len(card.parts):
            raise Refused(6)
        part: Card = card.parts[number]
        return part

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "580.1"

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:  # noqa: N802
        return 13_020

    def nvmlShutdown(self) -> None:  # noqa: N802
        pass

    def nvmlEventSetCreate(self) -> str:  # noqa: N802
        return "events"

    def nvmlDeviceRegisterEvents(self, card: Card, kinds: int, events: str) -> None:  # noqa: N802
        assert (kinds, events) == (8, "events")

    def nvmlEventSetWait_v2(self, events: str, timeout: int) -> Any:  # noqa: N802
        if not self.events:
            self.woken.wait(timeout / 1000)
        if not self.events:
            raise Timeout(10)
        return self.events.pop()

    def __getattr__(self, call: str) -> Callable[..., Any]:
        def answer(card: Card, *more: object) -> Any:
            if not hasattr(card, call):
                raise Refused(15 if getattr(card, "lost", False) else 3)
            return getattr(card, call)

        return answer


@pytest.fixture
def sampled() -> Iterator[Callable[..., Gpus]]:
    """Samples pretended cards once."""

    def sample(*cards: Card | None) -> Gpus:
        nvml = Nvml(*cards)
        gpus = Gpus(5.0, nvml)
        gpus.sample(devices(nvml))
        return gpus

    yield sample
    measured.readings.forget("gpus")


def read(metric: measured.Measured, *labels: str) -> float | None:
    return measured.readings.values(metric).get(labels or ("0", ""))


def test_a_gpu_is_read_in_base_units(sampled: Callable[..., Gpus]) -> None:
    (gpu,) = sampled(full_card()).latest
    assert (gpu.name, gpu.up, gpu.throttled) == (
        "NVIDIA T4",
        True,
        ["power_cap", "thermal_software"],
    )
    assert gpu.utilization_ratio == 0.87
    assert gpu.processes[0].name == "gfedge"
    assert read(measured.GPU_POWER) == 70.5
    assert read(measured.GPU_ENERGY) == 123
    assert read(measured.GPU_SM_CLOCK) == 1.5e9
    assert read(measured.GPU_FAN) == 0.4
    assert read(measured.GPU_MEMORY_RESERVED) == 1 << 30
    assert read(measured.GPU_MEMORY_TEMPERATURE) == 71
    assert read(measured.GPU_PCIE_SENT) == 10_240
    assert read(measured.GPU_THROTTLED, "0", "", "thermal_software") == 1
    assert read(measured.GPU_THROTTLED, "0", "", "display") == 0
    assert read(measured.GPU_THROTTLED_SECONDS, "0", "", "thermal") == 3
    assert read(measured.GPU_ECC_ERRORS, "0", "", "uncorrected", "aggregate") == 1
    assert read(measured.GPU_PROCESS_MEMORY, "0", "", "gfedge") == 1 << 30
    info = ("0", "", "GPU-1", "NVIDIA T4", "0000:01:00.0", "580.1", "13.2")
    assert read(measured.GPU_INFO, *info) == 1


def test_what_a_card_does_not_tell_is_absent(sampled: Callable[..., Gpus]) -> None:
    (gpu,) = sampled(Card(nvmlDeviceGetTemperature=50)).latest
    assert (gpu.up, gpu.temperature_celsius, gpu.power_watts) == (True, 50, None)
    assert read(measured.GPU_TEMPERATURE) == 50
    assert read(measured.GPU_POWER) is None
    assert not measured.readings.values(measured.GPU_ECC_ERRORS)


def test_a_lost_gpu_is_named_and_the_others_are_read(sampled: Callable[..., Gpus]) -> None:
    gpus = sampled(full_card(), None, Card(lost=True))
    assert [gpu.up for gpu in gpus.latest] == [True, False, False]
    assert [read(measured.GPU_UP, str(n), "") for n in range(3)] == [1, 0, 0]
    assert read(measured.GPU_TEMPERATURE, "1", "") is None


def test_mig_instances_are_read_beside_their_card(sampled: Callable[..., Gpus]) -> None:
    parts = [
        Card(nvmlDeviceGetGpuInstanceId=number, nvmlDeviceGetUUID=f"MIG-{number}")
        for number in (3, 5)
    ]
    memory = SimpleNamespace(total=10, used=4, free=6, reserved=0)
    parts[0].nvmlDeviceGetMemoryInfo = memory
    gpus = sampled(Card(nvmlDeviceGetMigMode=[1, 1], parts=parts))
    assert [(gpu.gpu, gpu.mig) for gpu in gpus.latest] == [("0", ""), ("0", "3"), ("0", "5")]
    assert read(measured.GPU_MEMORY_USED, "0", "3") == 4


async def test_xid_errors_are_counted_as_they_happen() -> None:
    nvml = Nvml(full_card())
    nvml.cards[0].nvmlDeviceGetIndex = 0  # type: ignore[union-attr]
    gpus = Gpus(0.01, nvml)
    gpus.start()
    try:
        nvml.events.append(
            SimpleNamespace(device=nvml.cards[0], eventData=79, gpuInstanceId=0xFFFFFFFF)
        )
        nvml.woken.set()

        async def count() -> float | None:
            return read(measured.GPU_XID_ERRORS, "0", "", "79")

        await eventually(count, lambda found: found == 1)
        assert read(measured.GPU_LAST_XID) == 79
        assert [(one.gpu, one.xid) for one in gpus.xids] == [("0", 79)]
    finally:
        gpus.stop()
    assert read(measured.GPU_UP) is None


def test_without_a_driver_there_are_no_gpus() -> None:
    gpus = Gpus(0.01, Nvml(driver=False))
    gpus.start()
    gpus.stop()
    assert gpus.latest == ()
    assert gpus.note == NO_DRIVER


def test_boards_of_others_find_their_names(sampled: Callable[..., Gpus]) -> None:
    sampled(full_card())
    found = {m.name: m.samples for m in Compat("dcgm,triton").collect()}
    (used,) = found["DCGM_FI_DEV_FB_USED"]
    assert used.value == 4096
    assert used.labels["modelName"] == "NVIDIA T4"
    assert used.labels["UUID"] == "GPU-1"
    assert found["DCGM_FI_DEV_SM_CLOCK"][0].value == pytest.approx(1500)
    assert [one.value for one in found["DCGM_FI_DEV_THERMAL_VIOLATION"]] == [3e9]
    assert [one.value for one in found["DCGM_FI_DEV_ECC_DBE_AGG_TOTAL"]] == [1]
    assert found["nv_gpu_utilization"][0].labels == {"gpu_uuid": "GPU-1"}
    assert found["nv_gpu_utilization"][0].value == 0.87
    for kind in ("generate", "replay"):
        metrics.jobs_total.labels(kind, "succeeded", "twofold", "1").inc()
    metrics.request_preprocess_seconds.labels("twofold").observe(0.5)
    metrics.request_predict_seconds.labels("twofold").observe(1.0)
    found = {m.name: m.samples for m in Compat("triton").collect()}

    def of_model(name: str) -> list[float]:
        return [one.value for one in found[name] if one.labels["model"] == "twofold"]

    assert of_model("nv_inference_request_success") == [2.0]
    assert of_model("nv_inference_request_duration_us") == [1.5e6]
    assert not list(Compat("none").collect())


LIBRARY = r"""
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <unistd.h>
typedef unsigned int u;
int nvmlInitWithFlags(u flags) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(u *n) { *n = 1; return 0; }
int nvmlDeviceGetHandleByIndex_v2(u i, void **d) { *d = (void *)0x1; return 0; }
int nvmlSystemGetDriverVersion(char *s, u n) { strcpy(s, "580.65"); return 0; }
int nvmlDeviceGetUUID(void *d, char *s, u n) { strcpy(s, "GPU-fake"); return 0; }
int nvmlDeviceGetName(void *d, char *s, u n) { strcpy(s, "Pretended"); return 0; }
int nvmlDeviceGetTemperature(void *d, int sensor, u *t) { *t = 61; return access(getenv("LOST"), 0) ? 0 : 15; }
int nvmlDeviceGetPowerUsage(void *d, u *p) { *p = 42000; return 0; }
const char *nvmlErrorString(int e) { return "an error"; }
"""


@pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")
@pytest.mark.skipif(
    os.name == "nt" or ctypes.util.find_library("nvidia-ml") is not None, reason="needs no driver"
)
async def test_a_server_finds_a_gpu_by_its_driver_and_notices_its_loss(
    tmp_path: Path, process: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nvml.c").write_text(LIBRARY)
    library = tmp_path / "libnvidia-ml.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-w", "-o", library, tmp_path / "nvml.c"], check=True)  # noqa: ASYNC221
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    monkeypatch.setenv("LOST", str(tmp_path / "lost"))
    server = process(metrics_interval=1, metrics_compat="dcgm")
    async with connected(server.start()) as api:

        async def text() -> str:
            return (await api.bytes("/metrics")).decode()

        found = await eventually(text, lambda said: 'gfedge_gpu_up{gpu="0"' in said)
        assert 'gfedge_gpu_temperature_celsius{gpu="0",mig=""} 61.0' in found
        assert 'gfedge_gpu_power_watts{gpu="0",mig=""} 42.0' in found
        assert 'name="Pretended"' in found
        assert "gfedge_gpu_fan_ratio" not in re.sub("#.*", "", found)
        assert re.search(r'DCGM_FI_DEV_GPU_TEMP\{.*modelName="Pretended".*\} 61.0', found)
        (tmp_path / "lost").touch()
        found = await eventually(text, lambda said: 'gfedge_gpu_up{gpu="0",mig=""} 0.0' in said)
        assert "gfedge_gpu_power_watts{" not in found
    assert server.stop() == 0
