"""`gfedge import mlflow`: what an MLflow store holds comes here once, however often it is run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Api
from mlflowing import API, PYTHON, address, environment, needs_mlflow
from test_mlflow import ML
from test_mlflow_twin import stock

STORE = """
import sys
import mlflow, numpy
from mlflow import MlflowClient
mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment("old")
with mlflow.start_run(run_name="one") as run:
    mlflow.log_params({"a": 1})
    mlflow.log_text("hi", "t/x.txt")
    for i in range(5):
        mlflow.log_metric("loss", i, step=i)
    mlflow.log_input(mlflow.data.from_numpy(numpy.zeros(3), name="pixels"), context="training")
    with mlflow.start_run(nested=True, run_name="inner"):
        mlflow.log_metric("z", 1)
if not sys.argv[1].startswith("file:"):
    class Same(mlflow.pyfunc.PythonModel):
        def predict(self, model_input: list[str]):
            return model_input

    with mlflow.start_run(run_id=run.info.run_id):
        mlflow.pyfunc.log_model(python_model=Same(), name="m", registered_model_name="olds")
    client = MlflowClient()
    client.set_registered_model_alias("olds", "best", 1)
    client.set_model_version_tag("olds", 1, "team", "art")
    client.create_model_version("olds", "s3://bucket/elsewhere", tags={"where": "there"})
    client.create_registered_model("empty", {"a": "b"}, "without versions")
"""


async def ran(*command: str, folder: Path, **environ: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=environment("", MLFLOW_ALLOW_FILE_STORE="true", **environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()[-3000:]
    return out.decode()


async def taken(api: Api, source: Path | str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "gfedge", "import", "mlflow", str(source), "--json"]
    command += ["--python", str(PYTHON), "--server", address(api)]
    found: dict[str, Any] = json.loads(await ran(*command, folder=folder))
    return found


@needs_mlflow
@pytest.mark.parametrize("kind", ["sqlite", "files", "server"])
async def test_a_store_comes_over_once(client: Api, tmp_path: Path, kind: str) -> None:
    with contextlib.ExitStack() as stack:
        source: Path | str = tmp_path / ("mlflow.db" if kind == "sqlite" else "mlruns")
        if kind == "server":
            source = stack.enter_context(stock(tmp_path / "stock"))
        uri = f"sqlite:///{source}" if kind == "sqlite" else str(source)
        uri = Path(source).as_uri() if kind == "files" else uri
        (tmp_path / "store.py").write_text(STORE)
        await ran(str(PYTHON), "store.py", uri, folder=tmp_path)
        await comes_over(client, source, tmp_path, kind)


async def comes_over(client: Api, source: Path | str, tmp_path: Path, kind: str) -> None:
    first = await taken(client, source, tmp_path)
    assert (first["runs"], first["points"], first["notes"]) == (2, 6, [])
    second = await taken(client, source, tmp_path)
    assert (second["runs there already"], "runs" in second) == (2, False)

    runs = (await client.get(f"{ML}/experiments/old/runs"))["runs"]
    one = next(run for run in runs if run["name"] == "one")
    inner = next(run for run in runs if run["name"] == "inner")
    assert (one["status"], one["params"], inner["parent_id"]) == ("finished", {"a": "1"}, one["id"])
    assert one["inputs"][0]["name"] == "pixels"
    history = await client.get(f"{ML}/runs/{one['id']}/metrics/loss")
    assert history["values"] == [0, 1, 2, 3, 4]
    assert await client.bytes(f"{ML}/runs/{one['id']}/artifacts/t/x.txt") == b"hi"
    if kind != "files":
        versions = (await client.get(f"{API}/model-versions/search", filter="name = 'olds'"))[
            "model_versions"
        ]
        tags = {
            one["version"]: {tag["key"]: tag["value"] for tag in one["tags"]} for one in versions
        }
        assert (tags["1"]["team"], tags["2"]["where"]) == ("art", "there")
        assert [one["source"] for one in versions if one["version"] == "2"] == [
            "s3://bucket/elsewhere"
        ]
        empty = await client.get(f"{API}/registered-models/get", name="empty")
        assert empty["registered_model"]["description"] == "without versions"
        found = await client.get(f"{API}/registered-models/alias", name="olds", alias="best")
        assert found["model_version"]["run_id"] == one["id"]
