"""The index of runs: what filters and listings read (migration 0002), with what changed since it was written from memory.

Runs are written to their own tables by plain appends, many callers to a commit. The index is derived from those: one
row a run, with the latest value of every metric. It is written every few seconds, for all who changed a run meanwhile;
until then their runs are read from memory, so that who was told that a run is recorded finds it, and no reader waits
for a commit.
"""

from __future__ import annotations

import asyncio
import bisect
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from gfedge import errors
from gfedge.db import Cursor, Database, DatabaseFailed
from gfedge.tasks import Tasks
from gfedge.tracking import asked, matching, query, store, summaries
from gfedge.tracking.asked import Columns, assigned, fill, values
from gfedge.tracking.filter import Key, Query
from gfedge.tracking.summaries import Summary
from gfedge.tracking.texts import Texts
from gfedge.tracking.types import ExperimentRow, Number, Run, RunRecord, RunTexts, number, shown

log = logging.getLogger(__name__)

CHUNK = 1000
"""Runs that one commit takes in."""
MANY = 200
"""Changed runs after which the index is written at once."""
SECONDS = 2.0
"""Between two writings of the index."""
FENCE = 512
"""Runs between two ids that bound where a page newest first is sought."""

_decoder = msgspec.json.Decoder(Run)


class RunIndex:
    """Knows what changed since the index was written, and searches in both."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._tasks = Tasks()
        self._lock = asyncio.Lock()
        self._pending: dict[str, RunRecord] = {}
        self._behind = True
        """Whether runs from before the start may be missing."""
        self._closing = False
        self._version = 0
        self._numbers: dict[str, int] = {}
        self._columns: dict[Key, str] = {}
        self._texts = Texts()
        self._fences: list[str] = []
        self._summaries: dict[str, Summary] = {}
        self._forgotten = 0
        """Counts what made summaries untrue."""

    async def open(self) -> None:
        self._version, self._numbers = await self._db.read(state)
        if stale := await self._db.read(store.stale):
            await self._write({}, stale)
            await self._db.write(store.forget_stale)
        self._tasks.spawn("index the runs from before", self._catch_up())
        self._tasks.every("write the index of runs", SECONDS, self.refresh)

    async def close(self) -> None:
        """Writes what changed; what is still missing from before, the next start finds."""
        self._closing = True
        async with self._lock:
            await self._tasks.stop()
        if self._behind:
            return
        try:
            await self.refresh()
            if not self._pending:
                await self._db.write(store.forget_stale)
        except (errors.NoSpace, errors.Unavailable) as failure:
            log.warning("the index of runs is written at the next start: %s", failure)

    def mark(self, record: RunRecord, *, new: bool = False) -> None:
        """This run changed; its change is committed, or deferred. A new one is in no summary yet."""
        if not new and record.id not in self._pending:
            self._forget_summaries([record.experiment_id])
        self._pending[record.id] = record
        if len(self._pending) == MANY:
            self._tasks.spawn("write the index of runs", self.refresh())

    def forget(self, run_ids: Iterable[str]) -> None:
        """Runs that were removed."""
        for run_id in run_ids:
            self._pending.pop(run_id, None)
        self._forget_summaries(list(self._summaries))

    async def refresh(self) -> None:
        """Writes what changed."""
        if self._behind or not self._pending:
            return
        async with self._lock:
            changed = list(self._pending.values())
            await self._db.settle()
            for at in range(0, len(changed), CHUNK):
                await self._write({record.id: record for record in changed[at : at + CHUNK]}, [])
            await self._extend_fences()

    async def search(
        self, wanted: Query, scope: query.Scope, digest: str
    ) -> tuple[RunTexts, query.Position | None]:
        """A page of runs, and where it ends if there are more."""
        if self._behind:
            await self._catch_up()
        if self._pending and not matching.decidable(wanted):
            await self.refresh()
        await self._give_columns(query.keys(wanted))
        known = (self._numbers, self._columns, self._texts)
        # Looked at before the database is: what is written meanwhile is in one of the two.
        pending = list(self._pending.values())
        if wanted == Query() and scope.experiments is None:
            near = msgspec.structs.replace(scope, since=self._fence(scope.after))
            found = await self._db.peek(page, wanted, near, digest, pending, *known)
            if found[1] is not None or not near.since:
                return found
        return await self._db.peek(page, wanted, scope, digest, pending, *known)

    async def summaries(self, wanted: Sequence[ExperimentRow]) -> list[Summary]:
        """What the runs of experiments come to; read once, and again when one of them is written anew."""
        if self._behind:
            await self._catch_up()
        await self._give_columns({Key("metrics", r.headline.metric) for r in wanted if r.headline})
        kept = self._summaries
        missing = [r for r in wanted if r.id not in kept or kept[r.id].headline != r.headline]
        # What was kept, and what a reading gives, leave out the runs that are pending at this moment.
        found, pending, forgotten = dict(kept), list(self._pending.values()), self._forgotten
        if missing:
            without, known = [record.id for record in pending], (self._numbers, self._columns)
            read = await self._db.peek(summaries.read, missing, without, *known)
            found |= read
            if forgotten == self._forgotten:
                kept |= read
        return summaries.with_runs([found[row.id] for row in wanted], wanted, pending)

    async def find(self, run_id: str) -> Run | None:
        """One run: from memory, from the index, or from where it was written."""
        if (changed := self._pending.get(run_id)) is not None:
            return shown(changed)
        if not self._behind and (found := await self._db.peek(one, run_id)) is not None:
            return found
        return await self._db.read(store.find_run, run_id)

    # Inside

    async def _catch_up(self) -> None:
        """Takes in the runs that the last server did not, before the first search."""
        async with self._lock:
            if not self._behind:
                return
            ids = await self._db.read(store.unindexed)
            while ids and not self._closing:
                chunk, ids = ids[:CHUNK], ids[CHUNK:]
                await self._write({}, [run_id for run_id in chunk if run_id not in self._pending])
            if ids:
                raise DatabaseFailed("the server is stopping")
            await self._extend_fences()
            self._behind = False

    async def _write(self, changed: Mapping[str, RunRecord], away: list[str]) -> None:
        """Writes rows of runs: `changed` as they are here, `away` as they are in the database."""
        taken = await self._db.write(
            take_in, changed, away, self._version, self._numbers, self._columns
        )
        self._numbers = self._numbers | taken.numbers
        self._version += len(taken.texts)
        self._texts.keep(taken.texts)
        for run_id, record in changed.items():
            if run_id in taken.experiments and self._pending.get(run_id) is record:
                del self._pending[run_id]
        self._forget_summaries(taken.experiments.values())

    async def _give_columns(self, keys: set[Key]) -> None:
        """Columns for keys that are asked for the first time, while there are free ones."""
        if not assigned(keys, self._columns, self._numbers):
            return
        async with self._lock:
            if new := assigned(keys, self._columns, self._numbers):
                await self._db.write(fill, new, self._numbers)
                self._columns = {**self._columns, **new}

    async def _extend_fences(self) -> None:
        last = self._fences[-1] if self._fences else ""
        self._fences += await self._db.peek(fences, last)

    def _fence(self, after: query.Position | None) -> str:
        """An id so far below the beginning of a page that the page ends above it, as a rule."""
        at = len(self._fences) if after is None else bisect.bisect_left(self._fences, after.id)
        return self._fences[at - 2] if at >= 2 else ""

    def _forget_summaries(self, experiments: Iterable[str]) -> None:
        self._forgotten += 1
        for experiment_id in experiments:
            self._summaries.pop(experiment_id, None)


# Functions of a cursor

COLUMNS = (
    *("version", "id", "experiment_id", "name", "kind", "status", "parent_id", "commit"),
    *("created_at", "started_at", "ended_at", "deleted_at", "user_id"),
    *("param_keys", "param_values", "tag_keys", "tag_values", "metric_keys", "metric_values"),
    "run",
)


class Taken(msgspec.Struct, frozen=True):
    """What was written: texts by version, the experiment of each run, and the numbers of keys that were new."""

    texts: dict[int, bytes]
    experiments: dict[str, str]
    numbers: dict[str, int]


def state(cursor: Cursor) -> tuple[int, dict[str, int]]:
    """The highest version in the index, and the numbers of keys."""
    ((version,),) = cursor.execute("select coalesce(max(version), 0) from run_index").fetchall()
    found = cursor.execute("select key, number from index_keys").fetchall()
    return int(version), {str(key): int(value) for key, value in found}


def fences(cursor: Cursor, last: str) -> list[str]:
    """Some ids of the index from behind one on, ascending, as many runs apart."""
    found = cursor.execute("select id from run_index where id > $1 order by id", [last]).fetchall()
    return [str(run_id) for (run_id,) in found[FENCE - 1 :: FENCE]]


def take_in(
    cursor: Cursor,
    changed: Mapping[str, RunRecord],
    away: list[str],
    version: int,
    numbers: Mapping[str, int],
    columns: Columns,
) -> Taken:
    """Writes index rows of runs, those of removed ones excepted, with the versions that follow."""
    there = store.existing(cursor, list(changed))
    records = [*(changed[run_id] for run_id in there), *store.records(cursor, away)]
    keys = {key for record in records for key in _names(record)}
    new = number_keys(cursor, sorted(key for key in keys if key not in numbers))
    known = {**numbers, **new}
    texts = {
        at: msgspec.json.encode(shown(record)) for at, record in enumerate(records, version + 1)
    }
    rows = [
        [*_row(record, known, at, text.decode()), *values(record, columns)]
        for record, (at, text) in zip(records, texts.items(), strict=True)
    ]
    cursor.execute(
        "delete from run_index where id in (select unnest($1::varchar[]))",
        [[record.id for record in records]],
    )
    if rows:
        cursor.append("run_index", (*COLUMNS, *asked.COLUMNS), rows)
    return Taken(texts, {record.id: record.experiment_id for record in records}, new)


def number_keys(cursor: Cursor, unknown: list[str]) -> dict[str, int]:
    """Gives numbers to keys that have none yet."""
    if not unknown:
        return {}
    ((last,),) = cursor.execute("select coalesce(max(number), 0) from index_keys").fetchall()
    new = {key: int(last) + i for i, key in enumerate(unknown, 1)}
    cursor.execute(
        "insert into index_keys select unnest($1::integer[]), unnest($2::varchar[])",
        [list(new.values()), list(new)],
    )
    return new


def one(cursor: Cursor, run_id: str) -> Run | None:
    found = cursor.execute("select run from run_index where id = $1", [run_id]).fetchall()
    return _decoder.decode(found[0][0]) if found else None


def page(
    cursor: Cursor,
    wanted: Query,
    scope: query.Scope,
    digest: str,
    pending: Sequence[RunRecord],
    numbers: Mapping[str, int],
    columns: Columns,
    texts: Texts,
) -> tuple[RunTexts, query.Position | None]:
    """A page of the index, the runs of `pending` in their places in it, and where it ends if there are more."""
    statement = query.statement(wanted, scope, numbers, columns, 1 + len(pending))
    while True:
        found = _found(cursor.execute(*statement).fetchall(), wanted, scope, pending)
        shown_runs = found[: scope.limit]
        versions = [of for _, of in shown_runs if isinstance(of, int)]
        known = texts.read(cursor, versions)
        if len(known) == len(versions):
            break
    runs = [
        msgspec.Raw(known[of] if isinstance(of, int) else msgspec.json.encode(shown(of)))
        for _, of in shown_runs
    ]
    more = len(found) > len(runs)
    return RunTexts(runs=runs), _end(shown_runs[-1][0], digest) if more else None


Found = tuple[matching.Place, int | RunRecord]
"""A run in its place: the version of its row, or the run itself."""


def _found(
    rows: Sequence[tuple[Any, ...]],
    wanted: Query,
    scope: query.Scope,
    pending: Sequence[RunRecord],
) -> list[Found]:
    """Rows of the index without the runs that are pending, and those in their places."""
    changed = {record.id for record in pending}
    found: list[Found] = [
        (matching.place(values, run_id), version)
        for version, run_id, *values in rows
        if run_id not in changed
    ]
    matched = matching.matched(pending, wanted, scope)
    if matched:
        order = matching.sorting(wanted.order)
        found = sorted([*found, *matched], key=lambda one: order(one[0]))
    return found


def _end(last: matching.Place, digest: str) -> query.Position:
    keys = [(rank, _wire(value) if rank == 0 else None) for rank, value in last.keys]
    return query.Position(digest=digest, id=last.id, keys=keys)


def _wire(value: matching.Value) -> Number | str | None:
    return number(value) if isinstance(value, float) else value


def _names(record: RunRecord) -> set[str]:
    return {*record.params, *record.tags, *record.metrics}


def _row(record: RunRecord, numbers: Mapping[str, int], version: int, text: str) -> list[object]:
    """The columns of a run, in the order of COLUMNS."""
    metrics = {key: float(found.value) for key, found in record.metrics.items()}
    return [
        *(version, record.id, record.experiment_id, record.name, record.kind, record.status),
        *(record.parent_id, record.source.commit if record.source else None),
        *(record.created_at, record.started_at, record.ended_at, record.deleted_at, record.user_id),
        *_lists(record.params, numbers),
        *_lists(record.tags, numbers),
        *_lists(metrics, numbers),
        text,
    ]


def _lists(
    values: Mapping[str, object], numbers: Mapping[str, int]
) -> tuple[list[int], list[object]]:
    """Keys as numbers, and their values."""
    return [numbers[key] for key in values], list(values.values())
