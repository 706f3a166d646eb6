"""Model versions, as rows and on the wire."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

ModelReference = Annotated[
    str,
    Meta(
        max_length=200,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(@[A-Za-z0-9][A-Za-z0-9._-]*)?$(?!\n)",
        description="A model by name (`sprite`) or one version of it (`sprite@1`).",
    ),
]


class ModelVersionRow(msgspec.Struct, kw_only=True, frozen=True):
    """A model version as it is stored."""

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
    training: dict[str, Any]
    dataset: dict[str, Any]
    registered_at: float


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
    digest: str
    title: str
    description: str
    licence: str
    source: str
    bytes: int
    files: dict[str, str]
    inputs: dict[str, str]
    defaults: dict[str, Any]
    limits: dict[str, Any]
    training: dict[str, Any]
    dataset: dict[str, Any]
    state: Annotated[
        str, Meta(description="registered, loading, ready, or failed with the reason.")
    ]


class Model(msgspec.Struct, kw_only=True, frozen=True):
    """A model: its versions, and the one that serves."""

    name: str
    kind: str
    serving: str
    versions: list[ModelVersion]


class Refused(msgspec.Struct, kw_only=True, frozen=True):
    """A model folder that was not taken, and why."""

    path: str
    reason: str


class Models(msgspec.Struct, kw_only=True, frozen=True):
    models: list[Model]
    refused: list[Refused]
