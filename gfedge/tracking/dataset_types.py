"""Datasets and their links to runs, on the wire and as rows."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from gfedge.tracking.types import ListQuery
from gfedge.wire import Page


class DatasetCreate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A dataset, known by its name and digest together."""

    name: Annotated[str, Meta(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$(?!\n)")]
    digest: Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[\w:+/=.\-]+$(?!\n)")]
    source_type: Annotated[str, Meta(max_length=100, description="http, local, s3, …")] = ""
    source: Annotated[str, Meta(max_length=65_536, description="Where it came from.")] = ""
    schema: Annotated[Any, Meta(description="Its columns, as any JSON.")] = None
    profile: Annotated[Any, Meta(description="Its counts and statistics, as any JSON.")] = None


class DatasetRow(msgspec.Struct, kw_only=True, frozen=True):
    """A dataset as it is stored."""

    table: ClassVar[str] = "datasets"

    id: str
    name: str
    digest: str
    source_type: str
    source: str
    schema: Any
    profile: Any
    created_at: float


class Dataset(DatasetRow, kw_only=True, frozen=True):
    """A dataset, and how many runs read it."""

    run_count: int = 0


class Datasets(Page, kw_only=True):
    datasets: list[Dataset]


class DatasetQuery(ListQuery, kw_only=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(max_length=500, description="Part of the name.")] = ""
    digest: Annotated[str, Meta(max_length=128, description="The whole digest.")] = ""


class InputCreate(DatasetCreate, kw_only=True, forbid_unknown_fields=True):
    """A dataset that a run reads, as what."""

    context: Annotated[str, Meta(max_length=255, description="training, evaluation, …")] = ""
    tags: Annotated[
        dict[str, str], Meta(max_length=100, description="What else is told of it as an input.")
    ] = {}


class InputsCreate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    datasets: Annotated[list[InputCreate], Meta(min_length=1, max_length=100)]


class InputRow(msgspec.Struct, kw_only=True, frozen=True):
    """That a run read a dataset."""

    table: ClassVar[str] = "run_inputs"

    run_id: str
    dataset_id: str
    context: str
    linked_at: float
    tags: dict[str, str] = {}
