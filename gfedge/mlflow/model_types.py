"""Logged and registered models as MLflow writes them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from gfedge.mlflow.types import FileInfo, KeyValue, Long, Metric, Needed

# Logged models


class LoggedModelInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    model_id: str
    experiment_id: str
    name: str
    creation_timestamp_ms: int
    last_updated_timestamp_ms: int
    artifact_uri: str
    status: str
    model_type: str = ""
    source_run_id: str = ""
    status_message: str = ""
    tags: list[KeyValue] = []


class LoggedModelData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    params: list[KeyValue] = []
    metrics: list[Metric] = []


class LoggedModel(msgspec.Struct, frozen=True, kw_only=True):
    info: LoggedModelInfo
    data: LoggedModelData


class LoggedModelCreate(msgspec.Struct, kw_only=True):
    experiment_id: Needed
    name: str | None = None
    model_type: str | None = None
    source_run_id: str | None = None
    params: list[KeyValue] = []
    tags: list[KeyValue] = []


class LoggedModelId(msgspec.Struct, kw_only=True):
    model_id: Needed
    allow_deleted: bool = False


class LoggedModelFinalize(msgspec.Struct, kw_only=True):
    model_id: Needed
    status: str | int


class LoggedModelTags(msgspec.Struct, kw_only=True):
    model_id: Needed
    tags: list[KeyValue] = []


class LoggedModelTagKey(msgspec.Struct, kw_only=True):
    model_id: Needed
    key: Needed


class LoggedModelParams(msgspec.Struct, kw_only=True):
    model_id: Needed
    params: list[KeyValue] = []


class DatasetFilter(msgspec.Struct, kw_only=True):
    dataset_name: str = ""
    dataset_digest: str = ""


class LoggedModelOrder(DatasetFilter, kw_only=True):
    field_name: Needed
    ascending: bool = True


class LoggedModelSearch(msgspec.Struct, kw_only=True):
    experiment_ids: Annotated[list[str], Meta(min_length=1)]
    filter: str | None = None
    datasets: list[DatasetFilter] = []
    max_results: Long | None = None
    order_by: list[LoggedModelOrder] = []
    page_token: str | None = None


class LoggedModelFilesAsked(msgspec.Struct, kw_only=True):
    model_id: Needed
    artifact_directory_path: str = ""


class LoggedModelFiles(msgspec.Struct, kw_only=True, omit_defaults=True):
    root_uri: str
    files: list[FileInfo] = []


class LoggedModelFound(msgspec.Struct, kw_only=True):
    model: LoggedModel


class LoggedModelsFound(msgspec.Struct, kw_only=True, omit_defaults=True):
    models: list[LoggedModel] = []
    next_page_token: str = ""


# The registry


class Alias(msgspec.Struct, frozen=True):
    alias: str
    version: str


class Version(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    version: str
    creation_timestamp: int
    last_updated_timestamp: int
    user_id: str = ""
    current_stage: str
    description: str | None = None
    source: str
    run_id: str | None = None
    run_link: str | None = None
    model_id: str | None = None
    status: str
    status_message: str = ""
    tags: list[KeyValue] = []
    aliases: list[str] = []


class RegisteredModel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    creation_timestamp: int
    last_updated_timestamp: int
    description: str | None = None
    latest_versions: list[Version] = []
    tags: list[KeyValue] = []
    aliases: list[Alias] = []


class ModelCreate(msgspec.Struct, kw_only=True):
    name: Needed
    tags: list[KeyValue] = []
    description: str | None = None


class ModelNamed(msgspec.Struct, kw_only=True):
    name: Needed


class ModelUpdate(msgspec.Struct, kw_only=True):
    name: Needed
    description: str | None = None


class ModelRename(msgspec.Struct, kw_only=True):
    name: Needed
    new_name: Needed


class ModelTag(msgspec.Struct, kw_only=True):
    name: Needed
    key: Needed
    value: str = ""


class ModelTagKey(msgspec.Struct, kw_only=True):
    name: Needed
    key: Needed


class AliasSet(msgspec.Struct, kw_only=True):
    name: Needed
    alias: Needed
    version: Needed


class AliasNamed(msgspec.Struct, kw_only=True):
    name: Needed
    alias: Needed


class Search(msgspec.Struct, kw_only=True):
    filter: str | None = None
    max_results: Long | None = None
    order_by: list[str] = []
    page_token: str | None = None


class VersionCreate(msgspec.Struct, kw_only=True):
    name: Needed
    source: Needed
    run_id: str | None = None
    tags: list[KeyValue] = []
    run_link: str | None = None
    description: str | None = None
    model_id: str | None = None


class VersionNamed(msgspec.Struct, kw_only=True):
    name: Needed
    version: Needed


class VersionUpdate(VersionNamed, kw_only=True):
    description: str | None = None


class VersionTag(VersionNamed, kw_only=True):
    key: Needed
    value: str = ""


class VersionTagKey(VersionNamed, kw_only=True):
    key: Needed


class StageAsked(VersionNamed, kw_only=True):
    stage: Needed
    archive_existing_versions: bool = False


class LatestAsked(msgspec.Struct, kw_only=True):
    name: Needed
    stages: list[str] = []


class ModelFound(msgspec.Struct, kw_only=True):
    registered_model: RegisteredModel


class ModelsFound(msgspec.Struct, kw_only=True, omit_defaults=True):
    registered_models: list[RegisteredModel] = []
    next_page_token: str = ""


class VersionFound(msgspec.Struct, kw_only=True):
    model_version: Version


class VersionsFound(msgspec.Struct, kw_only=True, omit_defaults=True):
    model_versions: list[Version] = []
    next_page_token: str = ""


class DownloadUri(msgspec.Struct, kw_only=True):
    artifact_uri: str
