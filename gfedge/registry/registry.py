"""The registry: model versions in memory and in the database, and which one a reference means.

Versions that came with the server lie in the folder of the setting `models`, registered ones below the data folder.
Both are immutable by digest. What nobody knows yet is examined in a process of its own before it is taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from gfedge import errors, metrics
from gfedge.db import Database, Row, new_id
from gfedge.inference.types import Kind, ModelFolder
from gfedge.registry import origins, references, registration, start, store
from gfedge.registry.files import ModelFiles
from gfedge.registry.policy import Policy, RegisteredModel
from gfedge.registry.trails import Trails
from gfedge.registry.types import (
    ChangeRow,
    Model,
    ModelQuery,
    ModelRef,
    ModelVersion,
    ModelVersionRow,
    Refused,
    Stage,
)
from gfedge.registry.versions import version_id

if TYPE_CHECKING:
    from gfedge.inference.types import Engine


class Registry:
    """The model versions of this server."""

    def __init__(self, db: Database, folder: Path, files: ModelFiles) -> None:
        self.db = db
        self.files = files
        self._folder = folder
        self._folders: dict[str, ModelFolder] = {}
        self._rows: dict[str, ModelVersionRow] = {}
        self._settings: dict[str, RegisteredModel] = {}
        self.trails = Trails()
        self._opened = asyncio.Event()
        self.registering = asyncio.Lock()
        """One examination at a time; held until the version has its name."""
        self.refused: list[Refused] = []
        self.states: dict[str, str] = {}
        self.engine: Engine | None = None
        """Where versions run, once it is there."""
        self.jobs_of: Callable[[str], int] = lambda version: 0
        """How many jobs that have not ended run a version: whoever runs them knows."""
        self.share: Callable[[str, str], str] = lambda name, job: ""
        """The version that a job of a model tries instead of the one in prod, if any."""

    def running(self) -> Engine:
        """The engine. Raises Unavailable while it is not there, or can run nothing."""
        problem = self.engine.failure if self.engine is not None else "the engine is starting"
        if self.engine is None or problem:
            raise errors.Unavailable(f"{problem}: try again", headers={"Retry-After": "2"})
        return self.engine

    async def open(self) -> None:
        """Reads and verifies every folder; one that cannot be taken is refused and the others go on."""
        try:
            self._rows = {row.id: row for row in await self.db.read(store.all_versions)}
            self._settings = {m.name: m for m in await self.db.read(store.registered_models)}
            self.trails = Trails(await self.db.read(store.changes))
            await start.take_bundled(self, self._folder)
            await start.open_registered(self)
            await start.put_into_prod(self)
        finally:
            self._opened.set()

    async def opened(self) -> None:
        """Waits until the folders are read: the server answers before that."""
        await self._opened.wait()

    # What is here

    def find(
        self, reference: str, kind: Kind, field: str = "model", job_id: str = ""
    ) -> ModelFolder:
        """The version that a reference means, for a job; raises Invalid where there is none that runs."""
        row = self.resolve(reference)
        name, label = references.split(reference)
        if not label and (other := self.share(name, job_id)) in self._folders:
            row = self._rows[other]
        if row is None or row.id not in self._folders:
            raise errors.Invalid(
                f"no model {reference!r} is here; there are: {', '.join(self._folders) or 'none'}"
                + self._refusal_of(name),
                code="model_not_found",
                field=field,
            )
        if row.kind != kind:
            raise errors.Invalid(
                f"model {reference!r} is of kind {row.kind}; this takes one of kind {kind}",
                code="model_of_other_kind",
                field=field,
            )
        return self._folders[row.id]

    def resolve(self, reference: str) -> ModelVersionRow | None:
        """The version that a reference means; None where there is none."""
        name, label = references.split(reference)
        found = self.versions(name)
        if not label:  # a name alone is for what runs: a version whose files are gone gives way
            found = [row for row in found if row.id in self._folders] or found
        return references.resolve(found, label)

    def version(self, reference: str) -> ModelVersionRow:
        """The version that a reference means; NotFound where there is none."""
        if (row := self.resolve(reference)) is None:
            raise errors.NotFound(f"no model version {reference!r} is here", code="model_not_found")
        return row

    def versions(self, name: str) -> list[ModelVersionRow]:
        """The versions of a model, newest first."""
        found = [r for r in self._rows.values() if r.name == name and r.deleted_at is None]
        return references.newest_first(found)

    def exact(self, ref: ModelRef) -> ModelFolder | None:
        """The very version that a job was acknowledged with."""
        found = self._folders.get(ref.id)
        return found if found is not None and found.digest == ref.digest else None

    def here(self, version: str) -> ModelFolder | None:
        """The files of a version by its id, where they are here as they were registered."""
        return self._folders.get(version)

    def folder(self, version: str) -> ModelFolder:
        """As `here`; Conflict where they are not."""
        if (found := self.here(version)) is None:
            reason = self._refusal_of(version.replace("@", "/"))
            raise errors.Conflict(
                f"the files of {version} are missing{reason}", code="files_missing"
            )
        return found

    def recorded(self) -> list[ModelVersionRow]:
        """Every version that was ever registered, also those whose folders are gone."""
        return list(self._rows.values())

    def row(self, version: str) -> ModelVersionRow | None:
        """The same of one, by its id."""
        return self._rows.get(version)

    def names(self) -> list[str]:
        return sorted({row.name for row in self._rows.values()})

    def serving(self) -> list[ModelFolder]:
        """The version that serves of each model, then those that stand beside one, as far as their files are here."""
        serving = [row.id for name in self.names() if (row := self.resolve(name)) is not None]
        beside = [
            f"{held.name}@{one.version}"
            for held in self._settings.values()
            for one in (held.canary, held.shadow)
            if one is not None
        ]
        return [self._folders[one] for one in serving + beside if one in self._folders]

    def role(self, row: ModelVersionRow) -> str:
        """prod, canary or shadow, where a version gets traffic; else empty."""
        held = self._settings.get(row.name)
        for role, one in (("canary", held and held.canary), ("shadow", held and held.shadow)):
            if one and one.version == row.version:
                return role
        serves = self.resolve(row.name)
        return "prod" if serves is not None and serves.id == row.id else ""

    def models(self, query: ModelQuery | None = None) -> list[Model]:
        query = query or ModelQuery()
        found = (self.model(name, query.stage) for name in self.names())
        shown = [m for m in found if m.versions and query.kind in (None, m.kind)]
        return sorted(shown, key=lambda model: model.name)

    def model(self, name: str, stage: Stage | None = None) -> Model:
        """A model with its versions, or those of a stage; without any where there are none."""
        versions = self.versions(name)
        serving = self.resolve(name)
        return Model(
            name=name,
            kind=versions[0].kind if versions else "",
            serving=serving.id if serving is not None and serving.id in self._folders else "",
            aliases={alias: row.version for row in versions for alias in row.aliases},
            versions=[self.wire(row) for row in versions if stage in (None, row.stage)],
        )

    def wire(self, row: ModelVersionRow) -> ModelVersion:
        """A version as clients see it."""
        folder = self._folders.get(row.id)
        values: dict[str, Any] = {n: getattr(row, n, None) for n in ModelVersion.__struct_fields__}
        values |= {
            "files": folder.files if folder else {},
            "inputs": folder.inputs if folder else {},
            "defaults": folder.defaults if folder else {},
            "limits": folder.limits if folder else {},
            "evaluation": row.evaluation or (folder.evaluation if folder else {}),
            "state": self._state(row),
        }
        return ModelVersion(**values)

    def _state(self, row: ModelVersionRow) -> str:
        kept = row.id in self._folders or not row.is_run_here
        return self.states.get(row.id, "registered") if kept else "files missing"

    # What changes

    async def register(
        self,
        source: Path,
        *,
        name: str | None = None,
        version: str | None = None,
        by: str,
        source_run: str | None = None,
        training_job: str | None = None,
        dataset: str | None = None,
        note: str = "",
    ) -> ModelVersion:
        """Takes a folder, an archive or a single graph (with its model.toml beside it) as a version in dev.

        `source_run` and `dataset` are ids of what is recorded here. The same files again give the version that there
        is. Raises Invalid with the reason where it cannot be taken.
        """
        origin = registration.Origin(
            by=by,
            source_run=source_run or "",
            training_job=training_job or "",
            dataset=dataset or "",
            note=note,
        )
        row, _ = await registration.register(self, source, name, version, origin)
        return self.wire(row)

    async def commit(self, rows: Sequence[ModelVersionRow], *more: Row) -> None:
        """Writes labels of versions together with their record, then takes them up in memory."""
        await self.db.write(store.change, rows, *more)
        self._rows.update({row.id: row for row in rows})
        for one in more:
            if isinstance(one, RegisteredModel):
                self._settings[one.name] = one
            elif isinstance(one, ChangeRow):
                self.trails.follow(one)

    async def add(self, row: ModelVersionRow, folder: ModelFolder | None, *more: Row) -> None:
        """Takes a new version: its row, its lineage and the first entry of its history in one commit.

        One that is not run here has no folder; `more` are rows that name its files.
        """
        change = ChangeRow(
            id=new_id(),
            name=row.name,
            version=row.version,
            action="registered",
            to_stage=row.stage,
            by=row.author,
            reason=row.note,
            details={"digest": row.digest},
            changed_at=row.registered_at,
        )
        await self.db.insert(row, *origins.edges(row), change, *more)
        self._rows[row.id] = row
        if folder is not None:
            self._folders[row.id] = folder
        self.states[row.id] = "registered"
        metrics.registry_events_total.labels("registered").inc()

    def take(self, folder: ModelFolder) -> None:
        """The files of a version are here, as they were registered."""
        self._folders[version_id(folder)] = folder
        self.states[version_id(folder)] = "registered"

    async def forget(self, row: ModelVersionRow) -> None:
        """A deleted version can no longer be run; what it made still names it."""
        self._folders.pop(row.id, None)
        self.states.pop(row.id, None)
        if not row.is_run_here:
            return
        await asyncio.to_thread(self.files.remove, row.name, row.version)

    def settings(self, name: str) -> RegisteredModel:
        """What holds for a model, with its policy."""
        return self._settings.get(name) or RegisteredModel(name=name)

    def registered(self) -> list[str]:
        """Names of the models that there are, with versions or yet without."""
        made = [name for name, held in self._settings.items() if held.created_at is not None]
        return sorted({*made, *(r.name for r in self._rows.values() if r.deleted_at is None)})

    async def remove(self, name: str, gone: Sequence[ModelVersionRow], *more: Row) -> None:
        """Takes a model away with all its versions, whose rows stay."""
        await self.db.write(store.remove_model, name, gone, *more)
        self._settings.pop(name, None)
        self._rows.update({row.id: row for row in gone})
        for row in gone:
            await self.forget(row)

    async def rename(self, name: str, held: RegisteredModel, *more: Row) -> None:
        """Gives a model that is not run here another name; ids of versions stay what they were."""
        rows = [replace(row, name=held.name) for row in self._rows.values() if row.name == name]
        await self.db.write(store.remove_model, name, rows, held, *more)
        self._settings.pop(name, None)
        self._settings[held.name] = held
        self._rows.update({row.id: row for row in rows})

    def policy(self, name: str) -> Policy:
        return self.settings(name).policy or Policy()

    def before_prod(self, name: str) -> ModelVersionRow | None:
        """The version that was in prod before the present one and can serve again."""
        rows = (self._rows[version] for version in self.trails.before(name))
        return next(
            (
                row
                for row in rows
                if row.stage != "prod" and (row.id in self._folders or not row.is_run_here)
            ),
            None,
        )

    def taken(self, name: str) -> set[str]:
        """Every version name that a model ever had: none is used twice."""
        return {row.version for row in self._rows.values() if row.name == name}

    def _refusal_of(self, name: str) -> str:
        reasons = [r.reason for r in self.refused if f"/{name}/" in f"/{r.path}/"]
        return f" (refused: {'; '.join(reasons)})" if reasons else ""
