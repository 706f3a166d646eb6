"""Generating over HTTP, besides one prompt: batches, variations, and the words that a model knows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiohttp import web

from gfedge import auth, keys
from gfedge.ai import requests, variations, vocabulary
from gfedge.ai.intake import Asker
from gfedge.ai.live import Client, Live
from gfedge.ai.routes import BUSY, HEADERS, INTAKE, OF_GENERATE, QUEUE, WAITING, admit, submit
from gfedge.ai.types import Batch, EndedJob, GenerateBatch, Job, VariationParams
from gfedge.ai.vocabulary import Known, VocabularyQuery
from gfedge.assets.routes import ASSETS
from gfedge.examples import SHA256
from gfedge.registry.routes import REGISTRY
from gfedge.wire import Route, reply


def routes() -> list[Route]:
    return [
        Route(
            method="POST",
            path="/ai/generate/batch",
            handler=generate_batch,
            about="All jobs are taken, durably and at once, or none. With an `Idempotency-Key` a retry gets the same jobs. "
            "`Prefer: wait=60` waits for all of them (200), `Priority: u=5` lets others go first.",
            headers=HEADERS,
            also=(200,),
            fails={**BUSY, 413: ("too_many_pixels",), 422: (*OF_GENERATE, "batch_too_large")},
            summary="Turn many prompts into pictures, a job for each",
            body=GenerateBatch,
            reply=Batch,
            status=202,
            example={"prompts": ["red potion", "blue potion"], "seed": 7, "scale": 4},
        ),
        Route(
            method="POST",
            path="/ai/variations",
            handler=vary,
            about=f"Prompt, negative prompt, style, model and sampling are those of the job that made the picture. {WAITING}",
            headers=HEADERS,
            also=(200,),
            fails={**BUSY, 413: ("too_many_pixels",), 422: (*OF_GENERATE, "prompt_needed")},
            summary="Pictures like one that is here",
            body=VariationParams,
            example={"init_image": SHA256, "strength": 0.4, "n": 4},
            reply=Job,
            status=202,
            produces=("image/png",),
        ),
        Route(
            method="GET",
            path="/ai/vocabulary",
            handler=list_words,
            fails={422: ("model_not_found", "model_of_other_kind")},
            summary="The words and styles that a model knows, and the nearest to others",
            query=VocabularyQuery,
            reply=Known,
        ),
    ]


async def generate_batch(request: web.Request, body: GenerateBatch) -> web.Response:
    key = requests.idempotency_key(request)
    request.app[ASSETS].check_space()
    timeout = requests.timeout_seconds(request)
    queue = request.app[QUEUE]
    await queue.admit(
        requests.requester(request),
        None if key is None else f"{key} 0",
        by_token=bool(auth.who(request).token_id),
    )
    submissions = await request.app[INTAKE].batch(Asker(request=request, key=key), body)
    jobs, replayed = await queue.submit_all(submissions, Client(wanted_seconds=timeout))
    headers = {"Idempotent-Replayed": "true"} if replayed else {}
    ended = await _ended(jobs, requests.wait_seconds(request))
    shown = [queue.snapshot(job) for job in jobs]
    return reply(Batch(jobs=shown), 200 if ended else 202, headers)


async def vary(request: web.Request, body: VariationParams) -> web.StreamResponse:
    await admit(request)
    intake, asker = request.app[INTAKE], Asker.of(request)
    picture = await intake.picture(body.init_image, "init_image")
    maker = await request.app[keys.DB].read(variations.maker, picture.sha256)
    params = variations.params(body, picture.sha256, maker)
    return await submit(request, await intake.generate(asker, params, {picture.sha256: picture}))


async def list_words(request: web.Request, query: VocabularyQuery) -> Known:
    registry = request.app[REGISTRY]
    await registry.opened()
    model = registry.find(query.model or "sprite", "generate", job_id="")
    return await asyncio.to_thread(vocabulary.known, model, query)


async def _ended(jobs: Sequence[Live | EndedJob], wait: float | None) -> bool:
    """Whether all have ended, after waiting for it as long as the client prefers."""
    if wait is None:
        return False
    live = [job.done for job in jobs if isinstance(job, Live)]
    if live:
        await asyncio.wait(live, timeout=wait)
    return all(not isinstance(job, Live) or job.done.done() for job in jobs)
