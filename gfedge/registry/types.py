"""Registered models, their versions and what was changed on them, as rows and on the wire."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gfedge.inference.examine import Signature

OTHER = "other"
"""The kind of a version that is kept, found, promoted and downloaded here, but not run."""
JUDGED = "judge_score"
"""What an evaluation writes into the metrics of a generate model."""
STAGES = ("dev", "staging", "prod", "archived")
Stage = Literal["dev", "staging", "prod", "archived"]
Action = Literal[
    "registered",
    "promoted",
    "rolled_back",
    "described",
    "evaluated",
    "deleted",
    "policy",
    "canary_started",
    "canary_stopped",
    "canary_rolled_back",
    "shadow_started",
    "shadow_stopped",
]

ModelReference = Annotated[
    str,
    Meta(
        max_length=200,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(@[A-Za-z0-9][A-Za-z0-9._-]*)?$(?!\n)",
        description="A model (`sprite`: the version in prod), one version of it (`sprite@3`), the one of a stage "
        "(`sprite@prod`), or that of an alias (`sprite@winter`).",
    ),
]
NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$(?!\n)"
ModelName = Annotated[
    str, Meta(pattern=NAME, description="Small letters, digits, `.`, `_` and `-`.")
]
Version = Annotated[str, Meta(pattern=NAME, description="Absent, the next number.")]
Alias = Annotated[str, Meta(pattern=NAME)]
TagKey = Annotated[str, Meta(min_length=1, max_length=250)]
TagValue = Annotated[str, Meta(max_length=5000)]
Text = Annotated[str, Meta(max_length=10_000)]
By = Annotated[
    str,
    Meta(max_length=200, description="Who does it; with tokens, the token's name stands instead."),
]


class ModelVersionRow(msgspec.Struct, kw_only=True, frozen=True):
    """A model version as it is stored. What it is never changes; how it is labelled does."""

    table: ClassVar[str] = "model_versions"

    id: str
    name: str
    version: str
    kind: str
    digest: str
    title: str
    licence: str
    source: str
    bytes: int
    bundled: bool
    """It lies in the folder of the setting `models`, not in the data folder."""
    signature: Signature
    metrics: dict[str, float]
    training: dict[str, Any]
    dataset: dict[str, Any]
    source_run: str
    training_job: str
    dataset_id: str
    author: str
    note: str
    registered_at: float
    stage: Stage
    description: str
    aliases: list[str]
    tags: dict[str, str]
    deleted_at: float | None = None
    uri: str = ""
    """Where MLflow's clients look for its files; empty: in its folder here."""
    model_id: str = ""
    run_link: str = ""
    updated_at: float | None = None
    evaluation: dict[str, Any] | None = None
    """By which judge, and in which run, it was given its score after it was registered; None: as its folder tells."""

    @property
    def is_run_here(self) -> bool:
        return self.kind != OTHER


class ModelRef(msgspec.Struct, kw_only=True, frozen=True):
    """The model version that a job runs."""

    name: str
    version: str
    digest: str

    @property
    def id(self) -> str:
        return f"{self.name}@{self.version}"


class ModelVersion(msgspec.Struct, kw_only=True, frozen=True):
    """A version of a model as clients see it."""

    id: str
    name: str
    version: str
    kind: str
    stage: Stage
    aliases: list[str]
    tags: dict[str, str]
    digest: str
    title: str
    description: str
    licence: str
    source: str
    bytes: int
    files: Annotated[dict[str, str], Meta(description="sha256 of each file.")]
    signature: Signature
    inputs: dict[str, str]
    defaults: dict[str, Any]
    limits: dict[str, Any]
    metrics: dict[str, float]
    evaluation: Annotated[
        dict[str, Any],
        Meta(
            description="How it was measured: `judge`, the digest of the judge that its score is of."
        ),
    ]
    training: dict[str, Any]
    dataset: dict[str, Any]
    source_run: str
    training_job: str
    dataset_id: str
    model_id: Annotated[str, Meta(description="The logged model that it was made of, or empty.")]
    author: str
    note: str
    registered_at: float
    state: Annotated[
        str,
        Meta(description="registered, loading, ready, failed with the reason, or files missing."),
    ]


class Model(msgspec.Struct, kw_only=True, frozen=True):
    """A model: its versions, newest first, and the one that serves; empty where none does."""

    name: str
    kind: str
    serving: str
    aliases: Annotated[dict[str, str], Meta(description="Version of each alias.")]
    versions: list[ModelVersion]


class Refused(msgspec.Struct, kw_only=True, frozen=True):
    """A model folder that was not taken, and why."""

    path: str
    reason: str


class Models(msgspec.Struct, kw_only=True, frozen=True):
    models: list[Model]
    refused: list[Refused]


class ModelQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which models to list; with `stage`, only versions of that stage."""

    stage: Stage | None = None
    kind: Literal["generate", "superres", "other"] | None = None


class VersionPatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What changes; fields that are left out stay. A tag with null goes; an alias moves from the version that had it."""

    description: Text | UnsetType = UNSET
    tags: Annotated[dict[TagKey, TagValue | None], Meta(max_length=100)] | UnsetType = UNSET
    aliases: Annotated[list[Alias], Meta(max_length=20)] | UnsetType = UNSET
    by: By = ""


class ModelCard(msgspec.Struct, kw_only=True, frozen=True):
    """What its makers wrote about a version, in its folder's CARD.md."""

    text: Annotated[str, Meta(description="Markdown; empty where they wrote none.")]


class GoldenInputs(msgspec.Struct, kw_only=True, frozen=True):
    """What the gates compare this version with others on: prompts, or PNG pictures to enlarge."""

    prompts: list[str] = []
    pictures: Annotated[list[bytes], Meta(description="PNG files, base64.")] = []


class RegisterBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A version from what is on this server already: a run's artifact, or a folder under the models folder."""

    run_id: Annotated[str, Meta(max_length=100, description="With `artifact`.")] = ""
    artifact: Annotated[
        str,
        Meta(
            max_length=1000, description="A folder of the run, an archive, or a single .onnx file."
        ),
    ] = ""
    folder: Annotated[
        str, Meta(max_length=200, description="`name/version` below the models folder.")
    ] = ""
    name: ModelName | None = None
    version: Version | None = None
    dataset: Annotated[str, Meta(max_length=200, description="Id of a dataset.")] = ""
    training_job: Annotated[str, Meta(max_length=100)] = ""
    note: Text = ""
    by: By = ""


class RegisterQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is told of an upload besides its bytes; fields of the same names in a form do the same."""

    name: ModelName | None = None
    version: Version | None = None
    source_run: Annotated[str, Meta(max_length=100, description="Id of the run it came from.")] = ""
    training_job: Annotated[str, Meta(max_length=100)] = ""
    dataset: Annotated[str, Meta(max_length=200, description="Id of a dataset.")] = ""
    note: Text = ""
    by: By = ""


class Canary(msgspec.Struct, kw_only=True, frozen=True):
    """A version that takes a share of a model's traffic."""

    version: str
    percent: float
    by: str
    started_at: float


class Shadow(msgspec.Struct, kw_only=True, frozen=True):
    """A version that runs what the version in prod ran, for comparison alone."""

    version: str
    by: str
    started_at: float


class GateResult(msgspec.Struct, kw_only=True, frozen=True):
    """One condition of a promotion."""

    gate: str
    passed: bool
    figure: Annotated[float | None, Meta(description="What was measured.")] = None
    bound: Annotated[float | None, Meta(description="What it is held against.")] = None
    note: str = ""


SYSTEM = "gfedge"
"""Who did what nobody asked for."""


class ChangeRow(msgspec.Struct, kw_only=True, frozen=True):
    """One entry of a model's history; never changed and never removed."""

    table: ClassVar[str] = "model_changes"

    id: str
    name: str
    version: str
    action: Action
    from_stage: str = ""
    to_stage: str = ""
    replaced: Annotated[str, Meta(description="The version that was in prod before.")] = ""
    by: str = ""
    reason: str = ""
    forced: bool = False
    gates: list[GateResult] = []
    details: dict[str, Any] = {}
    changed_at: float


class History(msgspec.Struct, kw_only=True, frozen=True):
    """What was changed on a model, newest first."""

    name: str
    changes: list[ChangeRow]


class Promotion(msgspec.Struct, kw_only=True, frozen=True):
    """A version that came to another stage, or would."""

    id: Annotated[str, Meta(description="Of the entry in the history; empty of a dry run.")]
    name: str
    version: str
    from_stage: Stage
    to_stage: Stage
    replaced: Annotated[str, Meta(description="The version that was in prod before.")]
    by: str
    reason: str
    forced: bool
    dry_run: bool
    passed: bool
    gates: list[GateResult]
    load_seconds: Annotated[float, Meta(description="To have it in memory beside the others.")]
