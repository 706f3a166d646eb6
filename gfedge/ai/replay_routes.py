"""Running jobs again over HTTP."""

from __future__ import annotations

import asyncio
import hashlib

import msgspec
from aiohttp import web

from gfedge import errors, inference, keys
from gfedge.ai import replay, requests
from gfedge.ai.replay import Replay
from gfedge.ai.routes import BUSY, GONE, HEADERS, QUEUE, admit, taken
from gfedge.ai.types import Job
from gfedge.assets import files
from gfedge.assets.routes import ASSETS
from gfedge.assets.types import Output
from gfedge.inference.types import Pixels
from gfedge.registry.routes import REGISTRY
from gfedge.tracking.routes import EXPERIMENTS
from gfedge.wire import Route, reply


def routes() -> list[Route]:
    at = "/ml-platform/ai-jobs/{id}/replay"
    return [
        Route(
            method="POST",
            path=at,
            handler=replay_job,
            also=(200,),
            headers=HEADERS,
            fails={
                **BUSY,
                **GONE,
                409: (
                    "job_not_ended",
                    "asset_gone",
                    "model_gone",
                    "experiment_deleted",
                    "idempotency_key_reused",
                ),
            },
            summary="Run a job again as it was recorded, and compare the results",
            reply=Replay,
            status=202,
        ),
        Route(
            method="GET",
            path=at,
            handler=get_replay,
            fails={404: ("job_not_found", "not_a_replay")},
            summary="How the result of a job that ran another one again compares",
            reply=Replay,
        ),
    ]


async def replay_job(request: web.Request) -> web.Response:
    await admit(request)
    queue, registry = request.app[QUEUE], request.app[REGISTRY]
    await registry.opened()
    original = replay.ended(await queue.find(request.match_info["id"]))
    request.app[EXPERIMENTS].writable(original.experiment_id)
    submission = msgspec.structs.replace(
        replay.again(original, registry, request.app[ASSETS]),
        requester=requests.requester(request),
        priority=requests.priority(request),
        idempotency_key=requests.idempotency_key(request),
        request_digest=hashlib.sha256(f"replay {original.id}".encode()).hexdigest(),
    )
    job, status, headers = await taken(request, submission)
    headers["Location"] += "/replay"
    return reply(await _compared(request, job), status, headers)


async def get_replay(request: web.Request) -> Replay:
    job = await request.app[QUEUE].get(request.match_info["id"])
    if job.replay_of is None:
        raise errors.NotFound(
            f"job {job.id} did not run another one again: POST here runs it again",
            code="not_a_replay",
        )
    return await _compared(request, job)


async def _compared(request: web.Request, shown: Job) -> Replay:
    queue, root = request.app[QUEUE], request.app[ASSETS].root
    most = request.app[keys.SETTINGS].max_output_pixels
    assert shown.replay_of is not None
    if shown.finished_at is None:
        return replay.pending(shown.replay_of, shown)
    job = replay.ended(await queue.find(shown.id))
    original = replay.ended(await queue.find(shown.replay_of))

    def read(output: Output) -> Pixels:
        return inference.png.decode(files.find(root, output.sha256).read_bytes(), most)

    return await asyncio.to_thread(replay.compared, original, job, shown, read)
