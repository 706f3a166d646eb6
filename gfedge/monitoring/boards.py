"""The dashboards that come with the server, as Grafana has them, and what their panels show, evaluated here."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

import msgspec

from gfedge import errors
from gfedge.monitoring.board_types import (
    DashboardLink,
    DashboardValues,
    PanelData,
    PanelSeries,
    PanelTarget,
)
from gfedge.monitoring.queries import Cancelled, Queries
from gfedge.monitoring.ranges import default_step
from gfedge.monitoring.vitals import number
from gfedge.promql.engine import Engine
from gfedge.promql.types import QueryError, Result

SECONDS = 10.0
"""What one expression may take."""
MOST_SECONDS = 400 * 86_400
LEGEND = re.compile(r"\{\{\s*(\w+)\s*\}\}")


@functools.cache
def shipped() -> dict[str, dict[str, Any]]:
    """The dashboards of the server, by uid."""
    folder = resources.files("gfedge.monitoring") / "dashboards"
    found = [msgspec.json.decode(file.read_bytes()) for file in folder.iterdir()]
    return {board["uid"]: board for board in sorted(found, key=lambda board: str(board["uid"]))}


def links() -> list[DashboardLink]:
    return [
        DashboardLink(
            uid=uid,
            title=board["title"],
            description=board["description"],
            tags=board["tags"],
            source="gfedge",
            url=f"/api/v1/monitoring/dashboards/{uid}",
        )
        for uid, board in shipped().items()
    ]


def board(uid: str) -> dict[str, Any]:
    """A dashboard of the server; raises NotFound."""
    if (found := shipped().get(uid)) is None:
        raise errors.NotFound(
            f"no dashboard {uid!r} comes with the server; there are: {', '.join(shipped())}",
            code="dashboard_not_found",
        )
    return found


async def values(
    found: dict[str, Any],
    start: int,
    end: int,
    step: int | None,
    interval_ms: int,
    queries: Queries,
) -> DashboardValues:
    """Every panel over a time; an expression without an answer says why in its place."""
    if not start < end <= start + MOST_SECONDS * 1000:
        raise errors.Invalid(
            "to: it must be later than from, by 400 days at most", code="bad_time", field="to"
        )
    step = step or max(default_step(start, end), interval_ms)
    if (end - start) // step > 2000:
        raise errors.Invalid("step: more than 2,000 points", code="too_many_points", field="step")
    steps = range(start // step * step, end + 1, step)
    variables = _variables(step, interval_ms, end - start)

    def work(engine: Engine, cancelled: Cancelled) -> list[PanelData]:
        return [_panel(panel, steps, variables, engine, cancelled) for panel in _panels(found)]

    return DashboardValues(
        uid=found["uid"],
        title=found["title"],
        start=steps[0] / 1000,
        end=steps[-1] / 1000,
        step=step / 1000,
        times=[at / 1000 for at in steps],
        panels=await queries.run(work),
    )


def _panels(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (panel for panel in found["panels"] if panel.get("targets"))


def _panel(
    panel: dict[str, Any],
    steps: range,
    variables: dict[str, str],
    engine: Engine,
    cancelled: Cancelled,
) -> PanelData:
    return PanelData(
        id=panel["id"],
        title=panel["title"],
        type=panel["type"],
        unit=panel["fieldConfig"]["defaults"].get("unit", ""),
        grid=panel["gridPos"],
        targets=[_target(t, steps, variables, engine, cancelled) for t in panel["targets"]],
    )


def _target(
    target: dict[str, Any],
    steps: range,
    variables: dict[str, str],
    engine: Engine,
    cancelled: Cancelled,
) -> PanelTarget:
    query = target["expr"]
    for name, value in variables.items():
        query = query.replace(name, value)
    limits = msgspec.structs.replace(engine.limits, seconds=SECONDS)
    try:
        found = engine.range(
            query, steps[0], steps[-1], steps.step, limits=limits, cancelled=cancelled
        )
    except QueryError as failure:
        return PanelTarget(ref_id=target["refId"], query=query, series=[], error=str(failure))
    lines = list(_lines(found, target.get("legendFormat", "")))
    return PanelTarget(ref_id=target["refId"], query=query, series=lines)


def _lines(found: Result, legend: str) -> Iterator[PanelSeries]:
    if found.vector is None:
        return
    mask = found.vector.mask
    for row, labels in enumerate(found.vector.labels.rows):
        named = dict(labels)
        here = zip(found.vector.values[row].tolist(), mask[row].tolist(), strict=True)
        yield PanelSeries(
            name=_legend(legend, named),
            labels=named,
            values=[number(value) if present else None for value, present in here],
        )


def _legend(legend: str, labels: dict[str, str]) -> str:
    """The name of a line: Grafana's format, else the labels as PromQL writes them."""
    if legend:
        return LEGEND.sub(lambda found: labels.get(found[1], ""), legend).strip()
    pairs = ", ".join(f'{k}="{v}"' for k, v in labels.items() if k != "__name__")
    return labels.get("__name__", "") + (f"{{{pairs}}}" if pairs else "")


def _variables(step: int, interval: int, length: int) -> dict[str, str]:
    """Grafana's own variables; the longer names first, because one begins like another."""
    return {
        "$__rate_interval": f"{max(4 * interval, step + interval)}ms",
        "$__interval": f"{step}ms",
        "$__range": f"{length}ms",
    }
