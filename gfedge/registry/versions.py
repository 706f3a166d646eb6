"""A model version from its folder. Pure."""

from __future__ import annotations

from gfedge.inference.examine import Signature
from gfedge.inference.types import ModelFolder
from gfedge.registry.types import ModelRef, ModelVersionRow


def version_id(model: ModelFolder) -> str:
    return f"{model.name}@{model.version}"


def reference(model: ModelFolder) -> ModelRef:
    return ModelRef(name=model.name, version=model.version, digest=model.digest)


def row_of(
    folder: ModelFolder,
    signature: Signature,
    *,
    author: str,
    at: float,
    bundled: bool = False,
    source_run: str = "",
    training_job: str = "",
    dataset_id: str = "",
    metrics: dict[str, float] | None = None,
    note: str = "",
) -> ModelVersionRow:
    """A new version in dev, as its folder and its origin tell."""
    return ModelVersionRow(
        id=version_id(folder),
        name=folder.name,
        version=folder.version,
        kind=folder.kind,
        digest=folder.digest,
        title=folder.title,
        licence=folder.licence,
        source=folder.source,
        bytes=folder.bytes,
        bundled=bundled,
        signature=signature,
        metrics=folder.metrics | (metrics or {}),
        training=folder.training,
        dataset=folder.dataset,
        source_run=source_run,
        training_job=training_job,
        dataset_id=dataset_id,
        author=author,
        note=note,
        registered_at=at,
        stage="dev",
        description=folder.description,
        aliases=[],
        tags={},
    )
