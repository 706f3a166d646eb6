"""PromQL for frontends: over a range or at one time, here or at the Prometheus that is set, in Prometheus' form."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gfedge import errors
from gfedge.monitoring.external import External
from gfedge.monitoring.moments import duration, moment
from gfedge.monitoring.queries import Cancelled, Queries
from gfedge.monitoring.vitals import refused
from gfedge.promql.engine import Engine
from gfedge.promql.types import Aligned, Block, QueryError, Result, Vector

POINTS = 250
"""Steps of a range that names none."""
MOST_POINTS = 11_000


Source = Annotated[
    Literal["internal", "external"],
    Meta(description="external asks the Prometheus of PROMETHEUS_URL."),
]


class PromQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """PromQL at one time (`time`), or over a range (`start` and `end`, `step`)."""

    query: Annotated[
        str, Meta(min_length=1, max_length=16_384, description="PromQL.", examples=["up"])
    ]
    time: Annotated[str, Meta(max_length=64, description="Now, where it is not said.")] = ""
    start: Annotated[
        str, Meta(max_length=64, description="Makes it a range: 1700000000, now-6h.")
    ] = ""
    end: Annotated[str, Meta(max_length=64, description="Now, where it is not said.")] = ""
    step: Annotated[
        str, Meta(max_length=64, description="15, 15s, 1m; a 250th of the range, where not said.")
    ] = ""
    source: Source = "internal"


class PromAnswer(msgspec.Struct, kw_only=True, frozen=True, rename={"result_type": "resultType"}):
    """As Prometheus answers: numbers are text, NaN and Inf among them."""

    source: str
    result_type: Literal["scalar", "string", "vector", "matrix"]
    result: Any
    warnings: list[str] = []
    infos: list[str] = []


async def answer(asked: PromQuery, queries: Queries, external: External) -> PromAnswer:
    """Raises Invalid for a query that has no answer."""
    now = round(time.time() * 1000)
    if not asked.start:
        if asked.end or asked.step:
            raise errors.Invalid("start: a range needs one", code="bad_time", field="start")
        at = moment(asked.time, now, "time") if asked.time else now
        return await _at(asked, at, queries, external)
    if asked.time:
        raise errors.Invalid(
            "time: say either time, or start and end", code="bad_time", field="time"
        )
    start = moment(asked.start, now, "start")
    end = moment(asked.end, now, "end") if asked.end else now
    if end < start:
        raise errors.Invalid("end: it is before start", code="bad_time", field="end")
    step = duration(asked.step, "step") if asked.step else default_step(start, end)
    if (end - start) // step >= MOST_POINTS:
        raise errors.Invalid(
            f"step: {(end - start) // step + 1:,} points are more than {MOST_POINTS:,}; take a longer step",
            code="too_many_points",
            field="step",
        )
    return await _over(asked, start, end, step, queries, external)


def default_step(start: int, end: int, points: int = POINTS) -> int:
    """Milliseconds, whole seconds."""
    return max(1000, -(-(end - start) // points // 1000) * 1000)


async def _at(asked: PromQuery, at: int, queries: Queries, external: External) -> PromAnswer:
    if asked.source == "external":
        query = {"query": asked.query, "time": f"{at / 1000:.3f}"}
        return await _elsewhere("query", query, external)

    def work(engine: Engine, cancelled: Cancelled) -> Result:
        return engine.instant(asked.query, at, cancelled=cancelled)

    return await _here(asked.query, queries, work)


async def _over(
    asked: PromQuery, start: int, end: int, step: int, queries: Queries, external: External
) -> PromAnswer:
    if asked.source == "external":
        times = {"start": start, "end": end, "step": step}
        query = {"query": asked.query, **{k: f"{v / 1000:.3f}" for k, v in times.items()}}
        return await _elsewhere("query_range", query, external)

    def work(engine: Engine, cancelled: Cancelled) -> Result:
        return engine.range(asked.query, start, end, step, cancelled=cancelled)

    return await _here(asked.query, queries, work)


async def _elsewhere(call: str, query: dict[str, str], external: External) -> PromAnswer:
    reply = await external.query(call, query)
    assert reply.data is not None
    return PromAnswer(
        source="external",
        result_type=reply.data.result_type,  # type: ignore[arg-type]
        result=reply.data.result,
        warnings=reply.warnings,
        infos=reply.infos,
    )


async def _here(text: str, queries: Queries, work: Any) -> PromAnswer:
    def shown(engine: Engine, cancelled: Cancelled) -> PromAnswer:
        return _answer(work(engine, cancelled))

    try:
        return await queries.run(shown)
    except QueryError as error:
        raise refused(error, text) from None


def _answer(found: Result) -> PromAnswer:
    times = [t / 1000 for t in found.times.tolist()]
    result: Any = []
    if found.type == "scalar" and found.scalar is not None:
        result = [times[0], _text(float(found.scalar[0]))]
    elif found.type == "string":
        result = [times[0], found.string]
    elif found.vector is not None:
        result = _rows(found.vector, times, instant=found.type == "vector")
    else:
        result = [row for block in found.ranges for row in _raw(block)]
    return PromAnswer(
        source="internal",
        result_type=found.type,
        result=result,
        warnings=list(found.warnings),
        infos=list(found.infos),
    )


def _rows(vector: Vector, times: list[float], *, instant: bool) -> list[dict[str, Any]]:
    rows = []
    mask = vector.mask
    for number, labels in enumerate(vector.labels.rows):
        values = vector.values[number].tolist()
        points = [
            [at, _text(value)]
            for at, value, here in zip(times, values, mask[number].tolist(), strict=True)
            if here
        ]
        if points:
            shown: dict[str, Any] = {"value": points[0]} if instant else {"values": points}
            rows.append({"metric": dict(labels), **shown})
    return rows


def _raw(block: Block) -> list[dict[str, Any]]:
    """The samples of a range vector."""
    rows = []
    for number, labels in enumerate(block.labels.rows):
        if isinstance(block, Aligned):
            here = slice(None) if block.present is None else block.present[number]
            times, values = block.times[here], block.values[number][here]
        else:
            part = slice(block.offsets[number], block.offsets[number + 1])
            times, values = block.times[part], block.values[part]
        points = [
            [at / 1000, _text(value)]
            for at, value in zip(times.tolist(), values.tolist(), strict=True)
        ]
        rows.append({"metric": dict(labels), "values": points})
    return rows


def _text(value: float) -> str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value).removesuffix(".0")
