"""Where graphs run: finds out, without noise, whether a CUDA device can be used and what is missing if not.

ONNX Runtime falls back to the CPU in silence and on many lines at once, so the question is asked here, once, step by
step: the driver, the installed packages, the CUDA libraries, and last a session of one node.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import importlib.metadata
import io
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

from gfedge.inference import cuda
from gfedge.inference.types import Device, EngineOptions

DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
CPU_NOTE = "no CUDA device: running on CPU"
WITH_CUDA = "pip install 'onnxruntime-gpu[cuda,cudnn]'"
SILENT = 4
"""ONNX Runtime's log level for fatal errors alone; what matters arrives as an exception."""


@functools.cache
def onnxruntime() -> Any:
    """The onnxruntime module, imported when first needed (it takes a quarter of a second) and kept from logging."""
    module = importlib.import_module("onnxruntime")
    module.set_default_logger_severity(SILENT)
    return module


def first_look(options: EngineOptions) -> Device | None:
    """The device if it is known without ONNX Runtime; None if there may be a CUDA device."""
    if options.device == "cpu":
        return on_cpu("running on CPU, as set")
    problem = driver_problem()
    return on_cpu(_cpu_note(options), problem, *package_problems()) if problem else None


def closer_look(options: EngineOptions) -> Device:
    """The device, found by making a session on it; takes a second or two where there is one."""
    problems = package_problems()
    if not problems:
        found, said = cuda.load(options.cuda_folder), _preload()
        if _session_runs_on_cuda(options):
            return Device(
                provider="CUDAExecutionProvider", note=f"running on CUDA{_driver_version()}"
            )
        problems = cuda.missing(found, options.cuda_folder) or [_library_problem(said)]
    return on_cpu(_cpu_note(options), *problems)


def on_cpu(note: str, *missing: str) -> Device:
    return Device(provider="CPUExecutionProvider", note=note, missing=missing)


def _cpu_note(options: EngineOptions) -> str:
    if options.device == "cuda":
        return "CUDA is set but cannot be used: running on CPU (gfedge doctor says what is missing)"
    return CPU_NOTE


def driver_problem() -> str:
    """What keeps the NVIDIA driver from answering, or ""."""
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError:
        return f"no NVIDIA driver ({DRIVER}): install the driver, 580 or newer (a container gets the host's: --gpus all), or run on CPU"
    if code := driver.cuInit(0):
        return f"the NVIDIA driver does not start (cuInit gives {code}): check `nvidia-smi`"
    count = ctypes.c_int(0)
    if driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return "the NVIDIA driver sees no device: check `nvidia-smi` and CUDA_VISIBLE_DEVICES"
    return ""


def _driver_version() -> str:
    """ " 13.0", what the driver supports, or "" if it does not say."""
    version = ctypes.c_int(0)
    try:
        failed = ctypes.CDLL(DRIVER).cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        return ""
    return "" if failed else f" {version.value // 1000}.{version.value % 1000 // 10}"


@functools.cache
def surroundings() -> dict[str, str]:
    """What besides model, seed and parameters may change a result by a bit: libraries and the processor."""
    packages = {
        "numpy": ("numpy",),
        "onnxruntime": ("onnxruntime-gpu", "onnxruntime"),
        "pillow": ("Pillow",),
    }
    found = {name: _version(*names) for name, names in packages.items()}
    return {**found, "cpu": _cpu_name()}


def _version(*packages: str) -> str:
    for package in packages:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def package_problems() -> list[str]:
    """What is wrong with the installed ONNX Runtime packages, for a machine with a GPU."""
    plain, gpu = _installed("onnxruntime"), _installed("onnxruntime-gpu")
    if plain and gpu:
        return [
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other:"
            " pip uninstall -y onnxruntime onnxruntime-gpu, then " + WITH_CUDA
        ]
    if plain:
        return [
            f"the installed onnxruntime is for CPU only: pip uninstall -y onnxruntime, then {WITH_CUDA}"
        ]
    return []


def _installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _preload() -> str:
    """Load the CUDA libraries that pip installed; gives back what ONNX Runtime prints about it."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        onnxruntime().preload_dlls()
    return said.getvalue().strip()


def _library_problem(said: str) -> str:
    first = said.splitlines()[0] if said else "a session on CUDA could not be made"
    return f"the CUDA libraries do not load ({first:.200}): {WITH_CUDA}, driver{_driver_version()} must support them"


def _session_runs_on_cuda(options: EngineOptions) -> bool:
    """Whether ONNX Runtime really takes the CUDA provider; it drops it in silence if a library is missing."""
    ort = onnxruntime()
    quiet = ort.SessionOptions()
    quiet.log_severity_level = SILENT
    providers = [("CUDAExecutionProvider", cuda_options(options)), "CPUExecutionProvider"]
    try:
        session = ort.InferenceSession(identity_graph(), quiet, providers=providers)
        session.run(None, {"x": np.ones(1, np.float32)})
    except Exception:  # whatever it raises, CUDA is not usable
        return False
    return bool(session.get_providers()[0] == "CUDAExecutionProvider")


def cuda_options(options: EngineOptions) -> dict[str, str]:
    """Provider options for a server: memory grows by what is asked for, no long tuning for every new shape."""
    chosen = {
        "device_id": "0",
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": options.cudnn_search,
        "cudnn_conv_use_max_workspace": "1",
        "do_copy_in_default_stream": "1",
    }
    if options.gpu_memory_bytes:
        chosen["gpu_mem_limit"] = str(options.gpu_memory_bytes)
    return chosen


def identity_graph() -> bytes:
    """An ONNX file of one node, y = Identity(x) with x float32 [1], written by hand: no onnx package is needed."""

    def part(number: int, body: bytes) -> bytes:
        return bytes((number << 3 | 2, len(body))) + body

    one = part(1, b"\x08\x01")  # TensorShapeProto.dim { dim_value: 1 }
    tensor = part(2, part(1, b"\x08\x01" + part(2, one)))  # type { tensor_type { FLOAT, shape } }
    node = part(1, b"x") + part(2, b"y") + part(4, b"Identity")
    graph = part(1, node) + part(2, b"g")
    graph += part(11, part(1, b"x") + tensor) + part(12, part(1, b"y") + tensor)
    return b"\x08\x08" + part(8, b"\x10\x11") + part(7, graph)  # IR version 8, opset 17
