"""Dashboards as clients see them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class DashboardLink(msgspec.Struct, kw_only=True, frozen=True):
    """A dashboard in the list of them."""

    uid: str
    title: str
    description: str = ""
    tags: list[str] = []
    source: Annotated[
        str, Meta(description="gfedge: it comes with the server; grafana: it is there.")
    ]
    url: Annotated[str, Meta(description="Its JSON here, or its page in that Grafana.")]
    embed_url: Annotated[str, Meta(description="For an iframe; empty for those of the server.")] = (
        ""
    )
    panel_embed_url: Annotated[
        str, Meta(description="For an iframe of one panel: put its id in the place of {panel}.")
    ] = ""


class PanelSeries(msgspec.Struct, kw_only=True, frozen=True):
    """A line of a panel; its values stand at the times of the answer, null where there is none."""

    name: str
    labels: dict[str, str]
    values: list[float | None]


class PanelTarget(msgspec.Struct, kw_only=True, frozen=True):
    """One expression of a panel."""

    ref_id: str
    query: str
    series: list[PanelSeries]
    error: str = ""


class PanelData(msgspec.Struct, kw_only=True, frozen=True):
    """A panel, evaluated."""

    id: int
    title: str
    type: str
    unit: str
    grid: Annotated[dict[str, int], Meta(description="Place of 24 columns: x, y, w, h.")]
    targets: list[PanelTarget]


class DashboardValues(msgspec.Struct, kw_only=True, frozen=True):
    """All panels of a dashboard over a time."""

    uid: str
    title: str
    start: float
    end: float
    step: float
    times: list[float]
    panels: list[PanelData]


class GrafanaState(msgspec.Struct, kw_only=True, frozen=True):
    """How the Grafana that is set answers."""

    status: Literal["not set", "ok", "unreachable"]
    url: str = ""
    detail: str = ""


class Dashboards(msgspec.Struct, kw_only=True, frozen=True):
    """The dashboards of the server and, where one is set, of a Grafana."""

    dashboards: list[DashboardLink]
    grafana: GrafanaState


class DataQuery(
    msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename={"start": "from", "end": "to"}
):
    """Over what time."""

    start: Annotated[str, Meta(max_length=64, examples=["now-6h"])] = "now-1h"
    end: Annotated[str, Meta(max_length=64, examples=["now"])] = "now"
    step: Annotated[
        str, Meta(max_length=64, description="A 250th of the time, where not said.")
    ] = ""
