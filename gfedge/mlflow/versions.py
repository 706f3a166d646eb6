"""A model version as MLflow writes it: stages by MLflow's names, and aliases that follow our stages. Pure."""

from __future__ import annotations

from gfedge.mlflow import refusals
from gfedge.mlflow.experiments import key_values, milliseconds
from gfedge.mlflow.model_types import Version
from gfedge.registry import references
from gfedge.registry.registry import Registry
from gfedge.registry.types import ModelVersionRow, Stage

STAGE_NAMES: dict[Stage, str] = {
    "dev": "None",
    "staging": "Staging",
    "prod": "Production",
    "archived": "Archived",
}
FOLLOWING: dict[str, Stage] = {
    "dev": "dev",
    "staging": "staging",
    "prod": "prod",
    "archived": "archived",
    "champion": "prod",
}
"""Aliases that are stages here: to set one is to promote."""
SHOWN: dict[Stage, tuple[str, ...]] = {"prod": ("champion", "prod"), "staging": ("staging",)}


def stage(name: str) -> Stage:
    """Ours for one of MLflow's names, in any case."""
    known = {theirs.lower(): ours for ours, theirs in STAGE_NAMES.items()}
    if (found := known.get(name.lower())) is None:
        raise refusals.invalid(
            f"Invalid Model Version stage: {name}. Value must be one of {', '.join(STAGE_NAMES.values())}."
        )
    return found


def aliases(registry: Registry, row: ModelVersionRow) -> list[str]:
    """Its own, and those of its stage, where it is the one that the stage means."""
    following: tuple[str, ...] = ()
    meant = references.resolve(registry.versions(row.name), row.stage)
    if meant is not None and meant.id == row.id:
        following = SHOWN.get(row.stage, ())
    return sorted({*row.aliases, *following})


def newest(registry: Registry, name: str) -> list[ModelVersionRow]:
    """The newest version of each stage."""
    found: dict[str, ModelVersionRow] = {}
    for row in registry.versions(name):
        found.setdefault(row.stage, row)
    return list(found.values())


def source(row: ModelVersionRow) -> str:
    return row.uri or place(row)


def place(row: ModelVersionRow) -> str:
    """Where its files are kept here, which never change."""
    return f"mlflow-artifacts:/models/{row.name}/{row.version}"


def shown(registry: Registry, row: ModelVersionRow, *, aliased: bool = True) -> Version:
    return Version(
        name=row.name,
        version=row.version,
        creation_timestamp=milliseconds(row.registered_at),
        last_updated_timestamp=milliseconds(row.updated_at or row.registered_at),
        user_id=row.author,
        current_stage=STAGE_NAMES[row.stage],
        description=row.description,
        source=source(row),
        run_id=row.source_run or None,
        run_link=row.run_link or None,
        model_id=row.model_id or None,
        status="READY",
        tags=key_values(row.tags.items()),
        aliases=aliases(registry, row) if aliased else [],
    )
