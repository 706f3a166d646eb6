"""MLflow's files, logged models and registry: kept by content, promoted through this server's gates, run where they fit."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import builders
import pytest
from conftest import Api, Serving, eventually
from mlflowing import API, PYTHON, needs_mlflow, script
from test_mlflow import ML, make_run, refused

needs_torch = pytest.mark.skipif(
    not list(PYTHON.parent.parent.glob("lib/*/site-packages/torch/version.py")),
    reason="PyTorch is not beside MLflow: `.venv-mlflow/bin/pip install torch` puts it there",
)
FILES = "/api/2.0/mlflow-artifacts"


async def put(api: Api, path: str, data: bytes, status: int = 200) -> None:
    await api.call("PUT", f"{FILES}/artifacts/{path}", status, data=data)


async def listed(api: Api, path: str) -> list[str]:
    found = await api.call("GET", f"{FILES}/artifacts", params={"path": path})
    return [file["path"] for file in found.get("files", [])]


async def make_version(api: Api, name: str = "clf", **more: Any) -> dict[str, Any]:
    """A version of a model that is kept here: the files of a run."""
    async with api.http.request("GET", f"{API}/registered-models/get?name={name}") as answer:
        if answer.status == 404:
            await api.call("POST", f"{API}/registered-models/create", json={"name": name})
    run_id = await make_run(api)
    await put(api, f"0/{run_id}/artifacts/model/MLmodel", b"flavors: {}")
    body = {"name": name, "source": f"runs:/{run_id}/model", "run_id": run_id, **more}
    made = await api.call("POST", f"{API}/model-versions/create", json=body)
    version: dict[str, Any] = made["model_version"]
    return version


async def staged(api: Api, version: dict[str, Any], stage: str, status: int = 200) -> Any:
    body = {"name": version["name"], "version": version["version"], "stage": stage}
    return await api.call("POST", f"{API}/model-versions/transition-stage", status, json=body)


# -- the real client ----------------------------------------------------------------------------


@needs_mlflow
async def test_files_that_a_script_logs_are_artifacts_of_its_run(
    client: Api, tmp_path: Path
) -> None:
    told = await script(
        client,
        """
        import numpy, pathlib
        with mlflow.start_run() as run:
            mlflow.log_text("hello", "a/b.txt")
            mlflow.log_dict({"x": 1}, "d.json")
            for i in range(2):
                mlflow.log_table({"q": ["x" * i]}, "t.json")
            for step in range(3):
                mlflow.log_image(numpy.zeros((4, 4, 3), dtype=numpy.uint8), key="eye", step=step)
            many = pathlib.Path("many", "sub dir")
            many.mkdir(parents=True)
            (many / "ü.bin").write_bytes(b"x" * 100)
            mlflow.log_artifacts("many", "many")
            os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD"] = "true"
            os.environ["MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE"] = str(6 << 20)
            big = pathlib.Path("big.bin")
            big.write_bytes(os.urandom(12 << 20))
            mlflow.log_artifact("big.bin", "parts")
        fetched = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="parts/big.bin")
        tell(
            run=run.info.run_id,
            names=[[f.path, f.is_dir, f.file_size] for f in client.list_artifacts(run.info.run_id)],
            inner=[f.path for f in client.list_artifacts(run.info.run_id, "many/sub dir")],
            images=len(client.list_artifacts(run.info.run_id, "images")),
            table=mlflow.load_table("t.json")["q"].tolist(),
            text=mlflow.artifacts.load_text(run.info.artifact_uri + "/a/b.txt"),
            same=pathlib.Path(fetched).read_bytes() == big.read_bytes(),
            absent=refused(mlflow.artifacts.load_text, run.info.artifact_uri + "/none.txt"),
        )
        """,
        tmp_path,
    )
    assert told["names"] == [
        ["a", True, None], ["d.json", False, 12], ["images", True, None],
        ["many", True, None], ["parts", True, None], ["t.json", False, 37],
    ]  # fmt: skip
    assert (told["inner"], told["images"]) == (["many/sub dir/ü.bin"], 6)
    assert (told["table"], told["text"], told["same"]) == (["", "x"], "hello", True)
    where = f"{ML}/runs/{told['run']}/artifacts?path=parts"
    entries = await client.get(where)
    (big,) = entries["artifacts"]
    assert (big["path"], big["bytes"]) == ("parts/big.bin", 12 << 20)
    assert await client.bytes(f"/get-artifact?run_id={told['run']}&path=a/b.txt") == b"hello"


@needs_mlflow
async def test_a_model_is_logged_registered_promoted_and_loaded(
    client: Api, tmp_path: Path
) -> None:
    told = await script(
        client,
        """
        from sklearn.datasets import load_iris
        from sklearn.linear_model import LogisticRegression
        x, y = load_iris(return_X_y=True)
        mlflow.sklearn.autolog(log_models=False)
        with mlflow.start_run() as run:
            model = LogisticRegression(max_iter=300).fit(x, y)
            info = mlflow.sklearn.log_model(model, name="clf", registered_model_name="iris")
        again = mlflow.register_model(f"runs:/{run.info.run_id}/clf", "iris")
        client.set_registered_model_alias("iris", "best", 1)
        client.transition_model_version_stage("iris", 1, "Staging")
        client.set_registered_model_alias("iris", "champion", 1)
        client.copy_model_version("models:/iris@prod", "iris-live")
        expected = model.predict(x[:3]).tolist()
        loaded = [
            mlflow.pyfunc.load_model(uri).predict(x[:3]).tolist()
            for uri in (info.model_uri, "models:/iris/1", "models:/iris@best", "models:/iris@prod")
        ]
        by_metric = client.search_logged_models(
            [run.info.experiment_id], filter_string="metrics.training_score > 0.5 AND name = 'clf'"
        )
        seen = client.get_logged_model(info.model_id)
        tell(
            run=run.info.run_id, model=info.model_id, loaded=loaded, expected=expected,
            status=str(seen.status), versions=seen.tags["mlflow.modelVersions"],
            outputs=[o.model_id for o in client.get_run(run.info.run_id).outputs.model_outputs],
            found=[m.model_id for m in by_metric], again=again.version,
            aliases=list(client.get_model_version("iris", 1).aliases),
            stage=client.get_model_version("iris", 1).current_stage,
            names=[m.name for m in client.search_registered_models("name LIKE 'iris%'")],
        )
        """,
        tmp_path,
    )
    assert told["loaded"] == [told["expected"]] * 4
    assert (told["status"], told["found"]) == ("READY", [told["model"]])
    assert told["outputs"] == [told["model"]]
    logged = await client.get(f"{ML}/logged-models/{told['model']}")
    assert (logged["name"], logged["run_id"]) == ("clf", told["run"])
    known = await client.get(f"{ML}/logged-models", experiment="Default")
    assert [one["id"] for one in known["logged_models"]] == [told["model"]]
    assert (told["again"], told["names"]) == ("2", ["iris", "iris-live"])
    assert (told["aliases"], told["stage"]) == (["best", "champion", "prod"], "Production")

    model = await client.get(f"{ML}/models/iris")
    first = next(one for one in model["versions"] if one["version"] == "1")
    assert (first["kind"], first["stage"], first["source_run"]) == ("other", "prod", told["run"])
    assert first["metrics"]["training_score"] > 0.5
    history = await client.get(f"{ML}/models/iris/history")
    assert [one["to_stage"] for one in history["changes"] if one["action"] == "promoted"] == [
        "prod", "staging"
    ]  # fmt: skip
    up = await client.get(f"{ML}/lineage/model_version/iris@1", direction="up")
    assert {node["kind"] for node in up["nodes"]} == {
        *("run", "logged_model", "dataset", "model_version")
    }


@needs_torch
async def test_a_small_network_is_trained_logged_and_loaded(client: Api, tmp_path: Path) -> None:
    told = await script(
        client,
        """
        import torch
        torch.manual_seed(1)
        model = torch.nn.Linear(2, 1)
        x = torch.rand(64, 2)
        y = x.sum(1, keepdim=True)
        steps = torch.optim.SGD(model.parameters(), lr=0.5)
        with mlflow.start_run() as run:
            for epoch in range(20):
                steps.zero_grad()
                loss = torch.nn.functional.mse_loss(model(x), y)
                loss.backward()
                steps.step()
                mlflow.log_metric("loss", loss.item(), step=epoch)
            info = mlflow.pytorch.log_model(
                model, name="net", registered_model_name="adder", serialization_format="pickle"
            )
        again = mlflow.pytorch.load_model("models:/adder/1")
        history = [m.value for m in client.get_metric_history(run.info.run_id, "loss")]
        tell(
            model=info.model_id, points=len(history), learned=history[-1] < history[0],
            same=bool(torch.equal(again(x), model(x))),
        )
        """,
        tmp_path,
    )
    assert (told["points"], told["learned"], told["same"]) == (20, True, True)
    seen = await client.get(f"{ML}/logged-models/{told['model']}")
    assert (seen["name"], seen["status"]) == ("net", "ready")


@needs_mlflow
async def test_an_onnx_model_whose_signature_fits_is_run_here(client: Api, tmp_path: Path) -> None:
    await eventually(lambda: client.get("/health"), lambda found: found["status"] == "ok")
    builders.make_superres_folder(tmp_path / "made")
    graph = next((tmp_path / "made").rglob("model.onnx"))
    told = await script(
        client,
        """
        import numpy, onnx
        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec
        picture = (-1, 3, -1, -1)
        signature = ModelSignature(
            inputs=Schema([TensorSpec(numpy.dtype("float32"), picture, "image")]),
            outputs=Schema([TensorSpec(numpy.dtype("float32"), picture)]),
        )
        with mlflow.start_run() as run:
            mlflow.onnx.log_model(
                onnx.load(os.environ["GRAPH"]), name="up", signature=signature,
                registered_model_name="upscaler",
            )
        client.set_registered_model_alias("upscaler", "prod", 1)
        folder = mlflow.artifacts.download_artifacts("models:/upscaler@prod")
        loaded = mlflow.onnx.load_model("models:/upscaler@prod")
        tell(run=run.info.run_id, files=sorted(os.listdir(folder)), loaded=loaded.graph.input[0].name)
        """,
        tmp_path,
        GRAPH=str(graph),
    )
    assert {"MLmodel", "model.onnx"} <= set(told["files"])
    assert told["loaded"]
    model = await client.get(f"{ML}/models/upscaler")
    assert (model["kind"], model["serving"]) == ("superres", "upscaler@1")
    job = await client.upscale(builders.png_file(8, 6), model="upscaler")
    assert job["model"]["version"] == "1"
    sha256 = job["outputs"][0]["sha256"]
    trace = await client.get(f"/api/v1/assets/{sha256}/trace")
    assert {("run", told["run"])} <= {(node["kind"], node["id"]) for node in trace["nodes"]}


# -- the protocol -------------------------------------------------------------------------------


async def test_files_of_nobody_are_kept_too(client: Api) -> None:
    await put(client, "a.txt", b"0")
    await put(client, "dir/b.txt", b"11")
    assert await listed(client, "") == ["a.txt", "dir"]
    assert await client.bytes(f"{FILES}/artifacts/dir/b.txt") == b"11"
    async with client.http.request(
        "GET", f"{FILES}/artifacts/dir/b.txt", headers={"Range": "bytes=1-"}
    ) as answer:
        assert (answer.status, await answer.read()) == (206, b"1")
    await client.call("DELETE", f"{FILES}/artifacts/dir")
    assert await listed(client, "") == ["a.txt"]
    await client.call("DELETE", f"{FILES}/artifacts/nothing")


@pytest.mark.parametrize(
    "path", ["..%2Fx", "a/%2e%2e/x", "a%5C..%5Cx", "a%00b", "C:%5Cx", "%2Fetc/x"]
)
async def test_paths_that_lead_elsewhere_are_refused(client: Api, path: str) -> None:
    import yarl

    base = str(client.http.make_url(f"{FILES}/artifacts/"))  # type: ignore[union-attr]
    url = yarl.URL(base + path, encoded=True)
    async with client.http.session.put(url, data=b"x") as answer:  # type: ignore[union-attr]
        assert answer.status in (400, 404), await answer.text()
    assert await listed(client, "") == []


async def test_runs_that_are_not_there_take_no_files(client: Api) -> None:
    run_id = await make_run(client)
    path = f"{FILES}/artifacts/0/{'0' * 32}/artifacts/x"
    await refused(client, "PUT", path, 404, "RESOURCE_DOES_NOT_EXIST", data=b"x")
    await client.call("POST", f"{API}/runs/delete", json={"run_id": run_id})
    path = f"{FILES}/artifacts/0/{run_id}/artifacts/x"
    await refused(client, "PUT", path, 400, "INVALID_PARAMETER_VALUE", data=b"x")


async def test_parts_need_their_secret_and_all_of_them(client: Api) -> None:
    body = {"path": "x.bin", "num_parts": 2}
    begun = await client.call("POST", f"{FILES}/mpu/create/dir", json=body)
    first, second = begun["credentials"]
    wrong = {"X-Upload-Secret": "guess"}
    at = first["url"][first["url"].index("/api/") :]
    await refused(client, "PUT", at, 403, "PERMISSION_DENIED", data=b"x", headers=wrong)
    await client.call("PUT", at, data=b"one ", headers=first["headers"])
    end = {"path": "x.bin", "upload_id": begun["upload_id"]}
    path = f"{FILES}/mpu/complete/dir"
    await refused(client, "POST", path, 400, "INVALID_PARAMETER_VALUE", json=end)
    at = second["url"][second["url"].index("/api/") :]
    await client.call("PUT", at, data=b"two", headers=second["headers"])
    await client.call("POST", path, json=end)
    assert await client.bytes(f"{FILES}/artifacts/dir/x.bin") == b"one two"
    await refused(client, "POST", path, 404, "RESOURCE_DOES_NOT_EXIST", json=end)


async def test_a_promotion_by_mlflow_passes_the_gates(client: Api) -> None:
    version = await make_version(client)
    policy = {"prod": {"metrics": {"accuracy": {"min": 0.9}}}}
    await client.call("PUT", f"{ML}/models/clf/policy", json=policy)
    await staged(client, version, "Staging")
    body = {"name": "clf", "alias": "champion", "version": version["version"]}
    path = f"{API}/registered-models/alias"
    text = await refused(client, "POST", path, 403, "PERMISSION_DENIED", json=body)
    assert "metric accuracy: the version has no such metric" in text
    await staged(client, version, "production", 403)
    seen = await client.get(f"{API}/model-versions/get", name="clf", version="1")
    assert seen["model_version"]["current_stage"] == "Staging"
    assert seen["model_version"]["aliases"] == ["staging"]


async def test_a_token_that_runs_registers_and_does_not_promote(
    serving: Serving, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    client = await serving(host="0.0.0.0", admin_token_file=str(file))
    admin = {"Authorization": f"Bearer {file.read_text().strip()}"}
    made = {"name": "trainer", "scope": "run"}
    token = await client.call("POST", "/api/v1/admin/tokens", 201, json=made, headers=admin)
    client.http.session.headers["Authorization"] = f"Bearer {token['token']}"  # type: ignore[union-attr]
    version = await make_version(client)
    path = f"{API}/model-versions/transition-stage"
    body = {"name": "clf", "version": version["version"], "stage": "Staging"}
    await refused(client, "POST", path, 403, "PERMISSION_DENIED", json=body)
    body = {"name": "clf", "version": version["version"], "alias": "prod"}
    await refused(
        client, "POST", f"{API}/registered-models/alias", 403, "PERMISSION_DENIED", json=body
    )
    await client.call("POST", f"{API}/registered-models/alias", json={**body, "alias": "mine"})


async def test_a_version_has_its_files_whatever_becomes_of_its_run(client: Api) -> None:
    version = await make_version(client)
    path = version["source"].removeprefix("runs:/").split("/")[0]
    await client.call("DELETE", f"{FILES}/artifacts/0/{path}/artifacts/model")
    named = {"name": "clf", "version": version["version"]}
    found = await client.get(f"{API}/model-versions/get-download-uri", **named)
    at = found["artifact_uri"].removeprefix("mlflow-artifacts:/")
    assert await listed(client, at) == ["MLmodel"]
    assert await client.bytes(f"{FILES}/artifacts/{at}/MLmodel") == b"flavors: {}"
    await refused(
        client, "PUT", f"{FILES}/artifacts/{at}/MLmodel", 403, "PERMISSION_DENIED", data=b"x"
    )


async def test_aliases_move_and_go(client: Api) -> None:
    for _ in range(2):
        await make_version(client)
    path = f"{API}/registered-models/alias"
    for version in ("1", "2"):
        body = {"name": "clf", "alias": "best", "version": version}
        await client.call("POST", path, json=body)
    model = (await client.get(f"{API}/registered-models/get", name="clf"))["registered_model"]
    assert model["aliases"] == [{"alias": "best", "version": "2"}]
    found = await client.get(path, name="clf", alias="best")
    assert found["model_version"]["version"] == "2"
    for alias in ("latest", "v3", "a b", "x" * 256):
        body = {"name": "clf", "alias": alias, "version": "1"}
        await refused(client, "POST", path, 400, "INVALID_PARAMETER_VALUE", json=body)
    await client.call("DELETE", path, json={"name": "clf", "alias": "best"})
    at = f"{path}?name=clf&alias=best"
    await refused(client, "GET", at, 400, "INVALID_PARAMETER_VALUE")


async def test_models_are_made_renamed_searched_and_taken_away(client: Api) -> None:
    at = f"{API}/registered-models"
    tags = [{"key": "team", "value": "art"}]
    made = {"name": "My Model", "tags": tags, "description": "one"}
    await client.call("POST", f"{at}/create", json=made)
    await refused(
        client, "POST", f"{at}/create", 400, "RESOURCE_ALREADY_EXISTS", json={"name": "My Model"}
    )
    version = await make_version(client, "My Model")
    await client.call("POST", f"{at}/rename", json={"name": "My Model", "new_name": "Yours"})
    found = await client.get(f"{at}/search", filter="tags.team = 'art' AND name ILIKE 'your%'")
    (model,) = found["registered_models"]
    assert (model["name"], model["description"]) == ("Yours", "one")
    assert model["latest_versions"][0]["version"] == version["version"] == "1"
    again = await make_version(client, "My Model")
    assert again["version"] == "2", "an id is never given twice"
    found = await client.get(f"{API}/model-versions/search", filter="name = 'Yours'")
    assert len(found["model_versions"]) == 1
    await client.call("DELETE", f"{at}/delete", json={"name": "Yours"})
    await refused(client, "GET", f"{at}/get?name=Yours", 404, "RESOURCE_DOES_NOT_EXIST")
    await refused(
        client, "POST", f"{at}/rename", 403, "PERMISSION_DENIED",
        json={"name": "sprite", "new_name": "x"},
    )  # fmt: skip


@pytest.mark.parametrize(
    "source",
    [
        "/etc/passwd",
        "file:///etc",
        "http://x/y",
        "mlflow-artifacts:/0/../x",
        "runs:/none/m",
        "models:/m-0",
    ],
)
async def test_sources_that_are_not_the_runs_are_refused(client: Api, source: str) -> None:
    await client.call("POST", f"{API}/registered-models/create", json={"name": "clf"})
    body = {"name": "clf", "source": source}
    async with client.http.request("POST", f"{API}/model-versions/create", json=body) as answer:
        assert answer.status in (400, 404)


async def test_prompts_are_told_not_to_be_kept(client: Api) -> None:
    body = {"name": "p", "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]}
    path = f"{API}/registered-models/create"
    await refused(client, "POST", path, 501, "NOT_IMPLEMENTED", json=body)
    found = await client.get(
        f"{API}/registered-models/search", filter="tags.`mlflow.prompt.is_prompt` = 'true'"
    )
    assert found == {}


async def test_many_at_once_lose_nothing(client: Api) -> None:
    run_id = await make_run(client)

    async def report(i: int) -> None:
        metric = {"key": "m", "value": i, "timestamp": i, "step": i}
        body = {"run_id": run_id, "metrics": [metric], "tags": [{"key": f"t{i}", "value": "x"}]}
        await client.call("POST", f"{API}/runs/log-batch", json=body)

    await asyncio.gather(*(report(i) for i in range(128)))
    history = await client.get(f"{API}/metrics/get-history", run_id=run_id, metric_key="m")
    assert len(history["metrics"]) == 128
