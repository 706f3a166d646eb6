"""What MLflow's clients ask of the server itself, and what this one does not do."""

from __future__ import annotations

from typing import NoReturn

import msgspec
from aiohttp import web

from gfedge.mlflow import refusals
from gfedge.mlflow.protocol import call, row
from gfedge.wire import Route

VERSION = "3.17.2"
"""Of the server whose behaviour this is."""
ABSENT = (
    *("traces", "gateway", "scorers", "datasets", "webhooks", "workspaces", "prompts", "issues"),
    *("evaluations", "genai", "graphql", "jobs", "label-schemas", "review-queues", "assessments"),
    *("prompt-optimization", "promptlab", "mcp", "online-scoring-configs", "labeling", "users"),
)
"""Beginnings of paths that are not this server's job."""
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Nothing(msgspec.Struct):
    pass


class ServerInfo(msgspec.Struct, kw_only=True):
    """What of MLflow's newer abilities this server has."""

    store_type: str = "gfedge"
    workspaces_enabled: bool = False
    trace_archival_enabled: bool = False
    multipart_uploads_enabled: bool = True
    multipart_downloads_enabled: bool = False


def routes() -> list[Route]:
    info = "MLflow: what this server can do"
    newer = ("/api/3.0/mlflow/server-info", "/ajax-api/3.0/mlflow/server-info")
    return [
        call("GET", "server-info", get_server_info, Nothing, ServerInfo, info, twins=newer),
        row("GET", "/version", version, "MLflow: the version of its protocol", name="version", produces=("text/plain",)),
        *(absent(method) for method in METHODS),
        *(absent_file(method) for method in METHODS),
    ]  # fmt: skip


async def get_server_info(request: web.Request, asked: Nothing) -> ServerInfo:
    return ServerInfo()


async def version(request: web.Request) -> web.Response:
    return web.Response(text=VERSION)


def absent(method: str) -> Route:
    """What is left below MLflow's paths."""

    async def absent(request: web.Request) -> NoReturn:
        path = request.match_info["path"]
        if path.startswith(ABSENT):
            raise refusals.not_implemented(
                f"{path.split('/')[0]} are not kept by this server: see docs/mlflow.md for what is"
            )
        raise refusals.Refused(
            f"{method} {request.path} is no call that this server knows", "ENDPOINT_NOT_FOUND", 404
        )

    apis = [f"/{api}/{version}/mlflow" for api in ("api", "ajax-api") for version in ("2.0", "3.0")]
    path, *twins = [f"{api}/{{path}}" for api in apis]
    summary = "MLflow: what this server does not do, told in its form"
    return row(
        method, path, absent, summary, name="absent", tail=True, twins=tuple(twins), reply=Nothing
    )


def absent_file(method: str) -> Route:
    """What is left below the paths of files. Downloads in ranges are those of HTTP: no address with a secret is needed."""

    async def absent_file(request: web.Request) -> NoReturn:
        if request.match_info["path"].startswith("presigned/"):
            raise refusals.not_implemented(
                "Multipart download is not supported for the current artifact repository"
            )
        raise refusals.Refused(
            f"{method} {request.path} is no call that this server knows", "ENDPOINT_NOT_FOUND", 404
        )

    path, *twins = [
        f"/{api}/{version}/mlflow-artifacts/{{path}}"
        for api in ("api", "ajax-api")
        for version in ("2.0", "3.0")
    ]
    summary = "MLflow: what this server does not do with files, told in its form"
    return row(
        method,
        path,
        absent_file,
        summary,
        name="absent_file",
        tail=True,
        twins=tuple(twins),
        reply=Nothing,
    )
