"""What runs read: datasets linked to them, in the database and then in memory."""

from __future__ import annotations

import time

import msgspec

from gfedge.db import Database, Row
from gfedge.tracking import datasets
from gfedge.tracking.dataset_types import InputCreate
from gfedge.tracking.runs import Runs
from gfedge.tracking.types import RunRecord, StaleRow


async def link(db: Database, runs: Runs, run_id: str, wanted: list[InputCreate]) -> RunRecord:
    """Records that a run reads datasets; Conflict where it was deleted."""
    async with runs.written(run_id) as live:
        rows: list[Row] = [StaleRow(run_id=run_id)] if live.record.ended_at is not None else []
        inputs = await db.write(datasets.link, run_id, wanted, rows, time.time())
        after = msgspec.structs.replace(live.record, inputs=inputs)
        runs.show(live, after)
        return after
