"""MLflow's protocol: what its client logs is what this server's own interface shows, and errors have its form.

`make mlflow` makes the environment with MLflow's client; without it the tests that run scripts are skipped.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import Api, Serving
from mlflowing import API, needs_mlflow, script

from gfedge import app

ML = "/api/v1/ml-platform"


async def make_run(api: Api, **more: Any) -> str:
    body = {"experiment_id": "0", "start_time": 1_700_000_000_000, **more}
    run = (await api.call("POST", f"{API}/runs/create", json=body))["run"]
    return str(run["info"]["run_id"])


async def refused(
    api: Api, method: str, path: str, status: int, error_code: str, **options: Any
) -> str:
    """The message of an error in MLflow's form, and nothing besides."""
    async with api.http.request(method, path, **options) as answer:
        body = await answer.json(content_type="application/json")
        assert (answer.status, body.get("error_code")) == (status, error_code), body
        assert set(body) == {"error_code", "message"}
        return str(body["message"])


async def search(api: Api, text: str = "", **more: Any) -> list[str]:
    body = {"experiment_ids": ["0"], "filter": text, "max_results": 100, **more}
    answer = await api.call("POST", f"{API}/runs/search", json=body)
    return [run["info"]["run_name"] for run in answer.get("runs", [])]


# -- the real client ----------------------------------------------------------------------------


@needs_mlflow
async def test_what_a_script_logs_is_what_the_own_interface_shows(
    client: Api, tmp_path: Path
) -> None:
    told = await script(
        client,
        """
        import pandas
        mlflow.set_experiment("sprites")
        with mlflow.start_run(run_name="first") as run:
            mlflow.log_params({"lr": 0.1, "depth": 3})
            for step in range(3):
                mlflow.log_metric("loss", 1 / (step + 1), step=step)
            mlflow.log_metrics({"worst": float("inf"), "none": float("nan")})
            mlflow.set_tags({"team": "art"})
            data = mlflow.data.from_pandas(pandas.DataFrame({"x": [1, 2]}), name="pixels")
            mlflow.log_input(data, context="training", tags={"part": "one"})
            with mlflow.start_run(nested=True, run_name="inner"):
                mlflow.log_metric("loss", 9)
        for i in range(4):
            mlflow.log_metric("late", i, run_id=run.info.run_id, synchronous=False)
        mlflow.flush_async_logging()
        seen = client.get_run(run.info.run_id)
        frame = mlflow.search_runs(experiment_names=["sprites"], filter_string="params.lr = '0.1'")
        inner = client.search_runs([run.info.experiment_id], "run_name = 'inner'")[0]
        tell(
            run=run.info.run_id, experiment=run.info.experiment_id, status=seen.info.status,
            metrics={k: str(v) for k, v in seen.data.metrics.items()}, params=seen.data.params,
            history=[[m.step, m.value] for m in client.get_metric_history(run.info.run_id, "loss")],
            dataset=seen.inputs.dataset_inputs[0].to_dictionary(),
            frame=frame["run_id"].tolist(), inner=inner.info.run_id,
            changed=refused(client.log_param, run.info.run_id, "lr", "9"),
            unknown=refused(client.get_run, "0" * 32),
        )
        """,
        tmp_path,
    )
    assert told["status"] == "FINISHED"
    assert told["metrics"] == {
        "loss": "0.3333333333333333", "worst": "inf", "none": "nan", "late": "3.0"
    }  # fmt: skip
    assert told["history"] == [[0, 1.0], [1, 0.5], [2, 1 / 3]]
    assert told["dataset"]["tags"] == {"mlflow.data.context": "training", "part": "one"}
    assert told["frame"] == [told["run"]]
    assert told["changed"][0] == "INVALID_PARAMETER_VALUE"
    assert told["unknown"][0] == "RESOURCE_DOES_NOT_EXIST"

    run = await client.get(f"{ML}/runs/{told['run']}")
    assert (run["name"], run["status"], run["params"]) == (
        "first", "finished", {"lr": "0.1", "depth": "3"}
    )  # fmt: skip
    assert run["metrics"]["worst"] == "Infinity"
    assert run["inputs"][0]["name"] == "pixels"
    assert run["tags"]["team"] == "art"
    inner = await client.get(f"{ML}/runs/{told['run']}/children")
    assert [one["id"] for one in inner["runs"]] == [told["inner"]]
    history = await client.get(f"{ML}/runs/{told['run']}/metrics/loss")
    assert history["values"] == [1.0, 0.5, 1 / 3]
    up = await client.get(f"{ML}/lineage/run/{told['run']}", direction="up")
    assert {node["kind"] for node in up["nodes"]} >= {"dataset"}
    experiment = await client.get(f"{ML}/experiments/sprites")
    assert (experiment["id"], experiment["run_count"]) == (told["experiment"], 2)


# -- the protocol ---------------------------------------------------------------------------------


async def test_runs_that_were_made_here_are_mlflow_runs_too(client: Api) -> None:
    made = await client.call("POST", f"{ML}/experiments", 201, json={"name": "ours"})
    run = await client.call(
        "POST", f"{ML}/experiments/ours/runs", 201, json={"params": {"a": "1"}, "tags": {"b": "2"}}
    )
    log = {"metrics": [{"key": "m", "value": 2.5, "step": 3}]}
    await client.call("POST", f"{ML}/runs/{run['id']}/log", json=log)
    seen = (await client.get(f"{API}/runs/get", run_id=run["id"]))["run"]
    assert seen["info"]["experiment_id"] == made["id"]
    assert seen["data"]["params"] == [{"key": "a", "value": "1"}]
    (metric,) = seen["data"]["metrics"]
    assert (metric["value"], metric["step"]) == (2.5, 3)


async def test_a_filter_means_what_mlflow_means(client: Api) -> None:
    for i, loss in enumerate((0.1, 0.5, float("nan"), None)):
        run_id = await make_run(client, run_name=f"run {i}", start_time=1000 + i)
        metrics = [] if loss is None else [{"key": "my loss", "value": str(loss), "timestamp": 1}]
        batch = {
            "run_id": run_id,
            "metrics": metrics,
            "params": [{"key": "lr", "value": f"0.{i}"}],
            "tags": [{"key": "team", "value": "Art" if i % 2 else "code"}],
        }
        await client.call("POST", f"{API}/runs/log-batch", json=batch)
    newest = ["run 3", "run 2", "run 1", "run 0"]
    assert await search(client) == newest
    for text, found in {
        "metrics.`my loss` < 0.3": ["run 0"],
        'metrics."my loss" != 0.1': ["run 2", "run 1"],
        "metrics.`my loss` >= 0.1 AND tags.team = 'code'": ["run 0"],
        "params.lr = '0.2' and": ["run 2"],
        "tags.team LIKE 'a%'": [],
        "tags.team ilike 'a%'": ["run 3", "run 1"],
        "tag.none IS NULL": newest,
        "params.lr IS NOT NULL": newest,
        "attributes.start_time > 1001": ["run 3", "run 2"],
        "Created <= 1000": ["run 0"],
        "status = 'RUNNING'": newest,
        "status = 'running'": [],
        "status LIKE 'RUN%'": newest,
        "run_name = 'run 1'": ["run 1"],
        "artifact_uri LIKE 'mlflow-artifacts:/0/%'": newest,
        "run_id NOT IN ('x', \"y\")": newest,
        "datasets.name = 'x'": [],
    }.items():
        assert await search(client, text) == found, text
    ordered = {
        "metrics.`my loss` ASC": ["run 0", "run 1", "run 2", "run 3"],
        "metrics.`my loss` DESC": ["run 1", "run 0", "run 2", "run 3"],
        "params.lr": ["run 0", "run 1", "run 2", "run 3"],
        "tags.team": ["run 3", "run 1", "run 2", "run 0"],
    }
    for order, found in ordered.items():
        assert await search(client, order_by=[order, order]) == found, order


@pytest.mark.parametrize(
    "text",
    [
        "metrics.a > 'x'", "metrics.a > 1 OR metrics.b > 1", "params.a = 1", "params.a > '1'",
        "params.a IN ('x')", "attributes.nothing = 'x'", "lifecycle_stage = 'active'", "x.a = 'b'",
        "datasets.size = 'x'", "metrics.a IS NULL", "(metrics.a > 1)", "metrics.a > 1,",
        "metrics.a > 1; drop table runs", "tags.a = b", "tags.a", "tags.a = 'x' tags.b = 'y'",
        "run_id IN ()", "run_id IN (1)", "'a' = 'b'", "metrics.a > 0x10", "tags.a = 'x",
    ],
)  # fmt: skip
async def test_a_bad_filter_is_refused_with_the_reason(client: Api, text: str) -> None:
    body = {"experiment_ids": ["0"], "filter": text}
    await refused(client, "POST", f"{API}/runs/search", 400, "INVALID_PARAMETER_VALUE", json=body)


@pytest.mark.parametrize(
    "asked",
    [
        {"order_by": [f"metrics.a{number}" for number in range(20_000)]},
        {"filter": " AND ".join(["params.a = 'b'"] * 501)},
    ],
    ids=["orders", "clauses"],
)
async def test_a_search_has_a_bound(client: Api, asked: dict[str, Any]) -> None:
    """20,000 orders, each compared with each, held the event loop for half a minute."""
    body = {"experiment_ids": ["0"], **asked}
    await refused(client, "POST", f"{API}/runs/search", 400, "INVALID_PARAMETER_VALUE", json=body)


async def test_pages_go_on_where_the_one_before_ended(client: Api) -> None:
    for i in range(5):
        await make_run(client, run_name=str(i), start_time=i + 1)
    found, token = [], None
    while token != "":
        body = {"experiment_ids": ["0"], "max_results": 2, "page_token": token}
        page = await client.call("POST", f"{API}/runs/search", json=body)
        found += [run["info"]["run_name"] for run in page["runs"]]
        token = page.get("next_page_token", "")
    assert found == ["4", "3", "2", "1", "0"]
    for bad in ({"max_results": 0}, {"max_results": 50_001}, {"page_token": "x"}):
        body = {"experiment_ids": ["0"], **bad}
        await refused(
            client, "POST", f"{API}/runs/search", 400, "INVALID_PARAMETER_VALUE", json=body
        )


async def test_a_report_is_recorded_whole_or_not_at_all(client: Api) -> None:
    run_id = await make_run(client)
    good = {"key": "m", "value": 1, "timestamp": 1}
    for bad in (
        {"metrics": [good, {**good, "key": "a/../b"}]},
        {"metrics": [good, {**good, "timestamp": -1}]},
        {"metrics": [good] * 1001},
        {"metrics": [good], "params": [{"key": "p", "value": "1"}, {"key": "p", "value": "1"}]},
        {"metrics": [good], "params": [{"key": f"p{i}", "value": "1"} for i in range(101)]},
        {"metrics": [good], "tags": [{"key": "t\n", "value": "1"}]},
        {"metrics": [good, {"key": "n", "timestamp": 1}]},
        {"metrics": [good, {**good, "key": "k" * 251}]},
        {"metrics": [good], "params": [{"key": "p", "value": 5}]},
    ):
        body = {"run_id": run_id, **bad}
        await refused(
            client, "POST", f"{API}/runs/log-batch", 400, "INVALID_PARAMETER_VALUE", json=body
        )
    run = await client.get(f"{ML}/runs/{run_id}")
    assert (run["metrics"], run["params"]) == ({}, {})
    long = {"run_id": run_id, "params": [{"key": "p", "value": "x" * 7000}]}
    await client.call("POST", f"{API}/runs/log-batch", json={**long, "metrics": [good, good]})
    run = await client.get(f"{ML}/runs/{run_id}")
    assert len(run["params"]["p"]) == 6000
    history = await client.get(f"{API}/metrics/get-history", run_id=run_id, metric_key="m")
    assert len(history["metrics"]) == 1


async def test_histories_come_in_pages_for_many_runs_and_sampled(client: Api) -> None:
    run_id = await make_run(client)
    points = [{"key": "m", "value": i, "timestamp": 10 - i, "step": i} for i in range(10)]
    await client.call("POST", f"{API}/runs/log-batch", json={"run_id": run_id, "metrics": points})
    asked = {"run_id": run_id, "metric_key": "m", "max_results": 4}
    found, token = [], ""
    while token is not None:
        page = await client.get(f"{API}/metrics/get-history", **asked, page_token=token)
        found += [metric["step"] for metric in page["metrics"]]
        token = page.get("next_page_token")
    assert found == list(range(10))[::-1], "by time, then step"
    bulk = await client.get(f"{API}/metrics/get-history-bulk", run_id=run_id, metric_key="m")
    assert [metric["run_id"] for metric in bulk["metrics"]] == [run_id] * 10
    path = f"{API}/metrics/get-history-bulk-interval"
    sample = await client.get(path, run_ids=run_id, metric_key="m", max_results=4)
    assert [metric["step"] for metric in sample["metrics"]] == [0, 3, 6, 9]
    one = await client.get(path, run_ids=run_id, metric_key="m", max_results=1)
    assert [metric["step"] for metric in one["metrics"]] == [9]
    within = await client.get(path, run_ids=run_id, metric_key="m", start_step=3, end_step=5)
    assert [metric["step"] for metric in within["metrics"]] == [3, 4, 5]


async def test_a_deleted_experiment_takes_its_runs_along(client: Api) -> None:
    made = await client.call("POST", f"{API}/experiments/create", json={"name": "gone"})
    run_id = await make_run(client, experiment_id=made["experiment_id"])
    await client.call("POST", f"{API}/experiments/delete", json=made)
    run = (await client.get(f"{API}/runs/get", run_id=run_id))["run"]
    assert run["info"]["lifecycle_stage"] == "deleted"
    both = {"experiment_ids": [made["experiment_id"]]}
    for view, count in (("ACTIVE_ONLY", 0), ("DELETED_ONLY", 1), ("ALL", 1)):
        assert len(await search(client, **both, run_view_type=view)) == count, view
    body = {"run_id": run_id, "key": "a", "value": "1"}
    for path in ("runs/set-tag", "runs/log-parameter"):
        await refused(client, "POST", f"{API}/{path}", 400, "INVALID_PARAMETER_VALUE", json=body)
    again = {"name": "gone"}
    await refused(
        client, "POST", f"{API}/experiments/create", 400, "RESOURCE_ALREADY_EXISTS", json=again
    )
    path = f"{API}/experiments/delete"
    await refused(client, "POST", path, 404, "RESOURCE_DOES_NOT_EXIST", json=made)
    await client.call("POST", f"{API}/experiments/restore", json=made)
    assert len(await search(client, **both)) == 1


async def test_a_run_and_its_name_tag_follow_each_other(client: Api) -> None:
    run_id = await make_run(client)
    tag = {"run_id": run_id, "key": "mlflow.runName", "value": "by tag"}
    await client.call("POST", f"{API}/runs/set-tag", json=tag)
    assert (await client.get(f"{ML}/runs/{run_id}"))["name"] == "by tag"
    await client.call("POST", f"{API}/runs/update", json={"run_id": run_id, "run_name": "by name"})
    assert (await client.get(f"{ML}/runs/{run_id}"))["tags"]["mlflow.runName"] == "by name"


async def test_experiments_are_found_by_filters_in_an_order(client: Api) -> None:
    for name in ("b", "a", "c"):
        tags = [{"key": "k", "value": name}]
        await client.call("POST", f"{API}/experiments/create", json={"name": name, "tags": tags})

    async def named(text: str = "", **more: Any) -> list[str]:
        body = {"max_results": 10, "filter": text, **more}
        found = await client.call("POST", f"{API}/experiments/search", json=body)
        return [one["name"] for one in found["experiments"]]

    assert await named() == ["c", "a", "b", "Default"]
    assert await named("tags.k != 'a'", order_by=["name DESC"]) == ["c", "b"]
    assert await named("tag.k IS NULL") == ["Default"]
    assert await named("name ILIKE 'DEF%' AND experiment_id IN ('0')") == ["Default"]
    page = await client.call("POST", f"{API}/experiments/search", json={"max_results": 3})
    token = page["next_page_token"]
    assert await named(page_token=token) == ["Default"]


# -- the form of errors ---------------------------------------------------------------------------


async def test_what_is_not_there_is_told_in_mlflows_form(client: Api) -> None:
    for version in ("2.0", "3.0"):
        for api in ("api", "ajax-api"):
            base = f"/{api}/{version}/mlflow"
            for path in ("traces/search", "gateway/endpoints", "webhooks", "workspaces"):
                text = await refused(client, "POST", f"{base}/{path}", 501, "NOT_IMPLEMENTED")
                assert "docs/mlflow.md" in text
            await refused(client, "GET", f"{base}/nothing/here", 404, "ENDPOINT_NOT_FOUND")
    await refused(client, "PUT", f"{API}/runs/create", 404, "ENDPOINT_NOT_FOUND")


async def test_every_row_tells_the_doors_errors_in_mlflows_form(
    serving: Serving, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    client = await serving(host="0.0.0.0", admin_token_file=str(token))
    rows = [route for route in app.routes() if route.tells is not None]
    assert len(rows) > 20
    for route in rows:
        for path in (route.path, *route.twins):
            path = re.sub(r"\{\w+\}", "x", path).replace("//", "/")
            await refused(client, route.method, path, 401, "UNAUTHENTICATED")


async def test_bad_bodies_are_refused(client: Api) -> None:
    path = f"{API}/experiments/create"
    kind = {"Content-Type": "application/json"}
    for data, headers, code in (
        (b"{", kind, "BAD_REQUEST"),
        (b'{"name": NaN}', kind, "BAD_REQUEST"),
        (b'{"name": "x"}', {"Content-Type": "text/plain"}, "BAD_REQUEST"),
        (b"", kind, "INVALID_PARAMETER_VALUE"),
        (b'{"name": 5}', kind, "INVALID_PARAMETER_VALUE"),
        (b'{"name": ""}', kind, "INVALID_PARAMETER_VALUE"),
    ):
        await refused(client, "POST", path, 400, code, data=data, headers=headers)
    text = await refused(client, "POST", path, 400, "INVALID_PARAMETER_VALUE", json={})
    assert text.startswith("Missing value for required parameter 'name'")
    large = io.BytesIO(b" " * (5 << 20))
    await refused(client, "POST", path, 413, "RESOURCE_EXHAUSTED", data=large, headers=kind)
    made = await client.call("POST", path, json={"name": "x", "later": True})
    assert made.keys() == {"experiment_id"}


async def test_both_names_of_the_api_and_the_version(client: Api) -> None:
    info = await client.get("/api/3.0/mlflow/server-info")
    assert info == await client.get("/ajax-api/2.0/mlflow/server-info")
    assert (await client.bytes("/version")).startswith(b"3.")
    assert await search(client) == []
    await client.get("/ajax-api/2.0/mlflow/experiments/get", experiment_id="0")
