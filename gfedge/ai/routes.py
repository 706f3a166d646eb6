"""Jobs over HTTP: generate, superres, and what became of them."""

from __future__ import annotations

import asyncio

from aiohttp import web

from gfedge import auth, errors, examples, keys, sockets
from gfedge.ai import feed, requests, trace
from gfedge.ai.intake import Asker, Intake
from gfedge.ai.live import Client, Live
from gfedge.ai.metadata import Origin
from gfedge.ai.queue import JobQueue
from gfedge.ai.types import (
    GenerateParams,
    Job,
    JobError,
    JobPage,
    JobQuery,
    Submission,
    SuperresBody,
    SuperresParams,
)
from gfedge.assets.routes import ASSETS, whole
from gfedge.assets.types import AssetRow
from gfedge.inference.types import Pixels
from gfedge.lineage.routes import TELLERS
from gfedge.lineage.types import Trace
from gfedge.wire import Route, reply

QUEUE = web.AppKey("queue", JobQueue)
INTAKE = web.AppKey("intake", Intake)

GONE = {404: ("job_not_found",)}
BUSY = {
    400: ("bad_idempotency_key", "bad_timeout"),
    409: ("idempotency_key_reused", "experiment_deleted", "cancelled"),
    429: ("queue_full", "share_exceeded", "too_much_work", "too_late"),
    500: ("internal", "engine_error", "out_of_memory"),
    503: ("memory_full",),
}
OF_GENERATE = (
    "model_not_found",
    "model_of_other_kind",
    "model_gone",
    "unknown_style",
    "asset_not_found",
    "bad_image",
    "mask_of_other_size",
    "empty_mask",
    "empty_palette_image",
)
HEADERS = {
    "Prefer": "`wait=30`: answer when the job has ended, or after so many seconds.",
    "Idempotency-Key": "A retry with the same key gets the first job.",
}
WAITING = (
    "Answered with 202 once the job is durable. With `Prefer: wait=30` the answer comes with the end of the job (200), "
    "and with `Accept: image/png` it is the picture."
)

FAILED_STATUS = {
    "cancelled": 409,
    "bad_image": 422,
    "model_gone": 422,
    "empty_mask": 422,
    "empty_palette_image": 422,
    "too_many_pixels": 413,
    "expired": 504,
    "disk_full": 507,
}
"""Status of an answer that should have been a picture, by the job's error code; 500 for the rest."""


def routes() -> list[Route]:
    jobs = "/ml-platform/ai-jobs"
    return [
        Route(
            method="POST",
            path="/ai/generate",
            handler=generate,
            about=WAITING,
            headers=HEADERS,
            also=(200,),
            fails={**BUSY, 413: ("too_many_pixels",), 422: OF_GENERATE},
            summary="Turn a prompt into pictures",
            body=GenerateParams,
            reply=Job,
            status=202,
            produces=("image/png",),
        ),
        Route(
            method="POST",
            path="/ai/superres",
            handler=superres,
            about=WAITING,
            headers=HEADERS,
            also=(200,),
            options=SuperresParams,
            reads=SuperresBody,
            example={"asset": examples.SHA256, "scale": 4},
            fails={
                **BUSY,
                400: (
                    *BUSY[400],
                    "empty_body",
                    "malformed_form",
                    "no_file",
                    "bad_request",
                ),
                413: ("too_many_pixels",),
                422: ("bad_image", "asset_not_found", "model_not_found", "model_of_other_kind"),
            },
            summary="Upscale a picture: a form with a file, the raw picture with options in the query, or JSON",
            reply=Job,
            status=202,
            accepts=("multipart/form-data", *requests.IMAGE_TYPES),
            produces=("image/png",),
        ),
        Route(
            method="GET",
            path=jobs,
            handler=list_jobs,
            summary="Jobs, newest first, live ones included",
            query=JobQuery,
            reply=JobPage,
        ),
        Route(
            method="GET",
            path="/ml-platform/ws/ai-jobs",
            handler=watch_jobs,
            summary="Jobs as they go on, live",
            messages=feed.MESSAGES,
        ),
        Route(
            method="GET",
            path=f"{jobs}/{{id}}",
            handler=get_job,
            fails=GONE,
            summary="One job",
            reply=Job,
        ),
        Route(
            method="DELETE",
            path=f"{jobs}/{{id}}",
            handler=cancel_job,
            fails={**GONE, 409: ("job_ended",)},
            summary="Cancel a job",
            reply=Job,
        ),
        Route(
            method="POST",
            path=f"{jobs}/{{id}}/cancel",
            handler=cancel_job,
            fails={**GONE, 409: ("job_ended",)},
            summary="Cancel a job",
            reply=Job,
        ),
        Route(
            method="GET",
            path=f"{jobs}/{{id}}/trace",
            handler=trace_job,
            fails=GONE,
            summary="Where a job's pictures came from, as a graph and in words",
            reply=Trace,
        ),
        Route(
            method="GET",
            path="/assets/{sha256}/trace",
            handler=trace_asset,
            fails={404: ("asset_not_found", "unknown_picture")},
            summary="Where an asset came from",
            reply=Trace,
        ),
        Route(
            method="POST",
            path="/trace",
            handler=trace_file,
            fails={
                400: ("empty_body", "malformed_form", "no_file"),
                404: ("unknown_picture",),
                413: ("too_many_pixels",),
                422: ("bad_image",),
            },
            summary="Where a picture came from: send the file",
            reply=Trace,
            accepts=("multipart/form-data", *requests.IMAGE_TYPES),
            scope="read",
        ),
    ]


async def generate(request: web.Request, body: GenerateParams) -> web.StreamResponse:
    await admit(request)
    submission = await request.app[INTAKE].generate(Asker.of(request), body)
    return await submit(request, submission)


async def superres(request: web.Request) -> web.StreamResponse:
    await admit(request)
    return await submit(request, *await request.app[INTAKE].superres(request))


async def list_jobs(request: web.Request, query: JobQuery) -> JobPage:
    jobs, following = await request.app[QUEUE].page(query)
    return JobPage(jobs=jobs, next=following)


async def watch_jobs(request: web.Request) -> web.StreamResponse:
    return await sockets.stream(request, "ai-jobs")


async def get_job(request: web.Request) -> Job:
    return await request.app[QUEUE].get(request.match_info["id"])


async def cancel_job(request: web.Request) -> Job:
    return await request.app[QUEUE].cancel(request.match_info["id"])


async def trace_job(request: web.Request) -> Trace:
    job = await request.app[QUEUE].find(request.match_info["id"])
    return await request.app[keys.DB].read(trace.of_job, job, request.app[TELLERS])


async def trace_asset(request: web.Request) -> Trace:
    sha256 = request.match_info["sha256"]
    if (row := await request.app[ASSETS].find(sha256)) is None:
        raise errors.NotFound(f"asset {sha256} is not known here", code="asset_not_found")
    return await _trace_asset(request, row, "bytes")


async def trace_file(request: web.Request) -> Trace:
    found = await request.app[INTAKE].recognise(request)
    if isinstance(found, Origin):
        return await _trace_origin(request, found)
    return await _trace_asset(request, *found)


# Inside


async def _trace_asset(request: web.Request, row: AssetRow, how: str) -> Trace:
    graph = await request.app[keys.DB].read(trace.of_asset, row, request.app[TELLERS])
    return trace.matched(graph, how)


async def _trace_origin(request: web.Request, origin: Origin) -> Trace:
    """The trace of the job that a changed picture says it came from."""
    try:
        job = await request.app[QUEUE].find(origin.job_id)
    except errors.NotFound:
        raise errors.NotFound(
            f"this picture says that job {origin.job_id} made it, which is not here: ask at {origin.trace}",
            code="unknown_picture",
        ) from None
    graph = await request.app[keys.DB].read(trace.of_job, job, request.app[TELLERS])
    return trace.matched(graph, "metadata")


async def admit(request: web.Request) -> None:
    """Refuses before the body is read."""
    request.app[ASSETS].check_space()
    requests.timeout_seconds(request)
    await request.app[QUEUE].admit(
        requests.requester(request),
        requests.idempotency_key(request),
        by_token=bool(auth.who(request).token_id),
    )


async def submit(
    request: web.Request, submission: Submission, image: Pixels | None = None
) -> web.StreamResponse:
    """Answers as the client prefers: at once, when the job is done, or with the picture."""
    job, status, headers = await taken(request, submission, image)
    if status == 200 and requests.wants_picture(request):
        return await _picture(request, job, headers)
    return reply(job, status, headers)


async def taken(
    request: web.Request, submission: Submission, image: Pixels | None = None
) -> tuple[Job, int, dict[str, str]]:
    """Acknowledges a job and waits for its end as long as the client prefers; gives the answer's status and headers."""
    queue = request.app[QUEUE]
    wait = requests.wait_seconds(request)
    client = Client(
        waits=wait is not None,
        wanted_seconds=requests.timeout_seconds(request),
        gone=lambda: request.transport is None or request.transport.is_closing(),
    )
    job, replayed = await queue.submit(submission, image, client)
    headers = {"Location": f"/api/v1/ml-platform/ai-jobs/{job.id}"}
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    if wait is None:
        return queue.snapshot(job), 202, headers
    headers["Preference-Applied"] = f"wait={wait:g}"
    if isinstance(job, Live):
        await asyncio.wait([job.done], timeout=wait)
    shown = queue.snapshot(job)
    if shown.finished_at is None:
        await queue.secure(job)
        return shown, 202, headers
    return shown, 200, headers


async def _picture(request: web.Request, job: Job, headers: dict[str, str]) -> web.StreamResponse:
    if job.status != "succeeded":
        raise _failure(job, headers)
    if len(job.outputs) > 1:
        headers["Link"] = ", ".join(f'<{o.url}>; rel="item"' for o in job.outputs)
    return await whole(request, job.outputs[0].sha256, headers)


def _failure(job: Job, headers: dict[str, str]) -> errors.ApiError:
    """The answer where a picture was wanted and the job has none."""
    error = job.error or JobError(code="cancelled", detail="it was cancelled")
    failure = errors.ApiError(f"job {job.id}: {error.detail}", code=error.code, headers=headers)
    failure.status, failure.title = FAILED_STATUS.get(error.code, 500), f"Job {job.status}"
    return failure
