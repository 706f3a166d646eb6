"""The pipelines: what each kind of job takes, checks and does. One table, `PIPELINES`, says all."""

from __future__ import annotations

from gfedge.ai import enlarging, generating, sheets
from gfedge.ai.types import GenerateParams, Kind, SheetParams, SuperresParams
from gfedge.ai.work import Pipeline

PIPELINES: dict[Kind, Pipeline] = {
    "generate": Pipeline(
        params=GenerateParams,
        model="sprite",
        prepare=generating.prepare,
        memory=generating.memory,
        run=generating.run,
    ),
    "superres": Pipeline(
        params=SuperresParams,
        model="superres",
        prepare=enlarging.prepare,
        memory=enlarging.memory,
        run=enlarging.run,
        needs_model=lambda params: params.mode != "pixel",
    ),
    "sheet": Pipeline(
        params=SheetParams,
        model="",
        prepare=sheets.prepare,
        memory=sheets.memory,
        run=sheets.run,
        needs_model=lambda params: False,
    ),
}
