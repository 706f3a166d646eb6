"""Jobs and the requests that start them, as rows and on the wire."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from gfedge.assets.types import AssetRow, Output
from gfedge.inference.types import Sampler
from gfedge.registry.types import ModelRef, ModelReference
from gfedge.tracking.types import ListQuery, Name
from gfedge.wire import Page

Kind = Literal["generate", "superres", "sheet"]
Priority = Literal["interactive", "batch"]
PRIORITIES: tuple[Priority, ...] = ("interactive", "batch")
"""The first goes before the second."""
Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]
ENDED = ("succeeded", "failed", "cancelled")

FRAME_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_. -]*$(?!\n)"
MAX_SEED = 2**63 - 1
Seed = Annotated[
    int, Meta(ge=-1, le=MAX_SEED, description="Absent or -1 draws one; the job says which.")
]
Colour = Annotated[
    str, Meta(pattern=r"^#[0-9a-fA-F]{6}$(?!\n)", description="A colour as #rrggbb.")
]
Palette = (
    Annotated[int, Meta(ge=2, le=256)] | Annotated[list[Colour], Meta(min_length=1, max_length=256)]
)
Background = Annotated[
    str,
    Meta(
        pattern=r"^(transparent|#[0-9a-fA-F]{6})$(?!\n)",
        description="transparent, or a colour as #rrggbb.",
    ),
]


Picture = Annotated[
    str,
    Meta(description="sha256 of an asset, or a picture's bytes in base64 (a data: URL is fine)."),
]
Strength = Annotated[
    float, Meta(gt=0, le=1, description="How much may change: 0.2 is little, 1 everything.")
]
Prompt = Annotated[str, Meta(min_length=1, description="What the picture shows: `a red dragon`.")]


class Outline(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A line around what is visible, drawn before upscaling."""

    colour: Colour = "#000000"
    width: Annotated[int, Meta(ge=1, le=8, description="In pixels of the sprite.")] = 1


class GenerateOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How to generate. Absent values come from the style, then from the model's own defaults."""

    negative_prompt: Annotated[str, Meta(description="What it should not show.")] = ""
    style: Annotated[
        str, Meta(max_length=64, description="One of the model's styles (`/ai/vocabulary`).")
    ] = ""
    seed: Seed | None = None
    n: Annotated[int, Meta(ge=1, description="Pictures; picture i has the seed plus i.")] = 1
    steps: Annotated[int, Meta(ge=1, description="Sampling steps.")] | None = None
    sampler: Annotated[
        Sampler | None,
        Meta(description="heun runs the model twice a step; dpmpp_2m does well with few."),
    ] = None
    guidance_scale: (
        Annotated[
            float,
            Meta(ge=0, le=30, description="How strongly the prompt pulls; 1 is none beyond it."),
        ]
        | None
    ) = None
    init_image: Annotated[Picture, Meta(description="A picture to start from.")] = ""
    strength: Strength | None = None
    mask: Annotated[
        Picture,
        Meta(
            description="White where `init_image` is drawn anew; black or nothing stays as it is."
        ),
    ] = ""
    tileable: Annotated[
        bool, Meta(description="A texture that repeats: its edges meet (see `seam_score`).")
    ] = False
    outline: Outline | None = None
    scale: Annotated[
        Literal[1, 2, 3, 4, 8], Meta(description="Upscaling after generating, in the same job.")
    ] = 1
    palette: Annotated[
        Palette | None, Meta(description="Number of colours, or the colours themselves.")
    ] = None
    palette_image: Annotated[
        Picture, Meta(description="A picture whose colours are taken: as many as `palette` says.")
    ] = ""
    background: Background = "transparent"
    model: ModelReference | None = None
    experiment: Name | None = None


class GenerateParams(GenerateOptions, kw_only=True, forbid_unknown_fields=True):
    """What to generate."""

    prompt: Prompt


class GenerateBatch(GenerateOptions, kw_only=True, forbid_unknown_fields=True):
    """Many prompts with the same options: a job for each."""

    prompts: Annotated[list[Prompt], Meta(min_length=1, max_length=1000)]


class VariationParams(GenerateOptions, kw_only=True, forbid_unknown_fields=True):
    """Variations of a picture. What is absent is as in the job that made the picture, if one here did."""

    init_image: Annotated[Picture, Meta(min_length=1, description="The picture to vary.")]
    prompt: Prompt | None = None
    n: Annotated[int, Meta(ge=1, description="Pictures; picture i has the seed plus i.")] = 4


class SheetParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which pictures to put on one sheet, and how. Pictures of one size stand in a grid, others on shelves."""

    pictures: Annotated[list[Picture], Meta(min_length=1, max_length=1024)]
    names: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=100, pattern=FRAME_NAME)]] | None,
        Meta(description="One for each picture, all different; absent: sprite-0, sprite-1, …"),
    ] = None
    name: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=100,
            pattern=FRAME_NAME,
            description="The file's, without .png.",
        ),
    ] = "sheet"
    columns: Annotated[int, Meta(ge=1, le=1024)] | None = None
    padding: Annotated[int, Meta(ge=0, le=64, description="Empty pixels between pictures.")] = 0
    power_of_two: Annotated[bool, Meta(description="Sides of 2, 4, 8, … pixels.")] = False
    experiment: Name | None = None


class SuperresParams(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How to upscale."""

    scale: Annotated[
        Literal[2, 3, 4, 8] | None, Meta(description="8 is two passes; absent, the model's own.")
    ] = None
    mode: Annotated[
        Literal["smooth", "pixel"],
        Meta(
            description="smooth runs the net; pixel repeats pixels, for art that must stay pixel art."
        ),
    ] = "smooth"
    tileable: Annotated[
        bool, Meta(description="The texture repeats: its edges must still meet.")
    ] = False
    model: ModelReference | None = None
    experiment: Name | None = None


class SuperresBody(SuperresParams, kw_only=True, forbid_unknown_fields=True):
    """Upscaling asked for in JSON: the picture as base64, or an asset that is here already."""

    image: Annotated[
        str, Meta(description="The picture's bytes in base64; a data: URL is fine too.")
    ] = ""
    asset: Annotated[str, Meta(description="sha256 of an asset.")] = ""


class JobError(msgspec.Struct, kw_only=True, frozen=True):
    """Why a job failed."""

    code: str
    detail: str


class Progress(msgspec.Struct, kw_only=True, frozen=True):
    """How far a job is: step or tile k of n, and the whole as a ratio."""

    step: int = 0
    steps: int = 0
    ratio: float = 0.0
    stage: str = ""


class Timings(msgspec.Struct, kw_only=True):
    """Where a job's time went, in seconds."""

    queue_seconds: float = 0.0
    load_seconds: float = 0.0
    decode_seconds: float = 0.0
    inference_seconds: float = 0.0
    encode_seconds: float = 0.0
    total_seconds: float = 0.0


class Job(msgspec.Struct, kw_only=True):
    """A job as clients see it."""

    id: str
    kind: Kind
    status: Status
    queue_position: Annotated[int | None, Meta(description="1 is next; absent once it runs.")]
    progress: Progress
    params: dict[str, Any]
    seed: int | None
    model: ModelRef | None
    upscaler: Annotated[ModelRef | None, Meta(description="What enlarged a generated picture.")]
    inputs: Annotated[list[str], Meta(description="sha256 of each input asset.")]
    experiment_id: str
    run_id: str
    created_at: float
    started_at: float | None
    finished_at: float | None
    timings: Timings
    outputs: list[Output]
    unknown_words: Annotated[
        list[str],
        Meta(
            description="Words of the prompt and the negative prompt that the model never saw in training; told when the job has run."
        ),
    ]
    undocumented_words: Annotated[
        list[str],
        Meta(
            description="Words of both that it was trained on but not found to draw; empty where it names no words that it draws."
        ),
    ] = []
    dropped_words: Annotated[
        list[str], Meta(description="Words of both beyond those that the model can read.")
    ]
    suggestions: Annotated[
        dict[str, list[str]],
        Meta(
            description="What to say instead. For unknown words, known words or phrases of about that meaning, or spelled alike where none is known; for undocumented ones, documented ones of about that meaning."
        ),
    ] = {}
    measures: Annotated[
        dict[str, float],
        Meta(
            description="What was measured besides the times: `seam_score`, the mean over the outputs, is about 1 without a seam; `peak_memory_bytes` is the most that the server's process has held since it began, not the job's own share."
        ),
    ] = {}
    error: JobError | None
    replay_of: Annotated[str | None, Meta(description="The job that this one ran again.")] = None
    shadow_of: Annotated[
        str | None, Meta(description="The job that a version in shadow ran for comparison.")
    ] = None
    surroundings: Annotated[
        dict[str, str],
        Meta(
            description="What it ran on: device, threads, libraries, processor; known at its end."
        ),
    ] = {}


class Original(msgspec.Struct, kw_only=True, frozen=True):
    """The job that another one runs again."""

    job_id: str
    pixels_sha256: list[str]
    """Of its outputs, in order."""


class Submission(msgspec.Struct, kw_only=True, frozen=True):
    """What was acknowledged: all that is needed to run the job, also after a restart."""

    id: str
    kind: Kind
    params: dict[str, Any]
    seed: int | None
    model: ModelRef | None
    upscaler: ModelRef | None
    inputs: list[AssetRow]
    experiment_id: str
    run_id: str
    requester: str
    idempotency_key: str | None
    request_digest: str
    created_at: float
    priority: Priority = "interactive"
    price: float = 0.0
    """What it costs, in megapixels x steps."""
    original: Original | None = None
    shadow_of: str | None = None
    """The client's job that a version in shadow runs again."""

    @property
    def models(self) -> list[ModelRef]:
        """The versions that it runs."""
        return [ref for ref in (self.model, self.upscaler) if ref is not None]


class EndedJob(Submission, kw_only=True, frozen=True):
    """A job as it ended."""

    status: Status
    started_at: float | None
    finished_at: float
    timings: Timings
    progress: Progress
    outputs: list[Output]
    unknown_words: list[str]
    dropped_words: list[str]
    measures: dict[str, float]
    """Metrics of the run besides the timings."""
    error: JobError | None
    undocumented_words: list[str] = []
    suggestions: dict[str, list[str]] = {}
    surroundings: dict[str, str] = {}
    """What the result may depend on besides the request: device, threads, libraries, processor."""


class SubmissionRow(msgspec.Struct, kw_only=True, frozen=True):
    """A submission as it is stored."""

    table: ClassVar[str] = "submissions"

    id: str
    record: Submission


class JobRow(msgspec.Struct, kw_only=True, frozen=True):
    """An ended job as it is stored."""

    table: ClassVar[str] = "jobs"

    id: str
    kind: Kind
    status: Status
    model_name: str | None
    run_id: str
    idempotency_key: str | None
    created_at: float
    record: EndedJob


class Batch(msgspec.Struct, kw_only=True):
    """The jobs of a batch, in the order of its prompts."""

    jobs: list[Job]


class JobPage(Page, kw_only=True):
    jobs: list[Job]


class JobQuery(ListQuery, kw_only=True, forbid_unknown_fields=True):
    """Which jobs to list."""

    cursor: Annotated[
        str,
        Meta(pattern=r"^([0-9a-f-]{36})?$(?!\n)", description="`next` of the page before."),
    ] = ""
    status: Status | None = None
    kind: Kind | None = None
    model: Annotated[str, Meta(max_length=200, description="Name of a model.")] = ""
    after: Annotated[float | None, Meta(description="Created at or after this Unix time.")] = None
    before: Annotated[float | None, Meta(description="Created before this Unix time.")] = None
