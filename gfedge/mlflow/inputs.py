"""What runs read and made: datasets and logged models, linked to them."""

from __future__ import annotations

import time

from aiohttp import web
from msgspec.structs import replace

from gfedge import keys
from gfedge.lineage.types import edge
from gfedge.mlflow import limits, run_answers, runs
from gfedge.mlflow.protocol import Nothing, call
from gfedge.mlflow.types import DatasetInput, InputsLog, OutputsLog
from gfedge.tracking import inputs
from gfedge.tracking.dataset_types import InputCreate
from gfedge.tracking.logged_models import RunModelRow
from gfedge.tracking.routes import RUNS
from gfedge.tracking.types import ModelLink, StaleRow
from gfedge.wire import Route

SCHEMA, SOURCE, PROFILE = 1_048_575, 65_535, 16_777_215


def routes() -> list[Route]:
    return [
        call("POST", "runs/log-inputs", log_inputs, InputsLog, Nothing, "MLflow: link datasets and models that a run reads"),
        call("POST", "runs/outputs", log_outputs, OutputsLog, Nothing, "MLflow: link models that a run made"),
    ]  # fmt: skip


async def log_inputs(request: web.Request, asked: InputsLog) -> Nothing:
    run = runs.writable(request, await runs.found(request, asked))
    wanted = [_input(one) for one in asked.datasets]
    if wanted:
        await inputs.link(request.app[keys.DB], request.app[RUNS], run.id, wanted)
    models = [ModelLink(model_id=one.model_id, direction="input") for one in asked.models]
    await link(request, run.id, models)
    return Nothing()


async def log_outputs(request: web.Request, asked: OutputsLog) -> Nothing:
    run = runs.writable(request, await runs.found(request, asked))
    models = [
        ModelLink(model_id=one.model_id, direction="output", step=one.step) for one in asked.models
    ]
    await link(request, run.id, models)
    return Nothing()


async def link(request: web.Request, run_id: str, models: list[ModelLink]) -> None:
    """Links models to a run; a link that is there stays as it is."""
    async with request.app[RUNS].written(run_id) as live:
        new = [one for one in models if one not in live.record.models]
        if not new:
            return
        now = time.time()
        rows = [
            RunModelRow(
                run_id=run_id,
                model_id=one.model_id,
                direction=one.direction,
                step=one.step,
                linked_at=now,
            )
            for one in new
        ]
        stale = [StaleRow(run_id=run_id)] if live.record.ended_at is not None else []
        read = [
            edge(("logged_model", one.model_id), "input", ("run", run_id), now)
            for one in new
            if one.direction == "input"
        ]
        await request.app[keys.DB].insert(*rows, *read, *stale)
        request.app[RUNS].show(live, replace(live.record, models=[*live.record.models, *new]))


def _input(one: DatasetInput) -> InputCreate:
    found = one.dataset
    more = (("source", found.source, SOURCE), ("schema", found.schema, SCHEMA), ("profile", found.profile, PROFILE))  # fmt: skip
    limits.dataset(found.name, found.digest, more)
    for tag in one.tags:
        limits.length(tag.key, 255, "Dataset input tag key")
        limits.length(tag.value, 500, "Dataset input tag value")
    tags = {tag.key: tag.value for tag in one.tags}
    return InputCreate(
        name=found.name,
        digest=found.digest,
        source_type=found.source_type,
        source=found.source,
        schema=run_answers.kept(found.schema),
        profile=run_answers.kept(found.profile),
        context=tags.pop(run_answers.CONTEXT, ""),
        tags=tags,
    )
