"""The experiments, held in memory and written through: there are few, and every job asks for one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec import UNSET

from gfedge import errors
from gfedge.db import Database, new_id
from gfedge.tracking import store
from gfedge.tracking.types import (
    ExperimentCreate,
    ExperimentPatch,
    ExperimentQuery,
    ExperimentRow,
)

RESERVED = "ai-"
Activity = dict[str, tuple[int, float | None]]
"""Number of runs and time of the last change, by experiment."""


class Experiments:
    """Finds, makes and changes experiments; the database holds them, this is their index."""

    def __init__(self, db: Database, tell: Callable[[str, ExperimentRow], None]) -> None:
        self._db = db
        self._tell = tell
        self._by_name: dict[str, ExperimentRow] = {}
        self._by_id: dict[str, ExperimentRow] = {}
        self._changing = asyncio.Lock()

    async def open(self) -> None:
        for row in await self._db.read(store.all_experiments):
            self._remember(row)

    async def create(
        self,
        wanted: ExperimentCreate,
        kind: str = "user",
        *,
        experiment_id: str = "",
        artifact_location: str = "",
    ) -> ExperimentRow:
        """A new experiment; Conflict where the name is taken."""
        _check_name(wanted.name, kind)
        async with self._changing:
            self._check_free(wanted.name)
            return await self._insert(wanted, kind, experiment_id, artifact_location)

    async def named(self, name: str, kind: str = "user") -> ExperimentRow:
        """The experiment of that name, made if there is none."""
        if (found := self._by_name.get(name)) is not None:
            return _present(found)
        _check_name(name, kind)
        async with self._changing:
            if (found := self._by_name.get(name)) is not None:
                return _present(found)
            return await self._insert(ExperimentCreate(name=name), kind)

    async def change(self, experiment_id: str, wanted: ExperimentPatch) -> ExperimentRow:
        async with self._changing:
            row = self._by_id[experiment_id]
            values: dict[str, Any] = {
                name: value
                for name in ("name", "description", "headline")
                if (value := getattr(wanted, name)) is not UNSET
            }
            if values.get("name", row.name) != row.name:
                if row.kind != "user":
                    raise errors.Conflict(
                        f"{row.name} records this server's jobs and keeps its name",
                        code="experiment_needed",
                    )
                _check_name(values["name"], row.kind)
                self._check_free(values["name"])
            if wanted.tags is not UNSET:
                tags = {**row.tags, **wanted.tags}
                values["tags"] = {key: value for key, value in tags.items() if value is not None}
            return await self._update(msgspec.structs.replace(row, **values))

    async def delete(self, experiment_id: str) -> ExperimentRow:
        """Hides it and its runs. Its name stays taken, so that it can always come back."""
        async with self._changing:
            row = self._by_id[experiment_id]
            if row.kind != "user":
                raise errors.Conflict(
                    f"{row.name} records this server's jobs and stays", code="experiment_needed"
                )
            if row.deleted_at is not None:
                return row
            return await self._update(msgspec.structs.replace(row, deleted_at=time.time()))

    async def restore(self, experiment_id: str) -> ExperimentRow:
        async with self._changing:
            row = self._by_id[experiment_id]
            if row.deleted_at is None:
                return row
            return await self._update(msgspec.structs.replace(row, deleted_at=None))

    def forget(self, ids: Iterable[str]) -> None:
        """Experiments that were removed; their names are free."""
        for row in [self._by_id.pop(i) for i in ids if i in self._by_id]:
            self._by_name.pop(row.name)

    def all(self) -> list[ExperimentRow]:
        """Deleted ones too."""
        return list(self._by_id.values())

    def get(self, experiment_id: str) -> ExperimentRow | None:
        return self._by_id.get(experiment_id)

    def of_name(self, name: str) -> ExperimentRow | None:
        return self._by_name.get(name)

    def resolve(self, reference: str) -> ExperimentRow | None:
        """By id or by name, deleted ones too."""
        return self._by_id.get(reference) or self._by_name.get(reference)

    def known(self, reference: str) -> ExperimentRow:
        if (row := self.resolve(reference)) is None:
            raise errors.NotFound(
                f"no experiment {reference!r} is here", code="experiment_not_found"
            )
        return row

    def writable(self, reference: str) -> ExperimentRow:
        """An experiment that takes new runs."""
        return _present(self.known(reference))

    def deleted(self) -> list[str]:
        return [row.id for row in self._by_id.values() if row.deleted_at is not None]

    def select(self, query: ExperimentQuery, activity: Activity) -> list[ExperimentRow]:
        """All that a query asks for, in its order, from behind its cursor on; `activity` where the order needs it."""
        key = _order(query.order.lstrip("-"), activity)
        backward = query.order.startswith("-")
        found = [row for row in self._by_id.values() if _matches(row, query)]
        found.sort(key=key, reverse=backward)
        if not query.cursor:
            return found
        if (last := self._by_id.get(query.cursor)) is None:
            raise errors.Invalid(
                "cursor: it is not the `next` of a page", code="bad_cursor", field="cursor"
            )
        after = key(last)
        return [row for row in found if (key(row) < after if backward else key(row) > after)]

    # Inside

    def _check_free(self, name: str) -> None:
        if (taken := self._by_name.get(name)) is None:
            return
        if taken.deleted_at is not None:
            raise errors.Conflict(
                f"an experiment named {name!r} was deleted: restore {taken.id}, or give it another name first",
                code="experiment_deleted",
            )
        raise errors.Conflict(
            f"an experiment named {name!r} exists already: {taken.id}", code="experiment_exists"
        )

    async def _insert(
        self, wanted: ExperimentCreate, kind: str, experiment_id: str = "", location: str = ""
    ) -> ExperimentRow:
        row = ExperimentRow(
            id=experiment_id or new_id(),
            name=wanted.name,
            kind=kind,
            description=wanted.description,
            tags=wanted.tags,
            created_at=time.time(),
            headline=wanted.headline,
            artifact_location=location,
        )
        await self._db.insert(row)
        self._remember(row)
        self._tell("experiment.created", row)
        return row

    async def _update(self, row: ExperimentRow) -> ExperimentRow:
        row = msgspec.structs.replace(row, updated_at=time.time())
        headline = msgspec.json.encode(row.headline).decode() if row.headline else None
        tags = msgspec.json.encode(row.tags).decode()
        await self._db.write(store.update_experiment, row, tags, headline)
        self._by_name.pop(self._by_id[row.id].name)
        self._remember(row)
        self._tell("experiment.changed", row)
        return row

    def _remember(self, row: ExperimentRow) -> None:
        self._by_name[row.name] = row
        self._by_id[row.id] = row


def _check_name(name: str, kind: str) -> None:
    if kind == "user" and name.startswith(RESERVED):
        raise errors.Invalid(
            f"name: those that begin with {RESERVED!r} are for this server's own experiments, which record its jobs",
            code="name_reserved",
            field="name",
        )


def _present(row: ExperimentRow) -> ExperimentRow:
    if row.deleted_at is not None:
        raise errors.Conflict(
            f"experiment {row.name!r} was deleted: restore {row.id} first",
            code="experiment_deleted",
        )
    return row


def _matches(row: ExperimentRow, query: ExperimentQuery) -> bool:
    if query.view != "all" and (row.deleted_at is None) != (query.view == "active"):
        return False
    if query.kind and row.kind != query.kind:
        return False
    if query.name.lower() not in row.name.lower():
        return False
    key, equals, value = query.tag.partition("=")
    return not key or (row.tags.get(key) == value if equals else key in row.tags)


def _order(name: str, activity: Activity) -> Callable[[ExperimentRow], tuple[Any, str]]:
    """The key to sort by; ids, which are in order of time, make each unique."""
    keys: dict[str, Callable[[ExperimentRow], Any]] = {
        "created": lambda row: "",
        "name": lambda row: row.name,
        "activity": lambda row: activity.get(row.id, (0, None))[1] or 0.0,
        "runs": lambda row: activity.get(row.id, (0, None))[0],
    }
    return lambda row: (keys[name](row), row.id)
