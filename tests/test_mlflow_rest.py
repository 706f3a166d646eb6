"""MLflow's REST calls as its own tests send them: raw bodies, texts of errors that clients look for, files by either name of a run."""

from __future__ import annotations

from typing import Any

from conftest import Api
from mlflowing import API
from test_mlflow import make_run, refused

AJAX = "/ajax-api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"
ANY, INVALID = "application/octet-stream", "INVALID_PARAMETER_VALUE"
MISFITS: list[tuple[str, dict[str, Any], str]] = [
    ("experiments/create", {"name": 123}, "Invalid value 123 for parameter 'name' supplied"),
    ("experiments/create", {"name": "x", "artifact_location": 9.5}, "Invalid value 9.5 for parameter 'artifact_location' supplied"),
    ("experiments/create", {"name": "x", "tags": "5"}, "Invalid value \"5\" for parameter 'tags' supplied"),
    ("runs/log-metric", {"run_id": 31}, "Invalid value 31 for parameter 'run_id' supplied"),
    ("runs/log-metric", {"run_id": None, "key": "k", "value": 1, "timestamp": 1}, "Missing value for required parameter 'run_id'"),
    ("runs/log-metric", {"key": None, "value": 1, "timestamp": 1}, "Missing value for required parameter 'key'"),
    ("runs/log-metric", {"key": "k", "value": 1, "timestamp": "foo"}, "Invalid value \"foo\" for parameter 'timestamp' supplied"),
    ("runs/set-tag", {"key": "k", "value": {"a": 1}}, "Invalid value {\"a\":1} for parameter 'value' supplied"),
    ("runs/log-batch", {"metrics": [{"key": "mae", "value": 2.5}]}, "Missing value for required parameter 'metrics[0].timestamp'"),
    ("runs/log-batch", {"params": [{"key": "a"}, {"key": "b", "value": 7}]}, "Invalid value 7 for parameter 'params[1].value' supplied"),
    ("runs/create", {"start_time": -5}, "Invalid value -5 for parameter 'start_time' supplied"),
    ("runs/search", {"max_results": 123456789}, "Invalid value 123456789 for parameter 'max_results' supplied"),
    ("experiments/search-datasets", {}, "SearchDatasets request must specify at least one experiment_id"),
    ("experiments/search-datasets", {"experiment_ids": ["x"] * 21}, "SearchDatasets request cannot specify more than"),
    ("runs/log-inputs", {"datasets": [{"dataset": {"name": "n", "digest": "d" * 37}}]}, "'digest' exceeds the maximum length of 36 characters"),
]  # fmt: skip


async def made_version(api: Api, name: str, source: str, **more: Any) -> dict[str, Any]:
    body = {"name": name, "source": source, **more}
    answer = await api.call("POST", f"{API}/model-versions/create", json=body)
    found: dict[str, Any] = answer["model_version"]
    return found


async def model(api: Api, name: str) -> dict[str, Any]:
    answer = await api.get(f"{API}/registered-models/get", name=name)
    found: dict[str, Any] = answer["registered_model"]
    return found


async def test_a_value_that_does_not_fit_is_told(client: Api) -> None:
    run_id = await make_run(client)
    for path, body, text in MISFITS:
        reports = path.startswith("runs/") and path not in ("runs/create", "runs/search")
        body = {"run_id": run_id, **body} if reports else body
        said = await refused(client, "POST", f"{API}/{path}", 400, INVALID, json=body)
        assert said.startswith(text), said


async def test_nulls_are_fields_that_are_not_there(client: Api) -> None:
    run_id = await make_run(client, run_name=None)
    metric = {"key": "m", "value": 1, "timestamp": 1, "step": None}
    body = {"run_id": run_id, "metrics": [metric], "params": None}
    await client.call("POST", f"{API}/runs/log-batch", json=body)
    history = await client.get(f"{API}/metrics/get-history", run_uuid=run_id, metric_key="m")
    assert [one["step"] for one in history["metrics"]] == [0]


async def test_a_run_has_its_older_name_too(client: Api) -> None:
    run_id = await make_run(client)
    tag = {"run_uuid": run_id, "key": "k", "value": "v"}
    await client.call("POST", f"{API}/runs/set-tag", json=tag)
    run = (await client.get(f"{API}/runs/get", run_uuid=run_id))["run"]
    assert {"key": "k", "value": "v"} in run["data"]["tags"]
    await refused(client, "GET", f"{API}/runs/get", 400, INVALID)


async def test_a_file_comes_and_goes_by_the_run(client: Api) -> None:
    run_id = await make_run(client)
    at, named = f"{AJAX}/upload-artifact", {"run_uuid": run_id}
    for query, text in (
        ({}, "Request must specify run_uuid."),
        (named, "Request must specify path."),
        ({**named, "path": "../t.txt"}, "Invalid path"),
        ({**named, "path": "t.txt"}, "Request must specify data."),
    ):
        body = {} if "data" in text else {"data": b"x"}
        assert await refused(client, "POST", at, 400, INVALID, params=query, **body) == text
    await client.call("POST", at, params={**named, "path": "d/MLmodel"}, data=b"hello")
    for path in ("../x", "/etc/passwd", "C:\\x"):
        for call in (f"{API}/artifacts/list", "/get-artifact", "/model-versions/get-artifact"):
            query = {"run_id": run_id, "path": path, "name": "m", "version": "1"}
            said = await refused(client, "GET", call, 400, INVALID, params=query)
            assert said == "Invalid path"
    async with client.http.get("/get-artifact", params={**named, "path": "d/MLmodel"}) as answer:
        assert await answer.read() == b"hello"
        assert answer.headers["Content-Disposition"] == "attachment; filename=MLmodel"
    folder = {**named, "path": "d"}
    said = await refused(client, "GET", "/get-artifact", 400, INVALID, params=folder)
    assert said.startswith("Artifact path refers to a directory")
    found = await client.get(f"{FILES}?path=0/{run_id}/artifacts/.")
    assert found["files"] == [{"path": "d", "is_dir": True}]


async def test_a_file_of_no_kind_has_that_of_its_name(client: Api) -> None:
    for name, kind in (("a.txt", "text/plain"), ("b.pkl", ANY), ("MLmodel", "text/plain")):
        at, bare = f"{FILES}/{name}", ["Content-Type"]
        async with client.http.put(at, data=b"x", skip_auto_headers=bare) as answer:
            assert answer.status == 200
        async with client.http.get(at) as answer:
            assert answer.headers["Content-Type"] == kind


async def test_downloads_in_parts_are_told_not_to_be_there(client: Api) -> None:
    path = "/api/2.0/mlflow-artifacts/presigned/a"
    await refused(client, "GET", path, 501, "NOT_IMPLEMENTED")
    await refused(client, "GET", "/api/2.0/mlflow-artifacts/nothing", 404, "ENDPOINT_NOT_FOUND")


async def test_a_version_of_a_run_that_is_not_here_is_kept_without_files(client: Api) -> None:
    await client.call("POST", f"{API}/registered-models/create", json={"name": "m"})
    source = "runs:/elsewhere/model"
    path = f"{API}/model-versions/create"
    for bad in ({}, {"run_id": "another"}):
        body = {"name": "m", "source": source, **bad}
        said = await refused(client, "POST", path, 400, INVALID, json=body)
        assert "run_id request parameter must identify" in said
    first = await made_version(client, "m", source, run_id="elsewhere")
    assert (first["run_id"], first["description"]) == ("elsewhere", "")
    found = await client.get(f"{API}/model-versions/search", filter="run_id = 'elsewhere'")
    assert [one["version"] for one in found["model_versions"]] == ["1"]
    copy = await made_version(client, "m", "models:/m/1")
    named = {"name": "m", "version": copy["version"]}
    found = await client.get(f"{API}/model-versions/get-download-uri", **named)
    assert (copy["source"], found["artifact_uri"]) == ("models:/m/1", source)


async def test_a_source_that_is_nowhere_is_refused_with_the_reason(client: Api) -> None:
    await client.call("POST", f"{API}/registered-models/create", json={"name": "m"})
    relative, local = (
        "If supplying a source as an http, https,",
        "To use a local path as a model version",
    )
    for source, text in {
        "s3a://b/api/../x": relative,
        "s3://b/a%252e%252e/..%252fx": relative,
        "dbfs:/x/a%00": relative,
        "/tmp": local,
        "file:///tmp": local,
        "http://host:9000/models": "It is at another host",
        "mlflow-artifacts://host:9000/models": "It is at another host",
    }.items():
        body = {"name": "m", "source": source}
        path = f"{API}/model-versions/create"
        assert text in await refused(client, "POST", path, 400, INVALID, json=body)


async def test_a_model_is_changed_when_a_version_comes_moves_or_goes(client: Api) -> None:
    await client.call("POST", f"{API}/registered-models/create", json={"name": "m"})
    times = [(await model(client, "m"))["last_updated_timestamp"]]

    async def changed() -> bool:
        times.append((await model(client, "m"))["last_updated_timestamp"])
        return bool(times[-1] > times[-2])

    version = {"name": "m", "version": "1"}
    await made_version(client, "m", "s3://bucket/model")
    assert await changed()
    stage = {**version, "stage": "Staging"}
    await client.call("POST", f"{API}/model-versions/transition-stage", json=stage)
    assert await changed()
    described = {**version, "description": "a"}
    await client.call("PATCH", f"{API}/model-versions/update", json=described)
    assert not await changed(), "a text of a version is its own"
    await client.call("DELETE", f"{API}/model-versions/delete", json=version)
    assert await changed()
    assert "latest_versions" not in await model(client, "m")


async def test_a_logged_model_names_its_versions_by_number(client: Api) -> None:
    made = await client.call("POST", f"{API}/logged-models", json={"experiment_id": "0"})
    model_id = made["model"]["info"]["model_id"]
    await client.call("POST", f"{API}/registered-models/create", json={"name": "m"})
    await made_version(client, "m", f"models:/{model_id}", model_id=model_id)
    found = await client.get(f"{API}/logged-models/{model_id}")
    tags = {tag["key"]: tag["value"] for tag in found["model"]["info"]["tags"]}
    assert tags["mlflow.modelVersions"] == '[{"name": "m", "version": 1}]'
