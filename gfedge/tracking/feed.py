"""What happens to experiments and runs, told to the listeners of the stream `experiments`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from gfedge.events import Events, Subscription
from gfedge.tracking.experiments import Experiments
from gfedge.tracking.filter import Query
from gfedge.tracking.index import RunIndex
from gfedge.tracking.query import Scope
from gfedge.tracking.types import (
    ExperimentQuery,
    ExperimentRow,
    LogBatch,
    Point,
    Run,
    RunRecord,
    shown,
)

SHOWN_RUNS, SHOWN_EXPERIMENTS = 50, 100
"""In a snapshot, newest first."""
SHOWN_POINTS = 1000
"""Of one report, the last ones; the history has all."""
REMEMBERED = 500
"""Changed runs that a snapshot need not read."""

_run = msgspec.json.Decoder(Run).decode


class ExperimentsNow(msgspec.Struct, kw_only=True, frozen=True):
    """The snapshot: the newest experiments and runs, or those of the topics."""

    experiments: list[ExperimentRow]
    runs: list[Run]


class RunLogged(msgspec.Struct, kw_only=True, frozen=True):
    """What a run reported."""

    run_id: str
    experiment_id: str
    points: Annotated[list[Point], Meta(description="The last 1000 of the report.")]
    total: Annotated[int, Meta(description="Points in the report.")]
    params: dict[str, str]
    tags: dict[str, str]


MESSAGES = {
    "snapshot": ExperimentsNow,
    "experiment.created": ExperimentRow,
    "experiment.changed": ExperimentRow,
    "run.created": Run,
    "run.changed": Run,
    "run.logged": RunLogged,
    "run.ended": Run,
}


class Feed:
    """Publishes each change right after memory shows it."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._recent: OrderedDict[str, RunRecord] = OrderedDict()
        """What was told of runs since somebody listens: newer than what a reader of the database sees."""
        self.elsewhere: Callable[[], Iterable[RunRecord]] = list
        """Runs of jobs that have not ended: whoever runs those knows."""

    def experiment(self, type_: str, row: ExperimentRow) -> None:
        self._events.publish("experiments", type_, row, (f"experiment:{row.id}",))

    def run(self, type_: str, record: RunRecord) -> None:
        if self._remember(record):
            self._events.publish("experiments", type_, shown(record), topics(record))

    def logged(self, record: RunRecord, batch: LogBatch) -> None:
        if not self._remember(record):
            return
        told = RunLogged(
            run_id=record.id,
            experiment_id=record.experiment_id,
            points=batch.metrics[-SHOWN_POINTS:],
            total=len(batch.metrics),
            params=batch.params,
            tags=batch.tags,
        )
        self._events.publish("experiments", "run.logged", told, topics(record))

    async def snapshot(
        self, experiments: Experiments, index: RunIndex, wanted: Subscription
    ) -> ExperimentsNow:
        ids = _named("experiment", wanted)
        scope = Scope(experiments=ids or None, hidden=experiments.deleted(), limit=SHOWN_RUNS)
        runs: dict[str, Run] = {}
        if ids or not wanted.topics:
            page, _ = await index.search(Query(), scope, "")
            runs = {run.id: run for run in map(_run, page.runs)}
        for run_id in _named("run", wanted):
            if (found := await index.find(run_id)) is not None:
                runs[run_id] = found
        # No await from here on: what changed while the database was read is in memory.
        newer = [*self.elsewhere(), *self._recent.values()]
        chosen = frozenset(wanted.topics)
        runs |= {r.id: shown(r) for r in newer if not chosen or not chosen.isdisjoint(topics(r))}
        rows = experiments.select(ExperimentQuery(), {})
        shown_rows = [row for row in rows if not chosen or row.id in ids][:SHOWN_EXPERIMENTS]
        newest = sorted(runs.values(), key=lambda run: run.id, reverse=True)
        return ExperimentsNow(
            experiments=shown_rows,
            runs=[run for run in newest if run.deleted_at is None][: max(SHOWN_RUNS, len(chosen))],
        )

    # Inside

    def _remember(self, record: RunRecord) -> bool:
        """Whether anybody listens."""
        if not self._events.listened("experiments"):
            self._recent.clear()
            return False
        self._recent[record.id] = record
        self._recent.move_to_end(record.id)
        if len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)
        return True


def topics(run: RunRecord) -> tuple[str, str]:
    return f"run:{run.id}", f"experiment:{run.experiment_id}"


def _named(kind: str, wanted: Subscription) -> list[str]:
    """Ids of the topics of a kind."""
    parts = [topic.partition(":") for topic in wanted.topics]
    return [what for named, _, what in parts if named == kind]
