"""Runs that are made and reported over HTTP. What is written to is held in memory, so that a report is appends only.

A report goes into the tables of points, params and tags in one commit; the latest values are memory's, and the index
takes them in before it is next read. Ended runs take reports too (late tags, evaluation); deleted ones do not.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from gfedge import errors
from gfedge.db import Cursor, Database, Row, new_id
from gfedge.lineage.types import EdgeRow, edge
from gfedge.tracking import store
from gfedge.tracking.feed import Feed
from gfedge.tracking.index import RunIndex
from gfedge.tracking.types import (
    ENDED,
    ExperimentRow,
    Input,
    Latest,
    LogBatch,
    Logged,
    Made,
    MadeRow,
    MetricRow,
    ParamRow,
    Point,
    Run,
    RunCreate,
    RunPatch,
    RunRecord,
    RunRow,
    StaleRow,
    TagRow,
    shown,
)

MAX_KEYS = 10_000
"""Params, metrics or tags of one run."""
REMEMBERED = 2000
"""Runs in memory before the one that was longest left alone goes."""


class LiveRun:
    """A run in memory: what is committed of it, and who is at it."""

    __slots__ = ("lock", "record", "reported_at", "users")

    def __init__(self, record: RunRecord) -> None:
        self.record = record
        self.reported_at = record.created_at
        """When this server last heard of it."""
        self.lock = asyncio.Lock()
        self.users = 0


class Runs:
    """Makes and changes runs; each change is committed before memory shows it."""

    def __init__(self, db: Database, index: RunIndex, feed: Feed) -> None:
        self._db = db
        self._feed = feed
        self._index = index
        self._live: dict[str, LiveRun] = {}
        self._loading = asyncio.Lock()
        self.elsewhere: Callable[[str], RunRecord | None] = lambda run_id: None
        """Runs of jobs that have not ended: whoever runs those knows."""

    async def open(self) -> None:
        """Writes what follows from runs that were made right before a crash."""
        for row in await self._db.read(store.half_made):
            self._db.defer(*_following(row))
        await self._db.settle()

    async def create(
        self,
        experiment: ExperimentRow,
        wanted: RunCreate,
        now: float,
        *,
        run_id: str = "",
        kind: str = "user",
        user_id: str = "",
        also: Callable[[Cursor], list[Input]] | None = None,
    ) -> RunRecord:
        """A new run. `also` writes in the same commit what is made with it, and gives the datasets that it reads."""
        if wanted.parent_id:
            await self._check_parent(wanted.parent_id)
        run_id = run_id or new_id()
        started = wanted.started_at or (now if wanted.status == "running" else None)
        row = MadeRow(
            id=run_id,
            experiment_id=experiment.id,
            name=wanted.name or f"run {run_id[-12:]}",
            kind=kind,
            status=wanted.status,
            created_at=now,
            started_at=started,
            ended_at=None,
            parent_id=wanted.parent_id or None,
            source=wanted.source,
            user_id=user_id,
            made=Made(params=wanted.params, tags=wanted.tags),
        )
        inputs: list[Input] = []
        if also is None:
            await self._db.insert(row)
            self._db.defer(*_following(row))
        else:
            inputs = await self._db.write(_insert_with, [row, *_following(row)], also)
        record = RunRecord(
            **msgspec.structs.asdict(_row(row)),
            params=wanted.params,
            tags=wanted.tags,
            inputs=inputs,
        )
        self._remember(record)
        self._index.mark(record, new=True)
        self._feed.run("run.created", record)
        return record

    async def find(self, run_id: str) -> Run:
        if (unended := self.elsewhere(run_id)) is not None:
            return shown(unended)
        if (live := self._live.get(run_id)) is not None:
            return shown(live.record)
        if (found := await self._index.find(run_id)) is None:
            raise _unknown(run_id)
        return found

    async def change(
        self,
        run_id: str,
        wanted: RunPatch,
        now: float,
        *,
        also: Callable[[Cursor], None] = lambda cursor: None,
    ) -> RunRecord:
        """Changes a run; `also` writes in the same commit what changes with it."""
        async with self._held(run_id) as live, live.lock:
            record = _writable(live.record)
            values = _changed(record, wanted, now)
            gone, tags = _new_tags(record, {} if wanted.tags is UNSET else wanted.tags)
            after = msgspec.structs.replace(record, **values, tags=tags)
            new = {key: tags[key] for key in gone if key in tags}
            new |= {key: value for key, value in tags.items() if key not in record.tags}
            await self._update(live, after, gone, _rows(TagRow, run_id, new), also)
            return after

    async def delete(self, run_id: str, now: float) -> RunRecord:
        """Hides it from listings; its children stay."""
        return await self._set_deleted(run_id, now)

    async def restore(self, run_id: str) -> RunRecord:
        return await self._set_deleted(run_id, None)

    async def log(self, run_id: str, batch: LogBatch, now: float, *more: Row) -> Logged:
        """Records points, params and tags, and rows of others with them: all of them in one commit, or none."""
        async with self._held(run_id) as live:
            if batch.params or batch.tags or live.record.ended_at is not None:
                async with live.lock:
                    await self._log(live, batch, now, more)
            else:
                await self._log(live, batch, now, more)
        return Logged(
            run_id=run_id,
            points=len(batch.metrics),
            params=len(batch.params),
            tags=len(batch.tags),
        )

    @contextlib.asynccontextmanager
    async def written(self, run_id: str) -> AsyncIterator[LiveRun]:
        """The run, while something that belongs to it is written; it stays in memory that long."""
        async with self._held(run_id) as live:
            _writable(live.record)
            async with live.lock:
                yield live

    def show(self, live: LiveRun, record: RunRecord) -> None:
        """Takes up a change that is committed, and tells who listens."""
        ended = live.record.ended_at is None and record.ended_at is not None
        self._take(live, record)
        self._feed.run("run.ended" if ended else "run.changed", record)

    def last_reports(self) -> dict[str, float]:
        """When runs that are in memory were last heard of, by experiment: rows say when they began and ended alone."""
        found: dict[str, float] = {}
        for live in self._live.values():
            if live.record.deleted_at is None:
                experiment_id = live.record.experiment_id
                found[experiment_id] = max(live.reported_at, found.get(experiment_id, 0.0))
        return found

    def forget(self, run_ids: Collection[str]) -> None:
        """Runs that were removed."""
        for run_id in run_ids:
            self._live.pop(run_id, None)
        self._index.forget(run_ids)

    # Inside

    async def _log(self, live: LiveRun, batch: LogBatch, now: float, more: Sequence[Row]) -> None:
        record = _writable(live.record)
        params = _new_params(record, batch.params)
        gone, tags = _new_tags(record, batch.tags)
        latest = newest(batch.metrics, now)
        _check_counts(record, params, tags, latest)
        rows: list[Row] = [
            *points(record.id, batch.metrics, now),
            *_rows(ParamRow, record.id, params),
            *_rows(TagRow, record.id, {k: v for k, v in tags.items() if record.tags.get(k) != v}),
            *more,
        ]
        if record.ended_at is not None:
            rows.append(StaleRow(run_id=record.id))
        if gone:
            await self._db.write(store.write_tags, record.id, gone, rows)
        elif rows:
            await self._db.insert(*rows)
        # Others may have reported while this was written: what is new goes over what is there now.
        self._take(live, _merged(live.record, params, tags if batch.tags else None, latest))
        self._feed.logged(live.record, batch)

    def _take(self, live: LiveRun, record: RunRecord) -> None:
        live.record, live.reported_at = record, time.time()
        self._index.mark(record)

    async def _update(
        self,
        live: LiveRun,
        after: RunRecord,
        gone: list[str],
        rows: list[Row],
        also: Callable[[Cursor], None] = lambda cursor: None,
    ) -> None:
        if after.ended_at is not None:
            rows = [*rows, StaleRow(run_id=after.id)]

        def update(cursor: Cursor) -> None:
            store.update_run(cursor, _row(after), gone, rows)
            also(cursor)

        await self._db.write(update)
        values = {name: getattr(after, name) for name in RunRow.__struct_fields__}
        self.show(live, msgspec.structs.replace(live.record, **values, tags=after.tags))

    async def _set_deleted(self, run_id: str, at: float | None) -> RunRecord:
        async with self._held(run_id) as live, live.lock:
            if (live.record.deleted_at is None) != (at is None):
                after = msgspec.structs.replace(live.record, deleted_at=at)
                await self._update(live, after, [], [])
            return live.record

    async def _check_parent(self, parent_id: str) -> None:
        parent = await self._index.find(parent_id)
        if parent is None or parent.deleted_at is not None:
            raise errors.Invalid(
                f"parent_id: no run {parent_id!r} is here",
                code="parent_not_found",
                field="parent_id",
            )

    # Memory

    @contextlib.asynccontextmanager
    async def _held(self, run_id: str) -> AsyncIterator[LiveRun]:
        """The run in memory, where it stays for as long as it is held."""
        if (live := self._live.get(run_id)) is None:
            async with self._loading:
                if (live := self._live.get(run_id)) is None:
                    found = await self._db.read(store.records, [run_id])
                    if not found:
                        raise _unknown(run_id)
                    live = self._remember(found[0])
        live.users += 1
        try:
            yield live
        finally:
            live.users -= 1
            if self._live.pop(run_id, None) is not None:
                self._live[run_id] = live

    def _remember(self, record: RunRecord) -> LiveRun:
        live = self._live[record.id] = LiveRun(record)
        if len(self._live) > REMEMBERED:
            for run_id, other in self._live.items():
                if not other.users and other is not live:
                    del self._live[run_id]
                    break
        return live


# Rules


def newest(reported: Iterable[Point], now: float) -> dict[str, Latest]:
    """The latest point of each metric: of the highest step, then time, then value."""
    found: dict[str, Latest] = {}
    for point in reported:
        at = now if point.logged_at is None else point.logged_at
        latest = found.get(point.key)
        if latest is None or (point.step, at) >= (latest.step, latest.logged_at):
            found[point.key] = later(latest, Latest(point.value, point.step, at))
    return found


def later(one: Latest | None, other: Latest) -> Latest:
    """Of two points the one that counts; of two at the same step and time the higher, NaN above all."""
    if one is None or (other.step, other.logged_at) > (one.step, one.logged_at):
        return other
    if (other.step, other.logged_at) < (one.step, one.logged_at) or one.value == "NaN":
        return one
    return other if other.value == "NaN" or float(other.value) >= float(one.value) else one


def points(run_id: str, reported: Iterable[Point], now: float) -> list[MetricRow]:
    return [
        MetricRow(
            run_id=run_id,
            key=point.key,
            value=float(point.value),
            step=point.step,
            logged_at=now if point.logged_at is None else point.logged_at,
        )
        for point in reported
    ]


def _new_params(record: RunRecord, params: dict[str, str]) -> dict[str, str]:
    """Those that the run has not yet; a param never changes its value."""
    for key, value in params.items():
        if record.params.get(key, value) != value:
            raise errors.Conflict(
                f"param {key!r} of this run is {record.params[key]!r} already, and params do not change",
                code="param_exists",
                field=f"params.{key}",
            )
    return {key: value for key, value in params.items() if key not in record.params}


def _new_tags(
    record: RunRecord, wanted: dict[str, str | None] | dict[str, str]
) -> tuple[list[str], dict[str, str]]:
    """Keys of tags whose present value goes, and all tags as they are then."""
    gone = [k for k, v in wanted.items() if k in record.tags and record.tags[k] != v]
    tags = {k: v for k, v in {**record.tags, **wanted}.items() if v is not None}
    return gone, tags


def _merged(
    record: RunRecord,
    params: dict[str, str],
    tags: dict[str, str] | None,
    latest: dict[str, Latest],
) -> RunRecord:
    metrics = {key: later(record.metrics.get(key), found) for key, found in latest.items()}
    return msgspec.structs.replace(
        record,
        params={**record.params, **params} if params else record.params,
        tags=record.tags if tags is None else tags,
        metrics={**record.metrics, **metrics},
    )


def _check_counts(
    record: RunRecord, params: dict[str, str], tags: dict[str, str], latest: dict[str, Latest]
) -> None:
    counts = {
        "params": len(record.params) + len(params),
        "tags": len(tags),
        "metrics": len(record.metrics.keys() | latest.keys()),
    }
    for what, count in counts.items():
        if count > MAX_KEYS:
            raise errors.Invalid(
                f"{what}: a run has at most {MAX_KEYS} of them", code="too_many_keys", field=what
            )


def _changed(record: RunRecord, wanted: RunPatch, now: float) -> dict[str, Any]:
    """The fields of a run that a PATCH sets."""
    values: dict[str, Any] = {} if wanted.name is UNSET else {"name": wanted.name}
    status = record.status if wanted.status is UNSET else wanted.status
    if status in ENDED:
        ended = record.ended_at if record.ended_at is not None else now
        values["ended_at"] = ended if wanted.ended_at is UNSET else wanted.ended_at
    elif wanted.ended_at is not UNSET:
        raise errors.Invalid(
            f"ended_at: the run would be {status}; end it with a status of {', '.join(ENDED)}",
            field="ended_at",
        )
    else:
        values["ended_at"] = None
    if status == "running" and record.started_at is None:
        values["started_at"] = now
    return {**values, "status": status}


def _writable(record: RunRecord) -> RunRecord:
    if record.deleted_at is not None:
        raise errors.Conflict(f"run {record.id} was deleted: restore it first", code="run_deleted")
    return record


def _unknown(run_id: str) -> errors.NotFound:
    return errors.NotFound(f"no run {run_id!r} is here", code="run_not_found")


def _row(record: RunRow) -> RunRow:
    return RunRow(**{name: getattr(record, name) for name in RunRow.__struct_fields__})


def _rows(kind: type[ParamRow] | type[TagRow], run_id: str, values: dict[str, str]) -> list[Any]:
    return [kind(run_id=run_id, key=key, value=value) for key, value in values.items()]


def _insert_with(
    cursor: Cursor, rows: list[Row], also: Callable[[Cursor], list[Input]]
) -> list[Input]:
    store.insert(cursor, rows)
    return also(cursor)


def _following(row: MadeRow) -> list[Row]:
    """What follows from a run: its params and tags, and edges to where it belongs and from the code that it ran."""
    return [
        *_rows(ParamRow, row.id, row.made.params),
        *_rows(TagRow, row.id, row.made.tags),
        *_edges(row),
    ]


def _edges(row: RunRow) -> list[EdgeRow]:
    at = row.created_at
    found = [edge(("run", row.id), "belongs_to", ("experiment", row.experiment_id), at)]
    if row.source is not None and row.source.commit:
        found.append(edge(("commit", row.source.commit), "ran", ("run", row.id), at))
    return found
