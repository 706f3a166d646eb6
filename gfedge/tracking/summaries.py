"""What the runs of an experiment come to: how many, the last sign of life, the best value of its headline metric."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from gfedge.db import Cursor
from gfedge.tracking import query
from gfedge.tracking.asked import Columns
from gfedge.tracking.filter import Key
from gfedge.tracking.types import Best, ExperimentRow, Headline, RunRecord


class Summary(msgspec.Struct, frozen=True):
    headline: Headline | None = None
    """What its best is judged by."""
    runs: int = 0
    last_at: float | None = None
    best: Best | None = None


def read(
    cursor: Cursor,
    wanted: Sequence[ExperimentRow],
    without: list[str],
    numbers: Mapping[str, int],
    columns: Columns,
) -> dict[str, Summary]:
    """Of what the index holds, some runs left out; one statement for the experiments of one headline metric."""
    by_metric: dict[str, list[ExperimentRow]] = {}
    for row in wanted:
        by_metric.setdefault(row.headline.metric if row.headline else "", []).append(row)
    found = {row.id: Summary(row.headline) for row in wanted}
    for metric, rows in by_metric.items():
        args: list[object] = [[row.id for row in rows], without]
        value = columns.get(Key("metrics", metric), "null::double")
        if value not in columns.values() and metric:
            value = "list_extract(metric_values, list_position(metric_keys, $3::integer))"
            args.append(numbers.get(metric, query.UNKNOWN))
        found |= _of_metric(cursor, rows, value, args)
    return found


def _of_metric(
    cursor: Cursor, wanted: list[ExperimentRow], value: str, args: list[object]
) -> dict[str, Summary]:
    found = cursor.execute(
        f"""
        with v as (
            select experiment_id, id, coalesce(ended_at, created_at) as seen_at, {value} as value
            from run_index where deleted_at is null
              and experiment_id in (select unnest($1::varchar[]))
              and id not in (select unnest($2::varchar[]))
        )
        select experiment_id, count(*), max(seen_at),
               arg_min(id, value) filter (isfinite(value)), min(value) filter (isfinite(value)),
               arg_max(id, value) filter (isfinite(value)), max(value) filter (isfinite(value))
        from v group by experiment_id
        """,  # noqa: S608 - names of our own
        args,
    ).fetchall()
    headlines = {row.id: row.headline for row in wanted}
    return {
        experiment_id: Summary(
            headline := headlines[experiment_id],
            count,
            at,
            _best(headline, *((low, least) if _is_min(headline) else (high, most))),
        )
        for experiment_id, count, at, low, least, high, most in found
    }


def with_runs(
    found: Sequence[Summary], wanted: Sequence[ExperimentRow], records: Iterable[RunRecord]
) -> list[Summary]:
    """With runs that were left out, each in its experiment."""
    by_experiment: dict[str, list[RunRecord]] = {}
    for record in records:
        if record.deleted_at is None:
            by_experiment.setdefault(record.experiment_id, []).append(record)
    pairs = zip(found, wanted, strict=True)
    return [add(one, by_experiment.get(row.id, ())) for one, row in pairs]


def add(found: Summary, records: Iterable[RunRecord]) -> Summary:
    headline, runs, last, best = found.headline, found.runs, found.last_at, found.best
    for record in records:
        at = record.created_at if record.ended_at is None else record.ended_at
        runs, last = runs + 1, at if last is None else max(last, at)
        best = _better(headline, best, _best_of(headline, record))
    return Summary(headline, runs, last, best)


def _best_of(headline: Headline | None, record: RunRecord) -> Best | None:
    latest = record.metrics.get(headline.metric) if headline else None
    value = float(latest.value) if latest else math.nan
    return _best(headline, record.id, value) if math.isfinite(value) else None


def _best(headline: Headline | None, run_id: str | None, value: float) -> Best | None:
    return Best(run_id=run_id, value=value) if headline and run_id is not None else None


def _better(headline: Headline | None, one: Best | None, other: Best | None) -> Best | None:
    if one is None or other is None:
        return one or other
    return other if (other.value < one.value) == _is_min(headline) else one


def _is_min(headline: Headline | None) -> bool:
    return headline is not None and headline.goal == "min"
