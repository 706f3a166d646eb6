"""Experiments and runs as MLflow writes them: requests, and the values that answers are made of. Times are milliseconds."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gfedge import examples
from gfedge.mlflow import refusals
from gfedge.tracking.types import Number

Needed = Annotated[str, Meta(min_length=1)]
ViewType = Literal["ACTIVE_ONLY", "DELETED_ONLY", "ALL"]
Long = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]


class KeyValue(msgspec.Struct, frozen=True):
    """A param or a tag."""

    key: str
    value: str = ""


class FileInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file, or a folder, which has no size."""

    path: str
    is_dir: bool
    file_size: int | None = None


# Experiments


class Experiment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    experiment_id: str
    name: str
    artifact_location: str
    lifecycle_stage: str
    last_update_time: int
    creation_time: int
    tags: list[KeyValue] = []


class ExperimentCreate(msgspec.Struct, kw_only=True):
    name: Needed
    artifact_location: str | None = None
    tags: list[KeyValue] = []


class ExperimentId(msgspec.Struct, kw_only=True):
    experiment_id: Needed


class ExperimentName(msgspec.Struct, kw_only=True):
    experiment_name: Needed


class ExperimentUpdate(msgspec.Struct, kw_only=True):
    experiment_id: Needed
    new_name: Needed


class ExperimentTag(msgspec.Struct, kw_only=True):
    experiment_id: Needed
    key: Needed
    value: str = ""


class ExperimentTagKey(msgspec.Struct, kw_only=True):
    experiment_id: Needed
    key: Needed


class ExperimentSearch(msgspec.Struct, kw_only=True):
    max_results: Long = 1000
    page_token: str | None = None
    filter: str | None = None
    order_by: list[str] = []
    view_type: ViewType = "ACTIVE_ONLY"


class ExperimentMade(msgspec.Struct, kw_only=True):
    experiment_id: str


class ExperimentFound(msgspec.Struct, kw_only=True):
    experiment: Experiment


class ExperimentsFound(msgspec.Struct, kw_only=True, omit_defaults=True):
    experiments: list[Experiment] = []
    next_page_token: str = ""


# Runs


class RunInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    run_uuid: str
    experiment_id: str
    run_name: str
    user_id: str
    status: str
    start_time: int
    end_time: int | None = None
    artifact_uri: str
    lifecycle_stage: str
    run_id: str


class Metric(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    key: str
    value: Number
    timestamp: int
    step: int
    run_id: str = ""
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class RunData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    metrics: list[Metric] = []
    params: list[KeyValue] = []
    tags: list[KeyValue] = []


class Dataset(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: Needed
    digest: Needed
    source_type: str = ""
    source: str = ""
    schema: str | None = None
    profile: str | None = None


class DatasetInput(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    tags: list[KeyValue] = []
    dataset: Dataset


class ModelInput(msgspec.Struct, frozen=True, kw_only=True):
    model_id: str


class ModelOutput(msgspec.Struct, frozen=True, kw_only=True):
    model_id: Needed
    step: Long = 0


class RunInputs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    dataset_inputs: list[DatasetInput] = []
    model_inputs: list[ModelInput] = []


class RunOutputs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    model_outputs: list[ModelOutput] = []


class Run(msgspec.Struct, frozen=True, kw_only=True):
    info: RunInfo
    data: RunData
    inputs: RunInputs = RunInputs()
    outputs: RunOutputs = RunOutputs()


class RunCreate(msgspec.Struct, kw_only=True):
    experiment_id: str = "0"
    user_id: str = ""
    run_name: str | None = None
    start_time: Long = 0
    tags: list[KeyValue] = []


class RunId(msgspec.Struct, kw_only=True):
    """A run by its id, which older clients call `run_uuid`."""

    run_id: Annotated[str, Meta(description="It must be there.", examples=[examples.ID])] = ""
    run_uuid: Annotated[str, Meta(description="The same, as older clients name it.")] = ""

    def __post_init__(self) -> None:
        self.run_id = self.run_id or self.run_uuid
        if not self.run_id:
            raise refusals.missing("run_id")


class RunUpdate(RunId, kw_only=True):
    status: Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"] | None = None
    end_time: Long | None = None
    run_name: str | None = None


class MetricLog(RunId, kw_only=True):
    key: Needed
    value: float
    timestamp: Long
    step: Long = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class ParamLog(RunId, kw_only=True):
    key: Needed
    value: str = ""


class TagSet(RunId, kw_only=True):
    key: Needed
    value: str = ""


class TagKey(RunId, kw_only=True):
    key: Needed


class BatchMetric(msgspec.Struct, kw_only=True):
    key: Needed
    value: float
    timestamp: Long
    step: Long = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class BatchKeyValue(msgspec.Struct):
    key: Needed
    value: str = ""


class BatchLog(RunId, kw_only=True):
    metrics: list[BatchMetric] = []
    params: list[BatchKeyValue] = []
    tags: list[BatchKeyValue] = []


class ModelLog(RunId, kw_only=True):
    """What clients before 3.0 tell of a model that they logged."""

    model_json: Needed


class InputsLog(RunId, kw_only=True):
    datasets: list[DatasetInput] = []
    models: list[ModelInput] = []


class OutputsLog(RunId, kw_only=True):
    models: Annotated[list[ModelOutput], Meta(min_length=1)]


class RunSearch(msgspec.Struct, kw_only=True):
    experiment_ids: list[str] = []
    filter: str | None = None
    run_view_type: ViewType = "ACTIVE_ONLY"
    max_results: Long = 1000
    order_by: list[str] = []
    page_token: str | None = None


class RunFound(msgspec.Struct, kw_only=True):
    run: Run


class RunInfoFound(msgspec.Struct, kw_only=True):
    run_info: RunInfo


class RunsFound(msgspec.Struct, kw_only=True, omit_defaults=True):
    runs: list[Run] = []
    next_page_token: str = ""


# Histories


class HistoryAsked(RunId, kw_only=True):
    metric_key: Needed
    max_results: Long | None = None
    page_token: str | None = None


class BulkAsked(msgspec.Struct, kw_only=True):
    run_id: list[str] = []
    metric_key: str | None = None
    max_results: Long = 25_000


class IntervalAsked(msgspec.Struct, kw_only=True):
    run_ids: Annotated[list[str], Meta(min_length=1)]
    metric_key: Needed
    start_step: Long | None = None
    end_step: Long | None = None
    max_results: Long = 2500


class MetricsFound(msgspec.Struct, kw_only=True, omit_defaults=True):
    metrics: list[Metric] = []
    next_page_token: str = ""


class DatasetsAsked(msgspec.Struct, kw_only=True):
    experiment_ids: list[str] = []


class DatasetSummary(msgspec.Struct, kw_only=True, omit_defaults=True):
    experiment_id: str
    name: str
    digest: str
    context: str = ""


class DatasetsFound(msgspec.Struct, kw_only=True, omit_defaults=True):
    dataset_summaries: list[DatasetSummary] = []
