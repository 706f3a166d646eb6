"""Every call of MLflow's that this server answers; what is left falls to the last rows."""

from __future__ import annotations

from gfedge.mlflow import (
    experiments,
    files,
    histories,
    inputs,
    logged_models,
    model_versions,
    registered_models,
    run_search,
    runs,
    server,
)
from gfedge.wire import Route


def calls() -> list[Route]:
    return [
        *experiments.routes(),
        *runs.routes(),
        *run_search.routes(),
        *histories.routes(),
        *inputs.routes(),
        *files.routes(),
        *logged_models.routes(),
        *registered_models.routes(),
        *model_versions.routes(),
        *server.routes(),
    ]
