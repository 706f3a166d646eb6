"""The history of a metric: page by page, or as a picture of bounded size that keeps every stretch's extremes."""

from __future__ import annotations

import base64
import math

import msgspec

from gfedge import errors
from gfedge.db import Cursor
from gfedge.tracking.types import History, HistoryQuery, Number, number

Point = tuple[int, float, float]
"""Step, time, value."""

POINTS = """
    select step, logged_at, value from metrics
    where run_id = $1 and key = $2 and {axis} >= $3 and {axis} <= $4
"""
AXES = {"step": "step", "time": "logged_at"}


def read(cursor: Cursor, run_id: str, key: str, query: HistoryQuery) -> History:
    """What a query asks for of one metric; an empty history where the run has no such metric."""
    following, sampled = None, False
    if not query.points:
        found, total, following = _page(cursor, run_id, key, query)
    elif (few := _few(cursor, run_id, key, query)) is not None:
        found, total = few, len(few)
    else:
        found, sampled = _picture(cursor, run_id, key, query), True
        total = _count(cursor, run_id, key, query)
    return History(
        next=following,
        run_id=run_id,
        key=key,
        total=total,
        sampled=sampled,
        steps=[step for step, _, _ in found],
        times=[at for _, at, _ in found],
        values=[number(value) for _, _, value in found],
    )


RunPoint = tuple[str, int, float, float]
"""Run, step, time, value."""


def by_time(cursor: Cursor, run_ids: list[str], key: str, limit: int) -> list[RunPoint]:
    """Points of a metric by run, time, step and value; one sent twice counts once."""
    return cursor.execute(
        """
        select distinct run_id, step, logged_at, value from metrics
        where list_contains($1, run_id) and key = $2
        order by run_id, logged_at, step, value limit $3
        """,
        [run_ids, key, limit],
    ).fetchall()


def after(
    cursor: Cursor, run_id: str, key: str, last: Point | None, limit: int | None
) -> list[Point]:
    """Points of one run by time, step and value from behind one on; one sent twice counts once."""
    step, at, value = last or (0, -1.0, 0.0)
    return cursor.execute(
        """
        select distinct step, logged_at, value from metrics
        where run_id = $1 and key = $2 and logged_at >= $3 and (logged_at, step, value) > ($3, $4::bigint, $5)
        order by logged_at, step, value limit $6
        """,
        [run_id, key, at, step, value, limit],
    ).fetchall()


def sampled(
    cursor: Cursor, run_id: str, key: str, count: int, steps: tuple[int, int]
) -> list[RunPoint]:
    """At most so many points of a run, evenly by their order; the first and the last are among them."""
    found = cursor.execute(
        """
        with p as (
            select distinct step, logged_at, value from metrics
            where run_id = $1 and key = $2 and step between $3 and $4
        ), n as (
            select *, ntile($5) over w as bucket, row_number() over w as number, count(*) over () as total
            from p window w as (order by step, logged_at, value)
        )
        select step, logged_at, value from n
        where number = total or number in (select min(number) from n group by bucket) order by number
        """,
        [run_id, key, *steps, count],
    ).fetchall()
    if len(found) > count:  # the last point comes in the place of the last one of the sample
        del found[-2]
    return [(run_id, *point) for point in found]


def _page(
    cursor: Cursor, run_id: str, key: str, query: HistoryQuery
) -> tuple[list[Point], int, str | None]:
    """By step, time and value, so that the page after this one begins where it ended, whatever comes in between.

    A point sent twice counts once, so a client may send a report again that was not answered.
    """
    after, limit = _after(query.cursor), query.limit
    text = f"""
        with p as (select distinct * from ({_points(query)}))
        select step, logged_at, value, (select count(*) from p) from p
        where $5 or (step, logged_at, value) > ($6::bigint, $7::double, $8::double)
        order by step, logged_at, value limit $9
    """  # noqa: S608 - constant fragments
    last = after or (0, 0.0, 0.0)
    bounds = [*_bounds(run_id, key, query), after is None, *last, limit + 1]
    found = cursor.execute(text, bounds).fetchall()
    page = [(int(step), float(at), float(value)) for step, at, value, _ in found[:limit]]
    total = int(found[0][3]) if found else 0
    return page, total, _cursor(page[-1]) if len(found) > limit else None


def _few(cursor: Cursor, run_id: str, key: str, query: HistoryQuery) -> list[Point] | None:
    """All points, read in one go, where they are no more than a picture may have; None where they are."""
    text = f"""
        with p as materialized ({_points(query)} limit $5)
        select distinct step, logged_at, value, (select count(*) from p) from p order by step, logged_at, value
    """  # noqa: S608 - constant fragments
    bounds = [*_bounds(run_id, key, query), query.points + 1]
    found = cursor.execute(text, bounds).fetchall()
    if found and found[0][3] > query.points:
        return None
    return [_point(values[:3]) for values in found]


def _points(query: HistoryQuery) -> str:
    return POINTS.format(axis=AXES[query.by])


def _bounds(run_id: str, key: str, query: HistoryQuery) -> list[object]:
    start = -math.inf if query.start is None else query.start
    return [run_id, key, start, math.inf if query.end is None else query.end]


def _count(cursor: Cursor, run_id: str, key: str, query: HistoryQuery) -> int:
    text = f"select count(*) from ({_points(query)})"  # noqa: S608 - constant fragments
    ((count,),) = cursor.execute(text, _bounds(run_id, key, query)).fetchall()
    return int(count)


def _picture(cursor: Cursor, run_id: str, key: str, query: HistoryQuery) -> list[Point]:
    """The first and the last point, and of each of equal stretches the lowest and the highest; no NaN."""
    stretches = max((query.points - 2) // 2, 1)
    text = f"""
        with p as (
            select *, {AXES[query.by]}::double as x from ({_points(query)}) where not isnan(value)
        ), e as (
            select min(x) as low, max(x) as high, arg_min((step, logged_at, value), x) as first,
                   arg_max((step, logged_at, value), x) as last from p
        ), s as (
            select *, least(floor((x - low) / nullif(high - low, 0) * $5), $5 - 1) as n from p, e
        )
        select arg_min((step, logged_at, value), value), arg_max((step, logged_at, value), value) from s group by n
        union all select first, last from e where first is not null
    """  # noqa: S608 - constant fragments
    found = cursor.execute(text, [*_bounds(run_id, key, query), stretches]).fetchall()
    return sorted({_point(one) for row in found for one in row})[: query.points]


def _point(values: tuple[int, float, float]) -> Point:
    step, at, value = values
    return int(step), float(at), float(value)


def _after(cursor: str) -> tuple[int, float, float] | None:
    if not cursor:
        return None
    try:
        step, at, value = msgspec.json.decode(
            base64.urlsafe_b64decode(cursor), type=tuple[int, float, Number]
        )
    except (ValueError, msgspec.MsgspecError):
        raise errors.Invalid(
            "cursor: it is not the `next` of a page", code="bad_cursor", field="cursor"
        ) from None
    return step, at, float(value)


def _cursor(point: Point) -> str:
    step, at, value = point
    return base64.urlsafe_b64encode(msgspec.json.encode((step, at, number(value)))).decode()
