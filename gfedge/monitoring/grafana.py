"""A Grafana, where one is set: its dashboards with their addresses. Its token stays in this process.

What a browser may embed is that Grafana's decision: `[security] allow_embedding` and anonymous access, or a public dashboard.
"""

from __future__ import annotations

import io
import re
import tarfile
from typing import Any
from urllib.parse import quote

import msgspec

from gfedge import errors
from gfedge.monitoring.board_types import DashboardLink, GrafanaState
from gfedge.monitoring.boards import shipped
from gfedge.outbound import Outbound, TargetFailed

UID = re.compile(r"[A-Za-z0-9_-]{1,64}")
FOLDER = "/etc/grafana/provisioning/dashboards/gfedge"
DATASOURCE = "gfedge"


class Found(msgspec.Struct, kw_only=True):
    """What Grafana's search tells of a dashboard."""

    uid: str
    title: str
    url: str
    tags: list[str] = []


class Grafana:
    """The Grafana of `GRAFANA_URL`; None stands for that none is set."""

    def __init__(self, outbound: Outbound | None) -> None:
        self._outbound = outbound

    async def dashboards(self) -> tuple[list[DashboardLink], GrafanaState]:
        """Those of it, and how it answers; a Grafana that is down is said to be, and no error."""
        if self._outbound is None:
            return [], GrafanaState(status="not set", detail="start the server with GRAFANA_URL")
        url = self._outbound.target.url
        try:
            answer = await self._outbound.fetch(
                "/api/search", query={"type": "dash-db", "limit": "1000"}
            )
            if answer.status != 200:
                raise TargetFailed(_refusal(answer.status))
            found: list[Found] = answer.json(list[Found])
        except errors.ApiError as error:
            return [], GrafanaState(status="unreachable", url=url, detail=error.detail)
        return [_link(one, url) for one in found], GrafanaState(status="ok", url=url)

    async def dashboard(self, uid: str) -> dict[str, Any] | None:
        """The JSON of one of its dashboards; None where it has no such. Raises TargetFailed, TargetTimeout."""
        if self._outbound is None or not UID.fullmatch(uid):
            return None
        answer = await self._outbound.fetch(f"/api/dashboards/uid/{quote(uid, safe='')}")
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise TargetFailed(_refusal(answer.status))
        found = answer.json(dict[str, Any]).get("dashboard")
        return found if isinstance(found, dict) else None


def _refusal(status: int) -> str:
    if status in (401, 403):
        return "the Grafana refuses the token: check GRAFANA_API_KEY"
    return f"the Grafana answered {status}"


def _link(found: Found, base: str) -> DashboardLink:
    """Its addresses are built from its uid; what it says of its path is only the name at the end."""
    slug = quote(found.url.rstrip("/").rpartition("/")[2], safe="-_")
    path = f"{quote(found.uid, safe='')}/{slug}"
    return DashboardLink(
        uid=found.uid,
        title=found.title,
        tags=found.tags,
        source="grafana",
        url=f"{base}/d/{path}",
        embed_url=f"{base}/d/{path}?orgId=1&kiosk&refresh=10s",
        panel_embed_url=f"{base}/d-solo/{path}?orgId=1&panelId={{panel}}&refresh=10s",
    )


def provisioning(address: str, interval_seconds: float) -> str:
    """A file that Grafana takes under `provisioning/datasources` and under `provisioning/dashboards`."""
    return _yaml(
        {
            "apiVersion": 1,
            "datasources": [_datasource(address, interval_seconds)],
            "providers": [_provider()],
        }
    ).decode()


def _yaml(value: dict[str, Any]) -> bytes:
    return msgspec.yaml.encode(value)


def archive(address: str, interval_seconds: float) -> bytes:
    """All of Grafana's folder `provisioning` as a tar.gz: the data source, the provider and the dashboards."""
    files = {
        "datasources/gfedge.yaml": _yaml(
            {"apiVersion": 1, "datasources": [_datasource(address, interval_seconds)]}
        ),
        "dashboards/gfedge.yaml": _yaml({"apiVersion": 1, "providers": [_provider()]}),
        **{
            f"dashboards/gfedge/{uid}.json": msgspec.json.format(msgspec.json.encode(board))
            for uid, board in shipped().items()
        },
    }
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
    return made.getvalue()


def _datasource(address: str, interval_seconds: float) -> dict[str, Any]:
    return {
        "name": "gfedge",
        "uid": DATASOURCE,
        "type": "prometheus",
        "access": "proxy",
        "url": f"{address}/prometheus",
        "jsonData": {
            "httpMethod": "POST",
            "timeInterval": f"{interval_seconds:g}s",
            "manageAlerts": True,
            "prometheusType": "Prometheus",
            "prometheusVersion": "3.5.0",
        },
    }


def _provider() -> dict[str, Any]:
    return {"name": "gfedge", "type": "file", "options": {"path": FOLDER}}
