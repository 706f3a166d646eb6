"""The experiments by name, held in memory: there are few, and every job asks for one."""

from __future__ import annotations

import asyncio
import time

from gfedge import errors
from gfedge.db import Database, new_id
from gfedge.tracking import store
from gfedge.tracking.types import ExperimentCreate, ExperimentRow


class Experiments:
    """Finds and makes experiments; the database holds them, this is their index."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._by_name: dict[str, ExperimentRow] = {}
        self._by_id: dict[str, ExperimentRow] = {}
        self._making = asyncio.Lock()

    async def open(self) -> None:
        for row in await self._db.read(store.all_experiments):
            self._remember(row)

    async def create(self, wanted: ExperimentCreate, kind: str = "user") -> ExperimentRow:
        """A new experiment; Conflict where the name is taken."""
        async with self._making:
            if (taken := self._by_name.get(wanted.name)) is not None:
                raise errors.Conflict(
                    f"an experiment named {wanted.name!r} exists already: {taken.id}",
                    code="experiment_exists",
                )
            return await self._insert(wanted, kind)

    async def named(self, name: str, kind: str = "user") -> ExperimentRow:
        """The experiment of that name, made if there is none."""
        if (found := self._by_name.get(name)) is not None:
            return found
        async with self._making:
            if (found := self._by_name.get(name)) is not None:
                return found
            return await self._insert(ExperimentCreate(name=name), kind)

    def get(self, experiment_id: str) -> ExperimentRow | None:
        return self._by_id.get(experiment_id)

    def resolve(self, reference: str) -> ExperimentRow | None:
        """By id or by name."""
        return self._by_id.get(reference) or self._by_name.get(reference)

    async def _insert(self, wanted: ExperimentCreate, kind: str) -> ExperimentRow:
        row = ExperimentRow(
            id=new_id(),
            name=wanted.name,
            kind=kind,
            description=wanted.description,
            tags=wanted.tags,
            created_at=time.time(),
        )
        await self._db.insert(row)
        self._remember(row)
        return row

    def _remember(self, row: ExperimentRow) -> None:
        self._by_name[row.name] = row
        self._by_id[row.id] = row
