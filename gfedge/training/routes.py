"""Training jobs over HTTP, for whoever starts and watches them."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Any

import msgspec
from aiohttp import hdrs, web

from gfedge import auth, errors, keys, sockets
from gfedge.training import entry_points
from gfedge.training.jobs import TrainingJobs
from gfedge.training.live import Live
from gfedge.training.secrets import JobSecrets
from gfedge.training.types import (
    EntryPoints,
    LogQuery,
    TrainingCreate,
    TrainingCreated,
    TrainingJob,
    TrainingQuery,
)
from gfedge.training.types import TrainingJobs as TrainingJobsPage
from gfedge.wire import Route, reply

JOBS = web.AppKey("training_jobs", TrainingJobs)
SECRETS = web.AppKey("job_secrets", JobSecrets)
AT = "/ml-platform/training-jobs"
CHUNK = 64 << 10
FOLLOW_SECONDS = 0.25
MAX_KEY = 200
GONE = {404: ("training_job_not_found",)}
_range = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def routes() -> list[Route]:
    one = f"{AT}/{{id}}"
    return [
        Route(
            method="GET",
            path=AT,
            handler=list_training_jobs,
            summary="Training jobs, newest first",
            query=TrainingQuery,
            reply=TrainingJobsPage,
        ),
        Route(
            method="POST",
            path=AT,
            handler=create_training_job,
            headers={"Idempotency-Key": "A retry with the same key gets the first job."},
            fails={
                409: ("spend_limit", "idempotency_key_reused"),
                422: ("unknown_entry_point", "bad_param", "wrong_backend"),
                503: (
                    "trainer_not_installed",
                    "vastai_not_configured",
                    "vastai_sdk_missing",
                    "public_url_needed",
                ),
            },
            example={
                "backend": "external",
                "name": "dragons",
                "source": {"entry_point": "train.py"},
            },
            summary="Start a training job: durable when acknowledged; takes an Idempotency-Key",
            body=TrainingCreate,
            reply=TrainingCreated,
            status=202,
        ),
        Route(
            method="GET",
            path=f"{AT}/entry-points",
            handler=list_entry_points,
            summary="What can be trained here, with which parameters, and what is missing for it",
            reply=EntryPoints,
        ),
        Route(
            method="GET",
            path=one,
            handler=get_training_job,
            fails=GONE,
            summary="One training job: state, progress, metrics, use of the machine, end of its log",
            reply=TrainingJob,
        ),
        Route(
            method="DELETE",
            path=one,
            handler=cancel_training_job,
            fails={**GONE, 409: ("training_job_ended",)},
            summary="Cancel a training job",
            reply=TrainingJob,
        ),
        Route(
            method="POST",
            path=f"{one}/cancel",
            handler=stop_training_job,
            fails={**GONE, 409: ("training_job_ended",)},
            summary="Cancel a training job",
            reply=TrainingJob,
        ),
        Route(
            method="GET",
            path=f"{one}/log",
            handler=get_log,
            also=(206,),
            fails={**GONE, 416: ("range_not_satisfiable",)},
            summary="The log of a training job, from an offset on or by Range; `follow=true` goes on until it ends",
            query=LogQuery,
            produces=("text/plain",),
        ),
        Route(
            method="GET",
            path="/ml-platform/ws/training-jobs",
            handler=watch_training_jobs,
            summary="Training jobs as they go on, live",
            messages=dict.fromkeys(("job.created", "job.changed", "job.ended"), TrainingJob)
            | dict.fromkeys(("job.progress", "job.metrics", "job.log", "job.usage"), None),
        ),
    ]


async def list_training_jobs(request: web.Request, query: TrainingQuery) -> TrainingJobsPage:
    jobs, following = await request.app[JOBS].page(query)
    return TrainingJobsPage(jobs=jobs, next=following)


async def create_training_job(request: web.Request, body: TrainingCreate) -> web.Response:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= MAX_KEY and key.isprintable()):
        raise errors.Invalid(
            f"Idempotency-Key: 1 to {MAX_KEY} printable characters", field=key[:20]
        )
    kept = None if key is None else auth.own_key(request, key)
    record, replayed = await request.app[JOBS].create(body, kept)
    job = await request.app[JOBS].get(record.id)
    secret = request.app[SECRETS].of(record.id) if record.backend == "external" else ""
    headers = {"Location": job.url}
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    return reply(TrainingCreated(**_values(job), secret=secret), 202, headers)


async def list_entry_points(request: web.Request) -> EntryPoints:
    found = await asyncio.to_thread(entry_points.shown, request.app[keys.SETTINGS])
    if not auth.who(request).may("admin"):
        found = [entry_points.without_roots(one) for one in found]
    return EntryPoints(entry_points=found)


async def get_training_job(request: web.Request) -> TrainingJob:
    return await request.app[JOBS].get(request.match_info["id"])


async def cancel_training_job(request: web.Request) -> TrainingJob:
    return await request.app[JOBS].cancel(request.match_info["id"])


async def stop_training_job(request: web.Request) -> TrainingJob:
    return await request.app[JOBS].cancel(request.match_info["id"])


async def watch_training_jobs(request: web.Request) -> web.StreamResponse:
    return await sockets.stream(request, "training-jobs")


async def get_log(request: web.Request, query: LogQuery) -> web.StreamResponse:
    """The bytes that are there when it begins, and with `follow` those that come."""
    jobs = request.app[JOBS]
    found = await jobs.find(request.match_info["id"])
    live = found if isinstance(found, Live) else None
    log = live.log if live is not None else jobs.log_of(found.id)
    end = log.end
    offset, stop, ranged = _part(request, query, log.first, end)
    response = web.StreamResponse(status=206 if ranged else 200)
    response.content_type, response.charset = "text/plain", "utf-8"
    response.headers["X-Log-Offset"] = str(offset)
    response.headers["X-Log-End"] = str(end)
    response.headers[hdrs.CACHE_CONTROL] = "no-store"
    if ranged:
        response.headers[hdrs.CONTENT_RANGE] = f"bytes {offset}-{stop - 1}/{end}"
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    most = 1 << 62 if query.follow else stop
    while True:
        at, data = await asyncio.to_thread(log.read, offset, min(CHUNK, max(0, most - offset)))
        if data:
            await response.write(data)
            offset = at + len(data)
        elif not query.follow or live is None or await _ended(jobs, live):
            break
    await response.write_eof()
    return response


# Inside


async def _ended(jobs: TrainingJobs, live: Live) -> bool:
    """Waits a moment; says whether nothing more can come."""
    if live.ended.is_set() or jobs.stopping.is_set():
        return True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FOLLOW_SECONDS):
            await live.ended.wait()
    return False


def _part(request: web.Request, query: LogQuery, first: int, end: int) -> tuple[int, int, bool]:
    """(first byte, byte behind the last, whether it was asked for by Range)."""
    found = _range.fullmatch(request.headers.get(hdrs.RANGE, ""))
    if found and any(found.groups()) and not query.follow:
        begin, last = found.groups()
        offset = int(begin) if begin else max(first, end - int(last))
        stop = min(end, int(last) + 1) if begin and last else end
        if offset >= stop:
            raise errors.RangeNotSatisfiable(
                f"the log has {end} bytes", headers={hdrs.CONTENT_RANGE: f"bytes */{end}"}
            )
        return max(first, offset), stop, True
    offset = query.offset if query.offset >= 0 else max(0, end + query.offset)
    offset = max(first, offset)
    stop = min(end, offset + query.limit) if query.limit else end
    return offset, stop, False


def _values(job: TrainingJob) -> dict[str, Any]:
    return {name: getattr(job, name) for name in msgspec.structs.asdict(job)}
