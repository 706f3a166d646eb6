"""The index of runs: what filters and listings read, brought up to date before each of them (docs: 0002 migration).

Runs are written to their own tables by plain appends, many callers to a commit. The index is derived from those: one
row a run, with the latest value of every metric, refreshed by one writer at a time for all who wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from gfedge.db import Cursor, Database
from gfedge.tasks import Tasks
from gfedge.tracking import query, store
from gfedge.tracking.filter import Query
from gfedge.tracking.types import RunRecord

CHUNK = 1000
"""Runs that one commit takes in."""
MANY = 500
"""Changed runs after which the index is refreshed though nobody asks."""
SECONDS = 5.0
"""Between refreshes that nobody asked for."""

Found = list[tuple[RunRecord, query.Position]]

_decoder = msgspec.json.Decoder(RunRecord)


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
        self.live: Callable[[str], RunRecord | None] = lambda run_id: None
        """A run in memory, which is newer than its rows."""

    async def open(self) -> None:
        self._upto, self._numbers = await self._db.read(state)
        self._changed.update(await self._db.read(store.unended))
        if await self._db.read(any_stale):
            await self._settle()
        self._tasks.every("refresh the index of runs", SECONDS, self.refresh)

    async def close(self) -> None:
        await self._tasks.stop()
        await self._settle()

    async def _settle(self) -> None:
        """Takes in all changes while nobody makes any, so that none has to be remembered."""
        await self.refresh()
        await self._db.write(forget_stale)

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

    async def search(self, wanted: Query, scope: query.Scope, digest: str) -> Found:
        """A page of runs and one more, each with its position."""
        await self._catch_up()
        return await self._db.read(page, wanted, scope, self._numbers, digest)

    async def best(self, wanted: Sequence[tuple[str, str, str]]) -> dict[str, tuple[str, float]]:
        """The best run and its value by experiment; `wanted` is (experiment, metric, goal)."""
        await self._catch_up()
        numbered = [
            (e, self._numbers.get(metric, query.UNKNOWN), goal) for e, metric, goal in wanted
        ]
        return await self._db.read(store.best, numbered)

    async def find(self, run_id: str) -> RunRecord | None:
        """One run: from memory, from the index, or from where it was written."""
        if (live := self.live(run_id)) is not None:
            return live
        if not self.is_changed(run_id):
            found = await self._db.read(one, run_id)
            if found is not None:
                return found
        records = await self._db.read(store.records, [run_id])
        return records[0] if records else None

    # Inside

    async def _catch_up(self) -> None:
        if self._changed or await self._db.read(newest_number) > self._upto:
            await self.refresh()

    async def _take_in(self) -> None:
        changed, self._changed = self._changed, set()
        try:
            await self._rewrite(changed)
            while len(new := await self._db.read(recorded_after, self._upto, CHUNK)) > 0:
                await self._write(new, False)
                self._upto = max(new.values())
        except BaseException:
            self._changed |= changed
            raise

    async def _rewrite(self, changed: set[str]) -> None:
        ids = sorted(changed)
        for begin in range(0, len(ids), CHUNK):
            chunk = ids[begin : begin + CHUNK]
            await self._write(await self._db.read(recorded_among, chunk, self._upto), True)

    async def _write(self, numbers: dict[str, int], replacing: bool) -> None:
        """Writes the rows of these runs (number by id) anew, from memory where they are there."""
        away = [run_id for run_id in numbers if self.live(run_id) is None]
        records = {r.id: r for r in await self._db.read(store.records, away)} if away else {}
        await self._learn(
            {key for record in self._newest(numbers, records) for key in _names(record)}
        )
        # What changed while that was read and written is in memory now; its new keys wait for the next refresh.
        rows = [
            _row(numbers[record.id], record, self._numbers)
            for record in self._newest(numbers, records)
        ]
        await self._db.write(put, rows, replacing)

    def _newest(self, ids: Iterable[str], records: dict[str, RunRecord]) -> list[RunRecord]:
        return [self.live(run_id) or records[run_id] for run_id in ids]

    async def _learn(self, names: Iterable[str]) -> None:
        """Numbers for keys that were never seen before, in a commit of their own."""
        if unknown := sorted(name for name in names if name not in self._numbers):
            self._numbers |= await self._db.write(number_keys, unknown)


# Functions of a cursor

COLUMNS = (
    *("number", "id", "experiment_id", "name", "kind", "status", "parent_id", "commit"),
    *("created_at", "started_at", "ended_at", "deleted_at"),
    *("param_keys", "param_values", "tag_keys", "tag_values", "metric_keys", "metric_values"),
    "record",
)


def state(cursor: Cursor) -> tuple[int, dict[str, int]]:
    """The highest number in the index, and the numbers of keys."""
    ((upto,),) = cursor.execute("select coalesce(max(number), 0) from run_index").fetchall()
    found = cursor.execute("select key, number from index_keys").fetchall()
    return int(upto), {str(key): int(value) for key, value in found}


def newest_number(cursor: Cursor) -> int:
    ((newest,),) = cursor.execute("select coalesce(max(number), 0) from runs").fetchall()
    return int(newest)


def recorded_after(cursor: Cursor, upto: int, limit: int) -> dict[str, int]:
    found = cursor.execute(
        "select id, number from runs where number > $1 order by number limit $2", [upto, limit]
    ).fetchall()
    return {str(run_id): int(number) for run_id, number in found}


def recorded_among(cursor: Cursor, ids: list[str], upto: int) -> dict[str, int]:
    """Those of these runs that the index holds, or should."""
    found = cursor.execute(
        "select id, number from runs where list_contains($1, id) and number <= $2", [ids, upto]
    ).fetchall()
    return {str(run_id): int(number) for run_id, number in found}


def number_keys(cursor: Cursor, unknown: list[str]) -> dict[str, int]:
    """Gives numbers to keys that have none yet."""
    cursor.execute(
        """
        insert into index_keys
        select (select coalesce(max(number), 0) from index_keys) + row_number() over (order by key), key
        from (select unnest($1::varchar[]) as key) where key not in (select key from index_keys)
        """,
        [unknown],
    )
    found = cursor.execute(
        "select key, number from index_keys where list_contains($1, key)", [unknown]
    ).fetchall()
    return {str(key): int(number) for key, number in found}


def put(cursor: Cursor, rows: list[list[object]], replacing: bool) -> None:
    """Writes index rows, in the place of older ones of the same runs."""
    if replacing:
        cursor.execute(
            "delete from run_index where list_contains($1, number)", [[row[0] for row in rows]]
        )
    if rows:
        with cursor.appender("run_index", columns=list(COLUMNS)) as appender:
            appender.append_rows(rows)


def any_stale(cursor: Cursor) -> bool:
    return bool(cursor.execute("select 1 from index_stale limit 1").fetchall())


def forget_stale(cursor: Cursor) -> None:
    cursor.execute("delete from index_stale")


def one(cursor: Cursor, run_id: str) -> RunRecord | None:
    found = cursor.execute("select record from run_index where id = $1", [run_id]).fetchall()
    return _decoder.decode(found[0][0]) if found else None


def page(
    cursor: Cursor, wanted: Query, scope: query.Scope, numbers: Mapping[str, int], digest: str
) -> Found:
    """Newest-first pages are sought among the last runs recorded, and everywhere where those do not fill one."""
    plain = wanted == Query() and scope.experiments is None and scope.view == "active"
    found = _page(cursor, wanted, scope, numbers, digest, plain)
    if plain and len(found) <= scope.limit:
        found = _page(cursor, wanted, scope, numbers, digest, False)
    return found


def _page(
    cursor: Cursor,
    wanted: Query,
    scope: query.Scope,
    numbers: Mapping[str, int],
    digest: str,
    windowed: bool,
) -> Found:
    text, values = query.statement(wanted, scope, numbers, windowed)
    found = cursor.execute(text, values).fetchall()
    return [
        (_decoder.decode(record), _position(digest, run_id, number, wanted, values))
        for record, run_id, number, *values in found
    ]


def _position(
    digest: str, run_id: str, number: int, wanted: Query, values: list[object]
) -> query.Position:
    keys = [query.key_of(order, value) for order, value in zip(wanted.order, values, strict=True)]
    return query.Position(digest=digest, id=run_id, number=number, keys=keys)


def _names(record: RunRecord) -> set[str]:
    return {*record.params, *record.tags, *record.metrics}


def _row(number: int, record: RunRecord, numbers: Mapping[str, int]) -> list[object]:
    """The columns of a run, in the order of COLUMNS."""
    metrics = {key: float(found.value) for key, found in record.metrics.items()}
    return [
        *(number, record.id, record.experiment_id, record.name, record.kind, record.status),
        *(record.parent_id, record.source.commit if record.source else None),
        *(record.created_at, record.started_at, record.ended_at, record.deleted_at),
        *_lists(record.params, numbers),
        *_lists(record.tags, numbers),
        *_lists(metrics, numbers),
        msgspec.json.encode(record).decode(),
    ]


def _lists(
    values: Mapping[str, object], numbers: Mapping[str, int]
) -> tuple[list[int], list[object]]:
    """Keys as numbers, and their values; a key without a number was just made and comes with the next refresh."""
    known = {numbers[key]: value for key, value in values.items() if key in numbers}
    return list(known), list(known.values())
