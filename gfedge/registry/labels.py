"""What may be changed on a version: description, tags, aliases; and when it may go. Pure but for ids and the clock."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from gfedge import errors
from gfedge.db import new_id
from gfedge.registry import references
from gfedge.registry.policy import RegisteredModel
from gfedge.registry.types import Action, ChangeRow, ModelVersionRow, VersionPatch

LABELS = ("description", "tags", "aliases")


def patched(
    versions: Sequence[ModelVersionRow], row: ModelVersionRow, patch: VersionPatch
) -> list[ModelVersionRow]:
    """The version as it will be, then those of the model that lose an alias to it."""
    values: dict[str, Any] = {}
    if patch.description is not UNSET:
        values["description"] = patch.description
    if patch.tags is not UNSET:
        merged = row.tags | patch.tags
        values["tags"] = {key: value for key, value in merged.items() if value is not None}
    if patch.aliases is not UNSET:
        values["aliases"] = sorted(set(patch.aliases))
        for alias in values["aliases"]:
            _check_alias(alias, versions)
    after = replace(row, **values)
    losers = [
        replace(other, aliases=[alias for alias in other.aliases if alias not in after.aliases])
        for other in versions
        if other.id != row.id and set(other.aliases) & set(after.aliases)
    ]
    return [after, *losers]


def difference(before: ModelVersionRow, after: ModelVersionRow) -> dict[str, Any]:
    """The labels that differ, each as [before, after]."""
    pairs = {name: [getattr(before, name), getattr(after, name)] for name in LABELS}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def check_deletable(row: ModelVersionRow, jobs: int, held: RegisteredModel) -> None:
    """Refuses what serves, what jobs need, and files that are the operator's own."""
    if row.stage == "prod":
        raise errors.Conflict(
            f"{row.id} is in prod: promote another version first", code="version_in_use"
        )
    beside = [one.version for one in (held.canary, held.shadow) if one is not None]
    if row.version in beside:
        raise errors.Conflict(
            f"{row.id} is a canary or a shadow: end that first", code="version_in_use"
        )
    if jobs:
        raise errors.Conflict(
            f"{jobs} jobs that have not ended run {row.id}: wait for them", code="version_in_use"
        )
    if row.bundled:
        raise errors.Conflict(
            f"{row.id} lies in the models folder, which is the operator's: archive it "
            "(promote it to `archived`), or remove the folder and start again",
            code="version_bundled",
        )


def change(row: ModelVersionRow, action: Action, by: str, details: dict[str, Any]) -> ChangeRow:
    """An entry of the history that moves nothing between stages."""
    return ChangeRow(
        id=new_id(),
        name=row.name,
        version=row.version,
        action=action,
        by=by,
        details=details,
        changed_at=time.time(),
    )


def change_of_model(
    name: str, action: Action, by: str, reason: str, details: dict[str, Any], version: str = ""
) -> ChangeRow:
    """An entry of the history about a model as a whole."""
    return ChangeRow(
        id=new_id(),
        name=name,
        version=version,
        action=action,
        by=by,
        reason=reason,
        details=details,
        changed_at=time.time(),
    )


def _check_alias(alias: str, versions: Sequence[ModelVersionRow]) -> None:
    if alias in references.RESERVED or any(alias == other.version for other in versions):
        raise errors.Invalid(
            f"aliases: {alias!r} means a stage, the newest version or a version of this model: take another name",
            code="bad_alias",
            field="aliases",
        )
