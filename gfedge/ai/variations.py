"""Variations of a picture: what the job that made it was asked for, from that picture on."""

from __future__ import annotations

from typing import Any

import msgspec

from gfedge import errors
from gfedge.ai import store
from gfedge.ai.types import EndedJob, GenerateParams, VariationParams
from gfedge.db import Cursor
from gfedge.lineage import store as lineage

STRENGTH = 0.7
INHERITED = ("prompt", "negative_prompt", "style", "steps", "sampler", "guidance_scale", "tileable", "outline", "palette", "scale")  # fmt: skip
_defaults = msgspec.json.decode(b'{"prompt": "x"}', type=GenerateParams)


def maker(cursor: Cursor, sha256: str) -> EndedJob | None:
    """The nearest job that generated a picture, or what it was made from."""
    ids = [
        node_id for kind, node_id in lineage.ancestors(cursor, ("asset", sha256)) if kind == "job"
    ]
    jobs = {job.id: job for job in store.find_jobs(cursor, ids)}
    return next(
        (job for i in ids if (job := jobs.get(i)) is not None and job.kind == "generate"), None
    )


def params(asked: VariationParams, sha256: str, made_by: EndedJob | None) -> GenerateParams:
    """The request with what it leaves out taken from the job that made the picture."""
    values: dict[str, Any] = {
        name: getattr(asked, name) for name in GenerateParams.__struct_fields__
    }
    if made_by is not None:
        before = msgspec.convert(made_by.params, GenerateParams)
        for name in INHERITED:
            if values[name] in (None, getattr(_defaults, name, None)):
                values[name] = getattr(before, name)
        if asked.model is None and made_by.model is not None:
            values["model"] = made_by.model.name
    if values["prompt"] is None:
        raise errors.Invalid(
            "prompt: no job here made this picture from a prompt: say what it shows",
            code="prompt_needed",
            field="prompt",
        )
    values["init_image"] = sha256
    values["strength"] = asked.strength or (None if asked.mask else STRENGTH)
    return GenerateParams(**values)
