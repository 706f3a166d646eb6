"""The lineage of a thing in the field's formats: OpenLineage run events, and PROV-JSON as another library reads it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import jsonschema_rs
import pytest
from conftest import JOBS, Api

from gfedge import keys
from gfedge.lineage.types import edge

prov = pytest.importorskip("prov", reason="requirements-dev.lock has it: make test installs it")
pytest.importorskip("prov.model")

PLATFORM = "/api/v1/ml-platform"
URI = {"type": "string", "format": "uri"}
FACETS = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "required": ["_producer", "_schemaURL"],
        "properties": {"_producer": URI, "_schemaURL": URI},
    },
}
NAMED = {
    "type": "object",
    "required": ["namespace", "name"],
    "properties": {
        "namespace": {"type": "string", "minLength": 1},
        "name": {"type": "string", "minLength": 1},
        "facets": FACETS,
    },
}
RUN = {
    "type": "object",
    "required": ["runId"],
    "properties": {"runId": {"type": "string", "format": "uuid"}, "facets": FACETS},
}
RUN_EVENT = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["eventType", "eventTime", "producer", "schemaURL", "run", "job"],
    "additionalProperties": False,
    "properties": {
        "eventType": {"enum": ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]},
        "eventTime": {"type": "string", "format": "date-time"},
        "producer": URI,
        "schemaURL": {"const": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"},
        "run": RUN,
        "job": NAMED,
        "inputs": {"type": "array", "items": NAMED},
        "outputs": {"type": "array", "items": NAMED},
    },
}  # fmt: skip
"""What version 2-0-2 of the specification asks of a run event, and nothing besides."""
CHECK = jsonschema_rs.validator_for(RUN_EVENT, validate_formats=True)


async def openlineage(api: Api, kind: str, node_id: str) -> list[Any]:
    path = f"{PLATFORM}/lineage/{kind}/{quote(node_id, safe='')}"
    events: list[Any] = await api.get(path, format="openlineage")
    for event in events:
        CHECK.validate(event)
    return events


async def provenance(api: Api, kind: str, node_id: str) -> tuple[Any, Any]:
    """The document as it is and as the library reads it, which refuses what it does not know."""
    path = f"{PLATFORM}/lineage/{kind}/{quote(node_id, safe='')}"
    found = await api.get(path, format="prov")
    document = prov.model.ProvDocument.deserialize(content=json.dumps(found), format="json")
    named = found["entity"].keys() | found["activity"].keys() | found["agent"].keys()
    for relation in (
        "used",
        "wasGeneratedBy",
        "wasDerivedFrom",
        "wasInformedBy",
        "wasAssociatedWith",
    ):
        for ends in found.get(relation, {}).values():
            assert set(ends.values()) <= named
    return found, document


async def whole_chain(api: Api) -> tuple[Any, Any]:
    """A job on a version that a run of this server made from a dataset and code; the job and the run."""
    await api.call("POST", f"{PLATFORM}/experiments", 201, json={"name": "learning"})
    source = {"commit": "0a1b2c", "repository": "https://example.org/code"}
    at = f"{PLATFORM}/experiments/learning/runs"
    run = await api.call("POST", at, 201, json={"name": "night", "source": source})
    inputs = {"datasets": [{"name": "tiles", "digest": "sha256:00", "context": "training"}]}
    await api.call("POST", f"{PLATFORM}/runs/{run['id']}/inputs", json=inputs)
    await api.call("PATCH", f"{PLATFORM}/runs/{run['id']}", json={"status": "finished"})
    job = await api.generate("red dragon", seed=3)
    made = edge(("run", run["id"]), "produced", ("model_version", "sprite@1"), 1.0)
    await api.http.app[keys.DB].insert(made)  # type: ignore[union-attr]
    return job, run


async def test_openlineage_tells_of_every_run_from_the_data_on(client: Api) -> None:
    job, run = await whole_chain(client)
    events = await openlineage(client, "asset", job["outputs"][0]["sha256"])
    by_run: dict[str, list[Any]] = {}
    for event in events:
        by_run.setdefault(event["run"]["runId"], []).append(event)
    assert {job["id"], run["id"]} < set(by_run)
    for pair in by_run.values():
        assert [event["eventType"] for event in pair] == ["START", "COMPLETE"]
        assert pair[0]["eventTime"] <= pair[1]["eventTime"]
    learned, generated = by_run[run["id"]][1], by_run[job["id"]][1]
    assert [one["name"] for one in learned["inputs"]] == ["datasets/tiles"]
    assert [one["name"] for one in learned["outputs"]] == ["models/sprite"]
    assert learned["outputs"][0]["facets"]["version"]["datasetVersion"] == "1"
    code = learned["job"]["facets"]["sourceCodeLocation"]
    assert (code["url"], code["version"]) == ("https://example.org/code", "0a1b2c")
    assert [one["name"] for one in generated["inputs"]] == ["models/sprite"]
    assert [one["name"] for one in generated["outputs"]] == [
        f"assets/{job['outputs'][0]['sha256']}"
    ]
    assert generated["job"]["name"] == "job/generate"


async def test_openlineage_names_ends_as_they_were(client: Api) -> None:
    _, run = await whole_chain(client)
    cases = {"failed": "FAIL", "killed": "ABORT", "running": None, "finished": "COMPLETE"}
    for status, end in cases.items():
        await client.call("PATCH", f"{PLATFORM}/runs/{run['id']}", json={"status": status})
        events = await openlineage(client, "run", run["id"])
        assert [event["eventType"] for event in events] == ["START"] + [end] * (end is not None)
    cancelled = await client.submit("red dragon", steps=100, n=8)
    await client.call("DELETE", f"{JOBS}/{cancelled['id']}")
    await client.until(cancelled["id"])
    events = [
        e
        for e in await openlineage(client, "job", cancelled["id"])
        if e["run"]["runId"] == cancelled["id"]
    ]
    assert [event["eventType"] for event in events] in (["START", "ABORT"], ["START", "COMPLETE"])


async def test_a_replay_names_the_first_job_as_its_parent(client: Api) -> None:
    job = await client.generate(seed=1)
    path, headers = f"{JOBS}/{job['id']}/replay", {"Prefer": "wait=60"}
    again = (await client.call("POST", path, headers=headers))["job"]
    events = await openlineage(client, "job", again["id"])
    end = [event for event in events if event["run"]["runId"] == again["id"]][-1]
    assert end["run"]["facets"]["parent"]["run"]["runId"] == job["id"]
    found, _ = await provenance(client, "asset", job["outputs"][0]["sha256"])
    makers = [
        one["prov:activity"]
        for one in found["wasGeneratedBy"].values()
        if one["prov:entity"].startswith("gfedge:asset/")
    ]
    assert makers == [f"gfedge:job/{job['id']}"]
    assert {
        "prov:informed": f"gfedge:job/{again['id']}",
        "prov:informant": f"gfedge:job/{job['id']}",
    } in list(found["wasInformedBy"].values())


async def test_prov_holds_the_whole_chain(client: Api) -> None:
    job, run = await whole_chain(client)
    sha256 = job["outputs"][0]["sha256"]
    found, document = await provenance(client, "asset", sha256)
    asset, model = f"gfedge:asset/{sha256}", "gfedge:model_version/sprite@1"
    assert {asset, model, "gfedge:commit/0a1b2c"} <= found["entity"].keys()
    assert {f"gfedge:job/{job['id']}", f"gfedge:run/{run['id']}"} <= found["activity"].keys()
    assert f"gfedge:run/{job['run_id']}" not in found["activity"], "the record of a job is the job"
    derived = [
        (one["prov:generatedEntity"], one["prov:usedEntity"])
        for one in found["wasDerivedFrom"].values()
    ]
    assert (asset, model) in derived
    assert (model, "gfedge:commit/0a1b2c") in derived
    activity = found["activity"][f"gfedge:job/{job['id']}"]
    assert activity["fact:seed"] == 3
    assert activity["prov:startTime"] <= activity["prov:endTime"]
    kinds = {type(record).__name__ for record in document.get_records()}
    assert {
        "ProvEntity",
        "ProvActivity",
        "ProvAgent",
        "ProvUsage",
        "ProvGeneration",
        "ProvDerivation",
    } <= kinds
    assert len(list(document.get_records(prov.model.ProvEntity))) == len(found["entity"])


async def test_names_in_prov_lead_to_this_server(client: Api) -> None:
    job = await client.generate(seed=1)
    found, document = await provenance(client, "job", job["id"])
    for name in (*found["entity"], *found["activity"]):
        uri = document.valid_qualified_name(name).uri
        path = uri[uri.index("/api/") :]
        assert (await client.get(path))["subject"].replace(":", "/", 1) == name.removeprefix(
            "gfedge:"
        )


@pytest.mark.parametrize("form", ["openlineage", "prov"])
async def test_every_kind_can_be_exported(client: Api, form: str) -> None:
    job, run = await whole_chain(client)
    ids = {
        "job": job["id"], "run": run["id"], "asset": job["outputs"][0]["sha256"], "model_version": "sprite@1",
        "dataset": "generate-test-data", "training_run": "generate-test-training", "commit": "0a1b2c",
        "experiment": run["experiment_id"],
    }  # fmt: skip
    read = openlineage if form == "openlineage" else provenance
    for kind, node_id in ids.items():
        found = await read(client, kind, node_id)
        assert found or kind in ("dataset", "commit"), "nothing was done to make these"


@pytest.mark.parametrize("form", ["openlineage", "prov"])
async def test_what_an_export_refuses(client: Api, form: str) -> None:
    at = f"{PLATFORM}/lineage"
    await client.refused("GET", f"{at}/job/nothing?format={form}", 404, "node_not_found")
    await client.refused("GET", f"{at}/job/nothing?format={form}&depth=3", 422, "invalid")
    await client.refused("GET", f"{at}/job/nothing?format=rdf", 422, "invalid")
