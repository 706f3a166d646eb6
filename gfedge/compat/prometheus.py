"""Prometheus' HTTP API under /prometheus, for Grafana, promtool and all that speaks it: queries, series, labels.

Answers and errors have Prometheus' form here, not that of this server's own interface.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from aiohttp import web
from isal import isal_zlib

from gfedge.compat import prometheus_json as json
from gfedge.compat import prometheus_types as types
from gfedge.compat.prometheus_forms import FARTHEST, FORM, Form, invalid, unescaped
from gfedge.compat.prometheus_types import Answer, Anything
from gfedge.monitoring.queries import QUERIES, Cancelled
from gfedge.promql import printer
from gfedge.promql.engine import Engine
from gfedge.promql.parser import parse
from gfedge.promql.types import Limits, QueryError, Result, Selector
from gfedge.wire import JSON, Route

BASE = "/prometheus/api/v1"
POINTS = (
    "exceeded maximum resolution of 11,000 points per timeseries. "
    "Try decreasing the query resolution (?step=XX)"
)
WIDTHS = "zero or negative query resolution step widths are not accepted. Try a positive integer"
STATUS = {
    "bad_data": 400,
    "not_found": 404,
    "execution": 422,
    "canceled": 499,
    "timeout": 503,
    "internal": 500,
}
ZIPPED_BYTES = 1024
"""Answers from this size on are compressed for those who can read it."""


Work = Callable[[Form, web.Request], Awaitable[bytes]]


def route(method: str, path: str, work: Work, summary: str, options: Any = Anything) -> Route:
    """A row of the table, whose handler answers in Prometheus' form."""

    async def answered(request: web.Request) -> web.Response:
        try:
            body = await work(await Form.of(request), request)
        except QueryError as error:
            failed, status = json.failure(error.kind, str(error)), STATUS[error.kind]
            headers = {"Retry-After": "10"} if status == 503 else {}
            return web.Response(body=failed, status=status, headers=headers, content_type=JSON)
        return await _response(body, request)

    answered.__name__ = f"prometheus_{work.__name__}"
    return Route(
        method=method,
        path=f"{BASE}/{path}",
        handler=answered,
        summary=summary,
        reply=Answer,
        refuses=Answer,
        options=options,
        accepts=(FORM,) if method == "POST" else (),
        rooted=True,
        scope="read",
    )


async def _response(body: bytes, request: web.Request) -> web.Response:
    headers = {"Vary": "Accept-Encoding"}
    if len(body) >= ZIPPED_BYTES and "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        body = await asyncio.to_thread(isal_zlib.compress, body, 1, 31)
    return web.Response(body=body, headers=headers, content_type=JSON)


def routes() -> list[Route]:
    both: list[tuple[str, Work, str, Any]] = [
        ("query", query, "PromQL at one time", types.Instant),
        ("query_range", query_range, "PromQL over a range of time", types.Ranged),
        ("query_exemplars", query_exemplars, "Exemplars: there are none", types.Exemplars),
        ("series", series, "Label sets of the series that match", types.Matching),
        ("labels", labels, "Names of labels", types.Matching),
        ("format_query", format_query, "An expression in its usual form", types.Expression),
    ]
    return [
        *(route(method, *row) for row in both for method in ("GET", "POST")),
        route("GET", "label/{name}/values", label_values, "Values of a label", types.Matching),
        route("GET", "metadata", metadata, "Types, units and help of metrics", types.MetricNames),
    ]


async def query(form: Form, request: web.Request) -> bytes:
    at = form.time("time", round(time.time() * 1000))
    text = form.text("query")

    def work(engine: Engine, cancelled: Cancelled) -> Result:
        return engine.instant(text, at, limits=limits, lookback=lookback, cancelled=cancelled)

    limits, lookback = _limits(form, request), form.duration("lookback_delta", 0) or None
    return await _evaluated(form, request, work)


async def query_range(form: Form, request: web.Request) -> bytes:
    start, end, step = form.time("start", -1), form.time("end", -1), form.duration("step", -1)
    for name in ("start", "end"):
        if not form.text(name):
            shown = 'cannot parse "" to a valid timestamp'
            raise invalid(name, f"invalid time value for '{name}': {shown}")
    if end < start:
        raise invalid("end", "end timestamp must not be before start time")
    if not form.text("step"):
        raise invalid("step", 'cannot parse "" to a valid duration')
    if step <= 0:
        raise invalid("step", WIDTHS)
    limits, lookback = _limits(form, request), form.duration("lookback_delta", 0) or None
    if (end - start) // step > limits.points:
        raise QueryError("bad_data", POINTS)
    text = form.text("query")
    limits = msgspec.structs.replace(limits, points=limits.points + 1)

    def work(engine: Engine, cancelled: Cancelled) -> Result:
        return engine.range(
            text, start, end, step, limits=limits, lookback=lookback, cancelled=cancelled
        )

    return await _evaluated(form, request, work)


def _limits(form: Form, request: web.Request) -> Limits:
    """Those of the server, with less time where the caller says so."""
    limits = request.app[QUERIES].engine.limits
    seconds = form.duration("timeout", 0) / 1000
    return (
        msgspec.structs.replace(limits, seconds=min(seconds, limits.seconds))
        if seconds > 0
        else limits
    )


async def _evaluated(
    form: Form, request: web.Request, evaluate: Callable[[Engine, Cancelled], Result]
) -> bytes:
    limit, wants_stats = form.limit(), form.text("stats")

    def work(engine: Engine, cancelled: Cancelled) -> bytes:
        began = time.perf_counter()
        found, more = json.limited(evaluate(engine, cancelled), limit)
        body = list(json.data(found))
        if wants_stats:
            stats = _stats(found, time.perf_counter() - began)
            body[-1:] = [b',"stats":', json.plain(stats), b"}"]
        warnings = [*found.warnings, *["results truncated due to limit"] * more]
        return json.success(body, warnings, found.infos)

    def gone() -> bool:
        return request.transport is None or request.transport.is_closing()

    try:
        return await request.app[QUERIES].run(work, gone)
    except QueryError as error:
        if error.kind == "bad_data":
            raise _bad_query(error) from None
        raise


def _bad_query(error: QueryError) -> QueryError:
    text = str(error)
    known = text.startswith(("invalid parameter", "invalid expression type", "exceeded maximum"))
    if text.startswith("invalid expression type"):
        return invalid("query", text)
    return error if known else invalid("query", text)


def _stats(result: Result, seconds: float) -> dict[str, Any]:
    names = ("evalTotalTime", "resultSortTime", "queryPreparationTime", "innerEvalTime")
    timings = {**dict.fromkeys((*names, "execQueueTime"), 0.0), "execTotalTime": seconds}
    timings["evalTotalTime"] = timings["innerEvalTime"] = seconds
    samples = {"totalQueryableSamples": result.samples, "peakSamples": result.peak}
    return {"timings": timings, "samples": samples}


async def query_exemplars(form: Form, request: web.Request) -> bytes:
    start, end = form.time("start", -FARTHEST), form.time("end", FARTHEST)
    if end < start:
        raise QueryError("bad_data", "end timestamp must not be before start timestamp")
    _parsed(form)
    return json.answer([])


async def format_query(form: Form, request: web.Request) -> bytes:
    return json.answer(printer.text(_parsed(form)))


def _parsed(form: Form) -> Any:
    try:
        return parse(form.text("query"))
    except QueryError as error:
        raise invalid("query", str(error)) from None


async def series(form: Form, request: web.Request) -> bytes:
    if not form.all("match[]"):
        raise QueryError("bad_data", "no match[] parameter provided")
    selectors, start, end, limit = _asked(form)

    def work(engine: Engine, cancelled: Cancelled) -> bytes:
        found = engine.storage.series(selectors, start, end)
        return _limited([dict(row) for row in found], limit)

    return await request.app[QUERIES].run(work)


async def labels(form: Form, request: web.Request) -> bytes:
    selectors, start, end, limit = _asked(form)

    def work(engine: Engine, cancelled: Cancelled) -> bytes:
        return _limited(engine.storage.label_names(selectors, start, end), limit)

    return await request.app[QUERIES].run(work)


async def label_values(form: Form, request: web.Request) -> bytes:
    name = unescaped(request.match_info["name"])
    selectors, start, end, limit = _asked(form)

    def work(engine: Engine, cancelled: Cancelled) -> bytes:
        return _limited(engine.storage.label_values(name, selectors, start, end), limit)

    return await request.app[QUERIES].run(work)


def _asked(form: Form) -> tuple[Sequence[Selector], int, int, int]:
    start, end = form.time("start", -FARTHEST), form.time("end", FARTHEST)
    if end < start:
        raise invalid("end", "end timestamp must not be before start time")
    return form.selectors(), start, end, form.limit()


def _limited(found: Sequence[Any], limit: int) -> bytes:
    if 0 < limit < len(found):
        return json.answer(found[:limit], ["results truncated due to limit"])
    return json.answer(found)


async def metadata(form: Form, request: web.Request) -> bytes:
    wanted, limit = form.text("metric"), form.limit()
    per_metric = form.limit("limit_per_metric") if form.text("limit_per_metric") else 1

    def work(engine: Engine, cancelled: Cancelled) -> bytes:
        known = engine.storage.metadata()
        names = [wanted] * (wanted in known) if wanted else sorted(known)
        names = names[:limit] if form.text("limit") else names
        shown = {
            name: [{"type": m.type, "unit": m.unit, "help": m.help}] * min(1, per_metric)
            for name, m in ((name, known[name]) for name in names)
        }
        return json.answer(shown)

    return await request.app[QUERIES].run(work)
