"""The parts of training, put together: opened in order, closed in reverse."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

from gfedge.db import Database
from gfedge.events import Events, Snapshot, Subscription
from gfedge.registry import evaluations
from gfedge.registry.registry import Registry
from gfedge.settings import Settings
from gfedge.tracking.artifacts import ArtifactFiles
from gfedge.tracking.experiments import Experiments
from gfedge.tracking.runs import Runs
from gfedge.training.exported import Exports
from gfedge.training.external import External
from gfedge.training.jobs import STREAM, TrainingJobs
from gfedge.training.local import Local
from gfedge.training.rented import Rented
from gfedge.training.secrets import JobSecrets
from gfedge.training.types import TrainingJobs as TrainingJobsPage


class Needs(NamedTuple):
    """What training builds on."""

    settings: Settings
    db: Database
    events: Events
    experiments: Experiments
    runs: Runs
    files: ArtifactFiles
    registry: Registry
    busy: Callable[[], int]
    """How many AI jobs wait."""


@asynccontextmanager
async def opened(needs: Needs) -> AsyncIterator[tuple[TrainingJobs, JobSecrets]]:
    """The training jobs, with every backend at work; what a restart interrupted goes on."""
    settings = needs.settings
    secrets = JobSecrets(settings.data / "training.key")
    scratch = settings.data / "training"
    exports = Exports(needs.db, needs.runs, needs.files, needs.registry.register, scratch)
    jobs = TrainingJobs(settings, needs.db, needs.events, needs.experiments, needs.runs, exports)
    local, external = Local(settings, jobs, secrets, needs.registry), External(settings, jobs)
    rented = Rented(settings, jobs, secrets)
    jobs.give = partial(evaluations.give, needs.registry)
    local.busy, jobs.place = needs.busy, local.position
    jobs.backends = {"local": local, "external": external, "vastai": rented}
    await jobs.open()
    needs.events.begin_with(STREAM, _snapshot(jobs))
    external.open()
    rented.open()
    jobs.start()
    try:
        yield jobs, secrets
    finally:
        jobs.stopping.set()
        await local.close()
        await rented.close()
        await external.close()
        await jobs.close()


def _snapshot(jobs: TrainingJobs) -> Snapshot:
    async def snapshot(wanted: Subscription) -> TrainingJobsPage:
        return TrainingJobsPage(jobs=jobs.snapshot())

    return snapshot
