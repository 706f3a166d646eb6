"""Models in memory: one ONNX Runtime session per model, shared by all jobs, unloaded when others need the room.

Sessions are made from the very bytes whose digest was checked. Settings are those of a server: no thread spins, a
graph runs on the thread that calls it, and the memory arena can be shrunk when nothing runs.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import re
import threading
import time
from collections.abc import Callable, Collection
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from gfedge.inference.deadline import Deadline
from gfedge.inference.device import SILENT, cuda_options, onnxruntime
from gfedge.inference.faults import Fault
from gfedge.inference.folder import external_files, graph_bytes, vocabulary_of
from gfedge.inference.rewrite import for_cpu
from gfedge.inference.types import (
    Device,
    EngineError,
    EngineOptions,
    LoadedModel,
    ModelFolder,
    ModelRefused,
)
from gfedge.inference.words import Vocabulary

log = logging.getLogger(__name__)

Tensors = dict[str, NDArray[Any]]
Key = tuple[str, str, str]

ROLES = {"superres": ("image",), "generate": ("x", "t", "words", "subwords")}
"""The inputs that each kind of pipeline feeds; model.toml's [inputs] says what the graph calls them."""
ORT_PREFIX = re.compile(
    r"^\[ONNXRuntimeError\] : (?:\d+ : [A-Z_]+ : )?(?:/onnxruntime_src/.*?\) (?=[A-Z]))?"
)
"""What its messages begin with: a code, and for some the place in its source."""
OUT_OF_MEMORY = (
    "out of memory",
    "bfc_arena",
    "failed to allocate memory",
    "bad_alloc",
    "bad allocation",
    "alloc_failed",
)


DEVICE_LOST = (
    "device lost",
    "cudaerrordeviceunavailable",
    "cudaerrordevicesunavailable",
    "cuda failure 46:",
    "cuda failure 700:",
    "cuda failure 719:",
    "cuda failure 999:",
    "unspecified launch failure",
    "an illegal memory access was encountered",
    "gpu has fallen off the bus",
)


ON_CPU = ["CPUExecutionProvider"]


def key_of(folder: ModelFolder) -> Key:
    return folder.name, folder.version, folder.digest


def is_device_lost(error: BaseException) -> bool:
    """Whether a GPU no longer answers: every later call on it fails too (CUDA's sticky errors)."""
    text = str(error).lower()
    return any(sign in text for sign in DEVICE_LOST)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a run failed for want of memory; ONNX Runtime has no error type of its own for it."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in text for sign in OUT_OF_MEMORY)


def reason(error: BaseException) -> str:
    """One readable line of what ONNX Runtime raised."""
    if is_out_of_memory(error):
        return "out of memory"
    text = str(error).split("\n", 1)[0]
    return ORT_PREFIX.sub("", text)[:300] or type(error).__name__


class Model(msgspec.Struct, eq=False):
    """A model in memory."""

    folder: ModelFolder
    session: Any
    vocabulary: Vocabulary | None
    memory_bytes: int
    buffers: list[bytes]
    """External tensors; ONNX Runtime reads them in place, so they live as long as the session."""
    deadline: Deadline = msgspec.field(
        default_factory=lambda: Deadline(EngineOptions().run_seconds)
    )
    lost: Callable[[str], None] = lambda reason: None
    """Called when the device no longer answers."""
    fault: Fault = msgspec.field(default_factory=Fault)
    load_seconds: float = 0.0
    users: int = 0
    used: float = 0.0

    def run(self, feed: Tensors, seeds: Collection[int] = ()) -> NDArray[np.float32]:
        """The graph's first output for inputs by role. Whatever ONNX Runtime raises goes up."""
        try:
            self.fault.strike(seeds)
            output: NDArray[np.float32] = self.deadline.run(self.session, self._named(feed))
        except Exception as error:
            if is_device_lost(error):
                self.lost(reason(error))
            raise
        if not np.isfinite(output).all():
            raise EngineError("the graph gave numbers that are not finite")
        return output

    def _named(self, feed: Tensors) -> Tensors:
        return {self.folder.inputs.get(role, role): value for role, value in feed.items()}

    def warm_up(self, side: int) -> None:
        """A first run on zeros: it fills caches and shows that the graph is what its folder says."""
        feed, shape = self.sample_feed(side)
        found = self.run(feed)
        if found.shape != shape or found.dtype != np.float32:
            raise ModelRefused(
                f"the graph gives {found.dtype}{list(found.shape)} where float32{list(shape)} is expected"
            )

    def sample_feed(self, side: int) -> tuple[Tensors, tuple[int, ...]]:
        """Zeros for every input, and the shape that must come out."""
        if self.vocabulary is None:
            scale = self.folder.pipeline["scale"]
            image = np.zeros((1, 3, side, side), np.float32)
            return {"image": image}, (1, 3, side * scale, side * scale)
        size, words = self.folder.pipeline["size"], self.vocabulary
        x = np.zeros((2, 4, size, size), np.float32)
        feed: Tensors = {
            "x": x,
            "t": np.ones(2, np.float32),
            "words": np.zeros((2, words.length), np.int64),
            "subwords": np.zeros((2, words.length, words.grams), np.int64),
        }
        return feed, x.shape

    def shrink(self) -> None:
        """Give the arena's free memory back; the runtime does that only at the end of a run, so a small one is made."""
        ort = onnxruntime()
        options = ort.RunOptions()
        on_cuda = self.session.get_providers()[0] == "CUDAExecutionProvider"
        options.add_run_config_entry(
            "memory.enable_memory_arena_shrinkage", "cpu:0;gpu:0" if on_cuda else "cpu:0"
        )
        feed, _ = self.sample_feed(8)
        self.session.run(None, self._named(feed), options)


def give_back() -> None:
    """Has the C library return what it keeps of freed memory, where that is glibc (measured: 18 of 236 MiB after load)."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


class Sessions:
    """The models in memory, within a budget. Thread-safe; `acquire` is called by one thread per model at a time."""

    def __init__(self, options: EngineOptions, device: Device) -> None:
        self.options = options
        self.device = device
        self.models: dict[Key, Model] = {}
        self.kept: dict[Key, float] = {}
        """Until when a model is given up only where nothing else can be."""
        self.lock = threading.Lock()
        self.deadline = Deadline(options.run_seconds)
        self.fault = Fault(options.fault)
        self.lost: Callable[[str], None] = lambda reason: None

    def keep(self, folder: ModelFolder, seconds: float) -> None:
        """Give a model up last, for so long: it may be wanted again at once."""
        with self.lock:
            self.kept[key_of(folder)] = time.monotonic() + seconds

    def acquire(self, folder: ModelFolder) -> Model:
        """The model, loaded and warmed up if it is not there; it stays until as many `release`s.

        Raises EngineError with a readable reason.
        """
        with self.lock:
            model = self.models.get(key_of(folder))
            if model is not None:
                model.users += 1
                return model
            self._make_room(memory_estimate(folder))
        model = self._load(folder)
        with self.lock:
            model.users = 1
            self.models[key_of(folder)] = model
        return model

    def release(self, model: Model) -> None:
        with self.lock:
            model.users -= 1
            model.used = time.monotonic()
            self._make_room(0)

    def loaded(self) -> list[LoadedModel]:
        with self.lock:
            return [
                LoadedModel(
                    name=model.folder.name,
                    version=model.folder.version,
                    digest=model.folder.digest,
                    load_seconds=model.load_seconds,
                    memory_bytes=model.memory_bytes,
                    busy=model.users > 0,
                )
                for model in self.models.values()
            ]

    def shrink(self) -> None:
        """Shrink the arenas of all models that nobody uses."""
        with self.lock:
            idle = [model for model in self.models.values() if not model.users]
        for model in idle:
            try:
                model.shrink()
            except Exception:
                log.exception("the memory of %s was not shrunk", model.folder.name)
        give_back()

    def clear(self) -> None:
        with self.lock:
            self.models.clear()

    def _make_room(self, wanted: int) -> None:
        """Unload the least recently used until `wanted` bytes fit in the budget or only busy models are left."""
        total = wanted + sum(model.memory_bytes for model in self.models.values())
        now = time.monotonic()
        self.kept = {key: until for key, until in self.kept.items() if until > now}
        idle = sorted(
            (m for m in self.models.values() if not m.users),
            key=lambda m: (key_of(m.folder) in self.kept, m.used),
        )
        for model in idle:
            if total <= self.options.memory_bytes:
                return
            total -= model.memory_bytes
            del self.models[key_of(model.folder)]

    def _load(self, folder: ModelFolder) -> Model:
        started = time.perf_counter()
        try:
            model = open_model(folder, self.options, self.device)
            model.deadline, model.lost, model.fault = self.deadline, self.lost, self.fault
            model.warm_up(self._warm_side(folder))
        except (
            Exception
        ) as error:  # whatever the runtime raises fails the jobs that wait for this model
            where = f"{folder.name}/{folder.version}"
            raise EngineError(f"{where} cannot be loaded: {reason(error)}") from error
        model.load_seconds = time.perf_counter() - started
        return model

    def _warm_side(self, folder: ModelFolder) -> int:
        """A GPU chooses its kernels per shape, so it is warmed up on a whole tile."""
        if self.device.provider == "CUDAExecutionProvider":
            return int(self.options.tile + 2 * folder.pipeline.get("radius", 0))
        return 16


def memory_estimate(folder: ModelFolder) -> int:
    """Bytes a model counts for: twice its files, since half-precision weights widen when loaded."""
    return 2 * folder.bytes


def open_model(folder: ModelFolder, options: EngineOptions, device: Device) -> Model:
    """A session from the folder's verified bytes. Raises ModelRefused, and whatever ONNX Runtime raises."""
    settings = session_options()
    buffers = [graph_bytes(folder, name) for name in external_files(folder)]
    if buffers:
        sizes = [len(data) for data in buffers]
        settings.add_external_initializers_from_files_in_memory(
            external_files(folder), buffers, sizes
        )
    graph, chosen = graph_bytes(folder, "model.onnx"), providers(options, device)
    if chosen == ON_CPU:
        graph = for_cpu(graph)
    session = onnxruntime().InferenceSession(graph, settings, providers=chosen)
    _check_inputs(folder, session)
    return Model(folder, session, _vocabulary(folder), memory_estimate(folder), buffers)


def session_options() -> Any:
    options = onnxruntime().SessionOptions()
    options.log_severity_level = SILENT
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # Sizes vary from job to job: a memory pattern per size would only hold on to memory (measured: a fifth more).
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return options


def providers(options: EngineOptions, device: Device) -> list[Any]:
    if device.provider == "CUDAExecutionProvider":
        return [("CUDAExecutionProvider", cuda_options(options)), "CPUExecutionProvider"]
    return ON_CPU


def _check_inputs(folder: ModelFolder, session: Any) -> None:
    wanted = {folder.inputs.get(role, role) for role in ROLES[folder.kind]}
    found = {one.name for one in session.get_inputs()}
    if wanted != found:
        raise ModelRefused(
            f"the graph's inputs are {', '.join(sorted(found))}; a {folder.kind} pipeline feeds"
            f" {', '.join(sorted(wanted))}"
        )


def _vocabulary(folder: ModelFolder) -> Vocabulary | None:
    return vocabulary_of(folder) if folder.kind == "generate" else None
