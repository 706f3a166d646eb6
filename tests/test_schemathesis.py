"""Every route against its own description, with generated requests: no 5xx, and nothing that the document does not say.

The ids of real things stand in most paths, else almost every answer would be a 404. Requests are the same in each run.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator
from typing import Any

import builders
import pytest
import schemathesis
from conftest import Process, connected, make_models
from hypothesis import HealthCheck, settings
from schemathesis import Case, SerializationContext
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import (
    CoveragePhaseConfig,
    GenerationConfig,
    PhasesConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)
from schemathesis.config._checks import (
    NEGATIVE_DATA_REJECTION_EXPECTED_STATUSES,
    ChecksConfig,
    NegativeDataRejectionConfig,
)

from gfedge import app, openapi
from gfedge.registry import uploads

ROUNDS = int(os.environ.get("GFEDGE_FUZZ", "0"))
"""Generated requests for each operation in the long proof, which then tries every edge of the schemas too."""
ML = "/api/v1/ml-platform"
DOCUMENT = openapi.document(
    # What MLflow's clients may send is what its server takes: tests/test_mlflow_twin.py holds that against it.
    [route for route in app.routes() if route.messages is None and route.tells is None]
)

load_all_checks()
CHECKED = [
    CHECKS.get_one(name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
    )
]

# A body may be too large before anybody looks whether it fits: 413 refuses it as well.
REFUSALS = [*NEGATIVE_DATA_REJECTION_EXPECTED_STATUSES, "413"]
checks = ChecksConfig(
    negative_data_rejection=NegativeDataRejectionConfig(expected_statuses=REFUSALS)
)
generation = GenerationConfig(max_examples=ROUNDS or 4, deterministic=True, no_shrink=True)
phases = PhasesConfig(coverage=CoveragePhaseConfig(enabled=ROUNDS > 0))
config = SchemathesisConfig(
    projects=ProjectsConfig(
        default=ProjectConfig(generation=generation, checks=checks, phases=phases)
    )
)
schema = schemathesis.openapi.from_dict(DOCUMENT, config=config)


@schemathesis.serializer(*(kind for kind in uploads.BODIES if kind != "application/octet-stream"))
def as_it_is(context: SerializationContext, value: Any) -> bytes:
    """Archives and graphs are bytes."""
    return value if isinstance(value, bytes) else str(value).encode()


REAL: dict[str, dict[str, list[str]]] = {}
"""What stands for the parameters of a path, by the path's beginning and the parameter."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that has one of everything."""
    folder = tmp_path_factory.mktemp("schemathesis")
    process = Process(folder / "data", make_models(folder / "models"), max_wait=1, max_queue=1000)
    address = process.start()
    try:
        asyncio.run(_fill(address))
        yield address
    finally:
        process.kill()


async def _fill(address: str) -> None:
    async with connected(address) as api:
        assert await api.get("/openapi.json") == openapi.document(app.routes())
        job = await api.generate()
        asset = job["outputs"][0]["sha256"]
        experiment = await api.call("POST", f"{ML}/experiments", 201, json={"name": "mine"})
        run = await api.call("POST", f"{ML}/experiments/{experiment['id']}/runs", 201, json={})
        batch = {"metrics": [{"key": "loss", "value": 0.5}], "params": {"lr": "0.1"}}
        await api.call("POST", f"{ML}/runs/{run['id']}/log", json=batch)
        file = f"{ML}/runs/{run['id']}/artifacts/a.bin"
        await api.call("PUT", file, 201, data=b"bytes")
        dataset = {"name": "tiles", "digest": "d1"}
        dataset = await api.call("POST", f"{ML}/datasets", 201, json=dataset)
        await api.upscale(builders.png_file())
    ids = {
        f"{ML}/ai-jobs": job["id"],
        f"{ML}/experiments": experiment["id"],
        f"{ML}/runs": run["id"],
        f"{ML}/datasets": dataset["id"],
        f"{ML}/lineage": job["id"],
    }
    REAL.update({start: {"id": [found]} for start, found in ids.items()})
    REAL[f"{ML}/runs"] |= {"key": ["loss"], "path": ["a.bin", "b/c.bin"]}
    REAL[f"{ML}/lineage"]["kind"] = ["job"]
    REAL[f"{ML}/models"] = {"name": ["sprite", "superres"], "version": ["1"]}
    REAL["/api/v1/assets"] = {"sha256": [asset]}


def known(path: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Mostly real things; what was generated where there are none."""
    for start, real in REAL.items():
        if path.startswith(start):
            dice = random.Random(repr(parameters))
            chosen = {k: dice.choice(v) for k, v in real.items() if k in parameters}
            return parameters | (chosen if dice.random() < 0.8 else {})
    return parameters


@schema.parametrize()
@settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)
def test_every_operation_answers_as_it_says(case: Case, server: str) -> None:
    if case.path_parameters:
        case.path_parameters = known(case.path, dict(case.path_parameters))
    case.call_and_validate(base_url=server, checks=CHECKED)
