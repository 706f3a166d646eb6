"""Runs side by side. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gfedge.tracking.types import Compared, Number, Run, RunComparison, RunRow

Values = Mapping[str, Number] | Mapping[str, str]


def side_by_side(runs: list[Run]) -> RunComparison:
    """A line for each key that any of them has."""
    return RunComparison(
        runs=[
            RunRow(**{name: getattr(run, name) for name in RunRow.__struct_fields__})
            for run in runs
        ],
        params=_lines(runs, lambda run: run.params),
        metrics=_lines(runs, lambda run: run.metrics),
        system_metrics=_lines(runs, lambda run: run.system_metrics),
        tags=_lines(runs, lambda run: run.tags),
    )


def _lines(runs: list[Run], values: Callable[[Run], Values]) -> list[Compared]:
    found = []
    for key in sorted({key for run in runs for key in values(run)}):
        line = [values(run).get(key) for run in runs]
        found.append(Compared(key=key, values=line, differs=len(set(line)) > 1))
    return found
