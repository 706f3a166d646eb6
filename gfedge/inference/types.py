"""What goes into the engine and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import msgspec

if TYPE_CHECKING:  # numpy is imported where it works, see the package
    import numpy as np
    from numpy.typing import NDArray

Kind = Literal["generate", "superres"]
Sampler = Literal["euler", "heun", "dpmpp_2m"]
Pixels: TypeAlias = "NDArray[np.uint8]"
"""A picture: uint8 [height, width, 4], straight-alpha RGBA."""

Progress = Callable[[int, int], None]
"""Called from an engine thread with (units done, units in all): steps of a sampler or tiles of a picture."""
OnPreview = Callable[[int, Callable[[], "Pixels"]], None]
"""Called from an engine thread with the index of an image and a function that makes what it would be if it were
finished now: whoever wants the picture calls that, in a thread of its own."""


class Cancelled(Exception):
    """The job was cancelled; it stopped within one step or tile."""


class ModelRefused(Exception):
    """A model folder that will not be loaded; the text says why and what to do."""


class EngineError(Exception):
    """A run that failed inside the engine (out of memory, a broken graph); fails its own job alone."""


class PoisonousJob(EngineError):
    """A job that ended the inference process twice."""


class ImageError(Exception):
    """A picture that cannot be read; the text says what is wrong with it."""


class ImageTooLarge(ImageError):
    """A picture with more pixels than the limit; refused before it is decoded."""


class Cancel:
    """A flag that its owner raises and the engine looks at between steps and tiles."""

    __slots__ = ("raised",)

    def __init__(self) -> None:
        self.raised = False

    def cancel(self) -> None:
        self.raised = True

    def check(self) -> None:
        if self.raised:
            raise Cancelled


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the engine uses the machine."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int = 0
    """Threads that run graphs on the CPU, one core each; 0 means one per core. A GPU has one."""
    tile: int = 256
    """Side of a superres tile in input pixels, without its surroundings."""
    max_batch: int = 64
    """Images in one denoising batch, guidance pairs not counted."""
    memory_bytes: int = 2 << 30
    """Budget for loaded models; the least recently used is unloaded beyond it."""
    cpu_fallback: bool = False
    """Go on with the CPU when the GPU is lost."""
    run_seconds: float = 120.0
    """The longest that one run of a graph (a step, a tile) may take."""
    gpu_memory_bytes: int = 0
    """CUDA arena limit; 0 leaves it to the provider."""
    cuda_folder: str = ""
    """Where the CUDA libraries are sought first."""
    cudnn_search: Literal["HEURISTIC", "EXHAUSTIVE", "DEFAULT"] = "HEURISTIC"
    fault: str = ""
    """For tests: what goes wrong (faults.py)."""


class ModelFolder(msgspec.Struct, frozen=True, kw_only=True):
    """A model folder as read and verified: `models/<name>/<version>/model.toml` and the files it names."""

    name: str
    version: str
    kind: Kind
    path: Path
    digest: str
    """sha256 (hex) over the sorted lines "<file sha256>  <file name>\\n" of the files the pipeline loads."""
    files: dict[str, str]
    """File name to sha256 (hex)."""
    title: str = ""
    description: str = ""
    licence: str = ""
    source: str = ""
    created_at: str = ""
    inputs: dict[str, str] = msgspec.field(default_factory=dict)
    defaults: dict[str, Any] = msgspec.field(default_factory=dict)
    limits: dict[str, Any] = msgspec.field(default_factory=dict)
    pipeline: dict[str, Any] = msgspec.field(default_factory=dict)
    training: dict[str, Any] = msgspec.field(default_factory=dict)
    dataset: dict[str, Any] = msgspec.field(default_factory=dict)
    metrics: dict[str, float] = msgspec.field(default_factory=dict)
    """What its makers measured, by name."""
    evaluation: dict[str, Any] = msgspec.field(default_factory=dict)
    """How they measured it: `judge`, the digest of the judge that a score is of."""
    styles: dict[str, Any] = msgspec.field(default_factory=dict)
    """Of a generate model: what each style adds to a request, by its name."""
    vocabulary: dict[str, Any] = msgspec.field(default_factory=dict)
    """Of a generate model: `documented`, the words that its evaluation found it draws."""
    golden: dict[str, Any] = msgspec.field(default_factory=dict)
    """What a new version is compared on besides the inputs that come with gfedge."""
    bytes: int = 0
    """Size of the named files together."""


class LoadedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that is in memory now."""

    name: str
    version: str
    digest: str
    load_seconds: float
    memory_bytes: int
    """What it counts for in the engine's budget; an estimate from the sizes of its files."""
    busy: bool
    """A job is using it, so it is not unloaded."""


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """Where graphs run, and one calm line about it."""

    provider: Literal["CUDAExecutionProvider", "CPUExecutionProvider"]
    note: str
    """For the start's one line: "no CUDA device: running on CPU"."""
    lost: str = ""
    """Why the GPU no longer answers; jobs fail until the server is started again, or run on the CPU if that is set."""
    missing: tuple[str, ...] = ()
    """What keeps CUDA from being used, for `gfedge doctor`: each entry says how to mend it."""


class GenerateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Images to sample. Image i has its own noise stream, from `seed + i`, whatever batch it runs in."""

    prompt: str
    negative_prompt: str = ""
    seed: int = 0
    n: int = 1
    steps: int = 20
    guidance_scale: float = 2.5
    sampler: Sampler = "euler"
    tileable: bool = False
    """A texture whose edges meet."""
    init_image: bytes = b""
    """What to start from: uint8 [size, size, 4] straight-alpha RGBA, of the model's size; none is noise alone."""
    strength: float = 1.0
    """How much of it becomes noise first, above 0; with 1 nothing of it is left but where the mask keeps it."""
    mask: bytes = b""
    """uint8 [size, size]: what is drawn anew; where it is 0, the pixels of `init_image` stay."""


class UpscaleRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One upscaling. `smooth` runs the net; `pixel` repeats pixels and needs none."""

    scale: Literal[2, 3, 4, 8] = 4
    mode: Literal["smooth", "pixel"] = "smooth"
    tileable: bool = False


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a run gave, and where its time went."""

    images: list[Pixels]
    load_seconds: float = 0.0
    inference_seconds: float = 0.0
    """Wall time from the first to the last graph call of this run."""
    batch_size: float = 1.0
    """Mean number of images (or tiles) in the graph calls that this run shared."""
    tiles: int = 0
    unknown_words: tuple[str, ...] = ()
    """Words of the prompts that the model has never seen; they act through their sub-words alone."""
    undocumented_words: tuple[str, ...] = ()
    """Words of the prompts that it has seen but was not found to draw."""
    suggestions: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """What to say instead of those: known words for the unknown, documented ones for the undocumented."""
    dropped_words: tuple[str, ...] = ()
    """Words of the prompts that had no effect: those beyond the model's length, or all if none of them says anything."""
    ran_on: dict[str, str] = msgspec.field(default_factory=dict)
    """What the result may depend on besides its request, where that is not the same for all workers."""


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker uses."""

    cpu_seconds: float = 0.0
    """Since its process began."""
    memory_bytes: int = 0
    gpu: dict[str, float] = {}
    """`utilization_ratio`, `memory_used_bytes`, `memory_bytes`, `temperature_celsius`, `power_watts`, where they are known."""


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """A process that runs graphs for the server, and what it has done since the server started."""

    name: str
    up: bool
    provider: str
    note: str
    calls: int
    """What it does now."""
    calls_total: int
    inference_seconds: float
    cpu_seconds: float
    """Of all its processes so far."""
    restarts: int
    loaded: list[LoadedModel]
    vitals: Vitals


class Engine(Protocol):
    """What runs requests: `engine.Engine` in this process, `supervised.SupervisedEngine` in others, here or in a cluster.

    The methods may be called from any thread and do not wait. Futures end with a Result (a load with its seconds), or
    with Cancelled or EngineError; callbacks come from other threads.
    """

    @property
    def device(self) -> Device:
        """Where graphs run."""

    @property
    def surroundings(self) -> dict[str, str]:
        """What a result may depend on besides its request."""

    @property
    def failure(self) -> str:
        """Why nothing can run for now, though jobs may wait; empty where all is well."""

    def workers(self) -> list[WorkerState]:
        """The processes that run graphs, besides this one."""

    def start(self) -> None: ...

    def close(self) -> None:
        """Cancels everything and waits for the end."""

    def load(self, model: ModelFolder) -> Future[float]:
        """Loads a model and warms it up."""

    def keep(self, model: ModelFolder, seconds: float) -> None:
        """Unloads this one last, for so long."""

    def loaded(self) -> list[LoadedModel]:
        """The models in memory."""

    def generate(
        self,
        model: ModelFolder,
        request: GenerateRequest,
        progress: Progress,
        cancel: Cancel,
        on_preview: OnPreview | None = None,
    ) -> Future[Result]:
        """Samples `request.n` sprites."""

    def upscale(
        self,
        model: ModelFolder | None,
        image: Pixels,
        request: UpscaleRequest,
        progress: Progress,
        cancel: Cancel,
    ) -> Future[Result]:
        """Enlarges a picture."""
