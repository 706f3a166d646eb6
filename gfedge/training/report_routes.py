"""How trainers report over HTTP. A trainer shows its job's own secret, which opens nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp import web

from gfedge import content, errors, report
from gfedge.tracking import artifact_routes
from gfedge.tracking.artifact_types import ArtifactRow
from gfedge.training import reports
from gfedge.training.live import Live
from gfedge.training.routes import AT, JOBS, SECRETS
from gfedge.training.types import Finish, Heard, Report
from gfedge.wire import Route

SCRIPT = Path(report.__file__)
HEADER = "X-Job-Secret"
"""Not `Authorization`, which is for the tokens of the server."""

SECRET = {HEADER: "The job's secret, as `gfjob_…`."}
REFUSED = {403: ("wrong_job_secret",), 404: ("training_job_not_found",)}


def routes() -> list[Route]:
    one = f"{AT}/{{id}}"
    return [
        Route(
            method="POST",
            path=f"{one}/report",
            handler=post_report,
            headers=SECRET,
            fails={**REFUSED, 409: ("training_job_ended",)},
            summary="Metrics, progress, log lines and heartbeat of a trainer; needs the job's secret",
            body=Report,
            reply=Heard,
            scope="open",
            secret=HEADER,
        ),
        Route(
            method="POST",
            path=f"{one}/heartbeat",
            handler=post_heartbeat,
            headers=SECRET,
            fails={**REFUSED, 409: ("training_job_ended",)},
            summary="A sign of life of a trainer; needs the job's secret",
            reply=Heard,
            scope="open",
            secret=HEADER,
        ),
        Route(
            method="POST",
            path=f"{one}/finish",
            handler=post_finish,
            headers=SECRET,
            fails={**REFUSED, 409: ("training_job_ended",), 422: ("no_manifest",)},
            summary="How a training ended, and where its model is; needs the job's secret",
            body=Finish,
            reply=Heard,
            scope="open",
            secret=HEADER,
        ),
        Route(
            method="PUT",
            path=f"{one}/artifacts/{{path}}",
            tail=True,
            handler=put_training_artifact,
            also=(201,),
            headers=SECRET,
            fails={
                **REFUSED,
                409: ("training_job_ended", "artifact_exists", "run_deleted"),
                422: ("bad_artifact_path", "digest_mismatch"),
            },
            summary="Store a file of the job's run; needs the job's secret",
            accepts=(artifact_routes.ANY,),
            streams=True,
            reply=ArtifactRow,
            scope="open",
            secret=HEADER,
        ),
        Route(
            method="GET",
            path=f"{one}/artifacts/{{path}}",
            tail=True,
            handler=get_training_artifact,
            also=(206, 304),
            headers=SECRET,
            fails={
                403: ("wrong_job_secret",),
                404: ("training_job_not_found", "run_not_found", "artifact_not_found"),
                **content.REFUSED,
                422: ("bad_artifact_path",),
            },
            summary="The bytes of a file of the job's run, as a checkpoint to go on from; needs the job's secret",
            produces=(artifact_routes.ANY,),
            scope="open",
            secret=HEADER,
        ),
        Route(
            method="GET",
            path=f"{one}/report.py",
            handler=get_report_module,
            headers=SECRET,
            fails=REFUSED,
            summary="The module by which a training script reports, one file; needs the job's secret",
            produces=("text/x-python",),
            scope="open",
            secret=HEADER,
        ),
    ]


async def post_report(request: web.Request, body: Report) -> Heard:
    return await reports.hear(request.app[JOBS], await _trainer_of(request), body)


async def post_heartbeat(request: web.Request) -> Heard:
    return await reports.hear(request.app[JOBS], await _trainer_of(request), Report())


async def post_finish(request: web.Request, body: Finish) -> Heard:
    return await reports.finish(request.app[JOBS], await _trainer_of(request), body)


async def put_training_artifact(request: web.Request) -> web.Response:
    jobs, job_id = request.app[JOBS], await _trainer_of(request)
    live = await reports.touch(jobs, job_id)
    stored = await artifact_routes.store(request, live.record.run_id, lambda: reports.sign(live))
    await reports.touch(jobs, job_id)
    return stored


async def get_training_artifact(request: web.Request) -> web.StreamResponse:
    found = await request.app[JOBS].find(await _trainer_of(request))
    record = found.record if isinstance(found, Live) else found
    return await artifact_routes.fetch(request, record.run_id, request.match_info["path"])


async def get_report_module(request: web.Request) -> web.Response:
    await _trainer_of(request)
    source = await asyncio.to_thread(SCRIPT.read_text, "utf-8")
    return web.Response(text=source, content_type="text/x-python")


async def _trainer_of(request: web.Request) -> str:
    """The job whose secret was shown."""
    job_id: str = request.match_info["id"]
    await request.app[JOBS].find(job_id)
    if not request.app[SECRETS].fits(job_id, request.headers.get(HEADER, "")):
        raise errors.Forbidden(
            f"this needs the secret of the job, as `{HEADER}: gfjob_…`: an external trainer got it from "
            "POST /training-jobs, others find it in GFEDGE_JOB_SECRET",
            code="wrong_job_secret",
        )
    return job_id
