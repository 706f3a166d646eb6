"""The index of runs: what filters and listings read, brought up to date before each of them (migration 0002).

Runs are written to their own tables by plain appends, many callers to a commit. The index is derived from those: one
row a run, with the latest value of every metric, refreshed by one writer at a time for all who wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec

from gfedge.db import Cursor, Database
from gfedge.tasks import Tasks
from gfedge.tracking import asked, query, store
from gfedge.tracking.asked import Columns, assigned, fill, values
from gfedge.tracking.filter import Key, Query
from gfedge.tracking.types import Run, RunRecord, RunTexts, shown

CHUNK = 1000
"""Runs that one commit takes in."""
MANY = 500
"""Changed runs after which the index is refreshed though nobody asks."""
SECONDS = 5.0
"""Between refreshes that nobody asked for."""

Live = Callable[[str], RunRecord | None]
"""A run in memory, which is newer than its rows; None where it is not there."""

_decoder = msgspec.json.Decoder(Run)


class RunIndex:
    """Knows what changed since the index was written, and searches in it."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._tasks = Tasks()
        self._lock = asyncio.Lock()
        self._begun = 0
        self._changed: set[str] = set()
        self._upto = 0
        self._numbers: dict[str, int] = {}
        self._columns: dict[Key, str] = {}
        self.live: Live = lambda run_id: None

    async def open(self) -> None:
        self._upto, self._numbers = await self._db.read(state)
        self._changed.update(await self._db.read(store.unended))
        if await self._db.read(any_stale):
            await self._settle()
        self._tasks.every("refresh the index of runs", SECONDS, self.refresh)

    async def close(self) -> None:
        await self._tasks.stop()
        await self._settle()

    def is_changed(self, run_id: str) -> bool:
        return run_id in self._changed

    def mark(self, run_id: str) -> None:
        """This run changed; its change is committed."""
        self._changed.add(run_id)
        if len(self._changed) == MANY:
            self._tasks.spawn("refresh the index of runs", self.refresh())

    async def refresh(self) -> None:
        """Brings in all that was committed before this call; those who wait together share one refresh."""
        seen = self._begun
        async with self._lock:
            if self._begun == seen:
                self._begun += 1
                await self._take_in()

    async def search(
        self, wanted: Query, scope: query.Scope, digest: str
    ) -> tuple[RunTexts, query.Position | None]:
        """A page of runs, and where it ends if there are more."""
        if self._changed:
            await self.refresh()
        await self._give_columns(query.keys(wanted))
        known = (self._numbers, self._columns)
        found = await self._db.read(page, wanted, scope, *known, digest, self._upto)
        if found is None:
            await self.refresh()
            known = (self._numbers, self._columns)
            found = await self._db.read(page, wanted, scope, *known, digest, 1 << 62)
        assert found is not None
        return found

    async def best(self, wanted: Sequence[tuple[str, str, str]]) -> dict[str, tuple[str, float]]:
        """The best run and its value by experiment; `wanted` is (experiment, metric, goal)."""
        if self._changed or await self._db.read(newest_number) > self._upto:
            await self.refresh()
        await self._give_columns({Key("metrics", metric) for _, metric, _ in wanted})
        return await self._db.read(best, wanted, self._numbers, self._columns)

    async def find(self, run_id: str) -> Run | None:
        """One run: from memory, from the index, or from where it was written."""
        if (live := self.live(run_id)) is not None:
            return shown(live)
        if not self.is_changed(run_id):
            found = await self._db.read(one, run_id)
            if found is not None:
                return found
        return await self._db.read(store.find_run, run_id)

    # Inside

    async def _give_columns(self, keys: set[Key]) -> None:
        """Columns for keys that are asked for the first time, while there are free ones."""
        if not assigned(keys, self._columns, self._numbers):
            return
        async with self._lock:
            if new := assigned(keys, self._columns, self._numbers):
                await self._db.write(fill, new, self._numbers)
                self._columns = {**self._columns, **new}

    async def _settle(self) -> None:
        """Takes in all changes while nobody makes any, so that none has to be remembered."""
        await self.refresh()
        await self._db.write(forget_stale)

    async def _take_in(self) -> None:
        changed, self._changed = self._changed, set()
        ids, full = sorted(changed), True
        try:
            while ids or full:
                chunk, ids = ids[:CHUNK], ids[CHUNK:]
                upto, numbers = await self._db.write(
                    take_in, chunk, self._upto, self._numbers, self._columns, self.live
                )
                full = upto - self._upto >= CHUNK
                self._upto, self._numbers = upto, self._numbers | numbers
        except BaseException:
            self._changed |= changed
            self._begun -= 1  # so that those who wait try it themselves
            raise


# Functions of a cursor

COLUMNS = (
    *("number", "id", "experiment_id", "name", "kind", "status", "parent_id", "commit"),
    *("created_at", "started_at", "ended_at", "deleted_at", "user_id"),
    *("param_keys", "param_values", "tag_keys", "tag_values", "metric_keys", "metric_values"),
    "run",
)


def state(cursor: Cursor) -> tuple[int, dict[str, int]]:
    """The highest number in the index, and the numbers of keys."""
    ((upto,),) = cursor.execute("select coalesce(max(number), 0) from run_index").fetchall()
    found = cursor.execute("select key, number from index_keys").fetchall()
    return int(upto), {str(key): int(value) for key, value in found}


def newest_number(cursor: Cursor) -> int:
    ((newest,),) = cursor.execute("select coalesce(max(number), 0) from runs").fetchall()
    return int(newest)


def take_in(
    cursor: Cursor,
    changed: list[str],
    upto: int,
    numbers: Mapping[str, int],
    columns: Columns,
    live: Live,
) -> tuple[int, dict[str, int]]:
    """Writes index rows of runs that changed and of the next that were recorded; gives the number up to which all are
    in, and the numbers of keys that were new."""
    reached = max(upto, min(newest_number(cursor), upto + CHUNK))
    found = cursor.execute(
        """
        select id, number from runs where number > $1 and number <= $2
        union select id, number from runs where list_contains($3, id) and number <= $1
        """,
        [upto, reached, changed],
    ).fetchall()
    if not found:
        return reached, {}
    wanted = {str(run_id): int(number) for run_id, number in found}
    records = {run_id: record for run_id in wanted if (record := live(run_id)) is not None}
    if away := [run_id for run_id in wanted if run_id not in records]:
        records |= {record.id: record for record in store.records(cursor, away)}
    keys = {key for record in records.values() for key in _names(record)}
    new = number_keys(cursor, sorted(key for key in keys if key not in numbers))
    known = {**numbers, **new}
    rows = [
        [*_row(wanted[run_id], record, known), *values(record, columns)]
        for run_id, record in records.items()
    ]
    if changed:
        cursor.execute(
            "delete from run_index where list_contains($1, number)", [list(wanted.values())]
        )
    names = [*COLUMNS, *asked.COLUMNS]
    with cursor.appender("run_index", columns=names) as appender:
        appender.append_rows(rows)
    return reached, new


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


def any_stale(cursor: Cursor) -> bool:
    return bool(cursor.execute("select 1 from index_stale limit 1").fetchall())


def forget_stale(cursor: Cursor) -> None:
    cursor.execute("delete from index_stale")


def one(cursor: Cursor, run_id: str) -> Run | None:
    found = cursor.execute("select run from run_index where id = $1", [run_id]).fetchall()
    return _decoder.decode(found[0][0]) if found else None


def page(
    cursor: Cursor,
    wanted: Query,
    scope: query.Scope,
    numbers: Mapping[str, int],
    columns: Columns,
    digest: str,
    upto: int,
) -> tuple[RunTexts, query.Position | None] | None:
    """A page, and where it ends if there are more; None where runs were recorded that the index has not.

    Newest-first pages are sought among the last runs recorded, and everywhere where those do not fill one.
    """
    if newest_number(cursor) > upto:
        return None
    plain = wanted == Query() and scope.experiments is None and scope.view == "active"
    found = cursor.execute(*query.statement(wanted, scope, numbers, columns, plain)).fetchall()
    if plain and len(found) <= scope.limit:
        found = cursor.execute(*query.statement(wanted, scope, numbers, columns)).fetchall()
    runs = [msgspec.Raw(row[0].encode()) for row in found[: scope.limit]]
    if len(found) <= scope.limit:
        return RunTexts(runs=runs), None
    _, run_id, number, *values = found[scope.limit - 1]
    keys = [query.key_of(order, value) for order, value in zip(wanted.order, values, strict=True)]
    end = query.Position(digest=digest, id=run_id, number=number, keys=keys)
    return RunTexts(runs=runs), end


def best(
    cursor: Cursor,
    wanted: Sequence[tuple[str, str, str]],
    numbers: Mapping[str, int],
    columns: Columns,
) -> dict[str, tuple[str, float]]:
    """The best run and its value by experiment: one statement for those that are judged by the same metric."""
    by_metric: dict[str, list[tuple[str, str]]] = {}
    for experiment_id, metric, goal in wanted:
        by_metric.setdefault(metric, []).append((experiment_id, goal))
    found: dict[str, tuple[str, float]] = {}
    for metric, judged in by_metric.items():
        column = columns.get(Key("metrics", metric))
        found |= store.best(cursor, judged, column, numbers.get(metric, query.UNKNOWN))
    return found


def _names(record: RunRecord) -> set[str]:
    return {*record.params, *record.tags, *record.metrics}


def _row(number: int, record: RunRecord, numbers: Mapping[str, int]) -> list[object]:
    """The columns of a run, in the order of COLUMNS."""
    metrics = {key: float(found.value) for key, found in record.metrics.items()}
    return [
        *(number, record.id, record.experiment_id, record.name, record.kind, record.status),
        *(record.parent_id, record.source.commit if record.source else None),
        *(record.created_at, record.started_at, record.ended_at, record.deleted_at, record.user_id),
        *_lists(record.params, numbers),
        *_lists(record.tags, numbers),
        *_lists(metrics, numbers),
        msgspec.json.encode(shown(record)).decode(),
    ]


def _lists(
    values: Mapping[str, object], numbers: Mapping[str, int]
) -> tuple[list[int], list[object]]:
    """Keys as numbers, and their values."""
    return [numbers[key] for key in values], list(values.values())
