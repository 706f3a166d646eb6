"""Every call of MLflow's that this server answers; what is left falls to the last rows."""

from __future__ import annotations

from gfedge.mlflow import experiments, histories, inputs, run_search, runs, server
from gfedge.wire import Route


def calls() -> list[Route]:
    return [
        *experiments.routes(),
        *runs.routes(),
        *run_search.routes(),
        *histories.routes(),
        *inputs.routes(),
        *server.routes(),
    ]
