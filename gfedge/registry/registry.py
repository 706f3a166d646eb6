"""The registry: reads the model folders at the start, records new versions, and resolves references."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from pathlib import Path

from gfedge import errors
from gfedge.db import Database
from gfedge.inference.folder import read_folder
from gfedge.inference.types import Kind, ModelFolder, ModelRefused
from gfedge.lineage.types import EdgeRow, Node, edge
from gfedge.registry import store
from gfedge.registry.types import Model, ModelRef, ModelVersion, ModelVersionRow, Refused

log = logging.getLogger(__name__)


class Registry:
    """The model versions of this server, in memory; the database remembers them."""

    def __init__(self, db: Database, folder: Path) -> None:
        self._db = db
        self._folder = folder
        self._versions: dict[str, ModelFolder] = {}
        self._recorded: dict[str, ModelVersionRow] = {}
        self._opened = asyncio.Event()
        self.refused: list[Refused] = []
        self.states: dict[str, str] = {}

    async def open(self) -> None:
        """Reads and verifies every folder; one that cannot be taken is refused and the others go on."""
        try:
            self._recorded = {row.id: row for row in await self._db.read(store.all_versions)}
            for path, outcome in await asyncio.to_thread(_read_all, self._folder):
                await self._take(path, outcome)
        finally:
            self._opened.set()

    async def _take(self, path: Path, outcome: ModelFolder | ModelRefused) -> None:
        reason = str(outcome) if isinstance(outcome, ModelRefused) else self._changed(outcome)
        if reason:
            log.error("model refused: %s", reason)
            self.refused.append(Refused(path=_short(path), reason=reason))
        elif isinstance(outcome, ModelFolder):
            await self._register(outcome)

    async def opened(self) -> None:
        """Waits until the folders are read: the server answers before that."""
        await self._opened.wait()

    def find(self, reference: str, kind: Kind, field: str = "model") -> ModelFolder:
        """The version that a reference means: `sprite@1`, or the newest of `sprite`."""
        name, _, version = reference.partition("@")
        versions = [
            m for m in self.serving_order() if m.name == name and version in ("", m.version)
        ]
        if not versions:
            raise errors.Invalid(
                f"no model {reference!r} is here; there are: {', '.join(self._versions) or 'none'}"
                + self._refusal_of(name),
                code="model_not_found",
                field=field,
            )
        if versions[0].kind != kind:
            raise errors.Invalid(
                f"model {reference!r} is of kind {versions[0].kind}; this takes one of kind {kind}",
                code="model_of_other_kind",
                field=field,
            )
        return versions[0]

    def exact(self, ref: ModelRef) -> ModelFolder | None:
        """The very version that a job was acknowledged with."""
        found = self._versions.get(ref.id)
        return found if found is not None and found.digest == ref.digest else None

    def recorded(self) -> list[ModelVersionRow]:
        """Every version that was ever registered, also those whose folders are gone."""
        return list(self._recorded.values())

    def serving_order(self) -> list[ModelFolder]:
        """Every version, the newest of each name first."""
        return sorted(
            self._versions.values(), key=lambda m: (m.name, _natural(m.version)), reverse=True
        )

    def serving(self) -> list[ModelFolder]:
        """The version that serves of each model."""
        return list({model.name: model for model in reversed(self.serving_order())}.values())

    def models(self) -> list[Model]:
        by_name: dict[str, list[ModelFolder]] = {}
        for version in self.serving_order():
            by_name.setdefault(version.name, []).append(version)
        return [
            Model(
                name=name,
                kind=versions[0].kind,
                serving=version_id(versions[0]),
                versions=[self._wire(v) for v in versions],
            )
            for name, versions in sorted(by_name.items())
        ]

    async def _register(self, model: ModelFolder) -> None:
        key = version_id(model)
        if key not in self._recorded:
            row = _row(model)
            await self._db.insert(row, *_edges(row))
            self._recorded[key] = row
        self._versions[key] = model
        self.states[key] = "registered"

    def _changed(self, model: ModelFolder) -> str:
        """Versions are immutable: a folder whose files changed since it was registered is not that version."""
        recorded = self._recorded.get(version_id(model))
        if recorded is None or recorded.digest == model.digest:
            return ""
        return (
            f"{_short(model.path)}: its files changed since this version was registered (then "
            f"{recorded.digest[:12]}…, now {model.digest[:12]}…): put them into a folder of a new version"
        )

    def _refusal_of(self, name: str) -> str:
        reasons = [r.reason for r in self.refused if f"/{name}/" in f"/{r.path}/"]
        return f" (refused: {'; '.join(reasons)})" if reasons else ""

    def _wire(self, model: ModelFolder) -> ModelVersion:
        return ModelVersion(
            id=version_id(model),
            name=model.name,
            version=model.version,
            kind=model.kind,
            digest=model.digest,
            title=model.title,
            description=model.description,
            licence=model.licence,
            source=model.source,
            bytes=model.bytes,
            files=model.files,
            inputs=model.inputs,
            defaults=model.defaults,
            limits=model.limits,
            training=model.training,
            dataset=model.dataset,
            state=self.states.get(version_id(model), "registered"),
        )


def version_id(model: ModelFolder) -> str:
    return f"{model.name}@{model.version}"


def reference(model: ModelFolder) -> ModelRef:
    return ModelRef(name=model.name, version=model.version, digest=model.digest)


def _read_all(folder: Path) -> list[tuple[Path, ModelFolder | ModelRefused]]:
    found: list[tuple[Path, ModelFolder | ModelRefused]] = []
    for manifest in sorted(folder.glob("*/*/model.toml")):
        try:
            found.append((manifest.parent, read_folder(manifest.parent)))
        except ModelRefused as error:
            found.append((manifest.parent, error))
        except Exception as error:  # one folder must never stop the server
            log.exception("reading %s failed", manifest.parent)
            reason = f"{_short(manifest.parent)}: cannot be read ({type(error).__name__})"
            found.append((manifest.parent, ModelRefused(reason)))
    return found


def _row(model: ModelFolder) -> ModelVersionRow:
    return ModelVersionRow(
        id=version_id(model),
        name=model.name,
        version=model.version,
        kind=model.kind,
        digest=model.digest,
        title=model.title,
        licence=model.licence,
        source=model.source,
        bytes=model.bytes,
        training=model.training,
        dataset=model.dataset,
        registered_at=time.time(),
    )


def origins(row: ModelVersionRow) -> tuple[str, str]:
    """Ids of the training run and the dataset behind a version; empty where its folder names none.

    A dataset is known by its digest too, where there is one: the same name may hold other pictures tomorrow.
    """
    training, dataset = (str(facts.get("name", "")) for facts in (row.training, row.dataset))
    digest = str(row.dataset.get("digest", "")).removeprefix("sha256:")[:12]
    return training, f"{dataset}@{digest}" if dataset and digest else dataset


def _edges(row: ModelVersionRow) -> list[EdgeRow]:
    """dataset -> training run -> model version, as far as the folder knows them."""
    training, dataset = origins(row)
    edges = []
    if training:
        run: Node = ("training_run", training)
        edges.append(edge(run, "produced", ("model_version", row.id), row.registered_at))
        if dataset:
            edges.append(edge(("dataset", dataset), "trained", run, row.registered_at))
    return edges


def _natural(version: str) -> list[tuple[int, str]]:
    """Sorts 10 after 9."""
    return [
        (int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", version)
    ]


def _short(path: Path) -> str:
    return "/".join(path.parts[-2:])
