"""MLflow's unmodified client as people use it: its command line, trainings that log by themselves, tokens and TLS on a network, large files.

Skipped without MLflow (`make mlflow`); the trainings need Lightning beside it (`make lightning`), the large files GFEDGE_LARGE=1.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import builders
import pytest
from conftest import Api, Process, eventually
from mlflowing import PYTHON, address, environment, needs_mlflow, run_script, script
from test_mlflow import ML
from test_mlflow_models import needs_torch

pytestmark = needs_mlflow
needs_lightning = pytest.mark.skipif(
    not list(PYTHON.parent.parent.glob("lib/*/site-packages/lightning/__init__.py")),
    reason="Lightning is not beside MLflow: `make lightning` installs it",
)
LARGE = int(os.environ.get("GFEDGE_LARGE", "0"))
"""GiB of a file that goes up and down."""


async def command(uri: str, folder: Path, *words: str, code: int = 0, **environ: str) -> str:
    """What MLflow's command line says."""
    process = await asyncio.create_subprocess_exec(
        str(PYTHON.with_name("mlflow")),
        *words,
        cwd=folder,
        env=environment(uri, **environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    said = out.decode()
    assert process.returncode == code, said[-3000:]
    return said


# -- the command line ----------------------------------------------------------------------------


async def test_the_command_line_finds_describes_and_fetches(client: Api, tmp_path: Path) -> None:
    uri = address(client)
    told = await script(
        client,
        """
        mlflow.set_experiment("art")
        with mlflow.start_run(run_name="first") as run:
            mlflow.log_param("lr", 0.1)
            mlflow.log_metric("loss", 0.5)
        tell(run=run.info.run_id, experiment=run.info.experiment_id)
        """,
        tmp_path,
    )
    run, experiment = told["run"], told["experiment"]
    (tmp_path / "a.txt").write_text("hello")
    up = ("artifacts", "log-artifact", "--local-file", "a.txt", "--run-id", run)
    found, runs, described, _ = await asyncio.gather(
        command(uri, tmp_path, "experiments", "search"),
        command(uri, tmp_path, "runs", "list", "--experiment-id", experiment),
        command(uri, tmp_path, "runs", "describe", "--run-id", run),
        command(uri, tmp_path, *up, "--artifact-path", "d"),
    )
    assert experiment in found
    assert "art" in found
    assert run in runs
    assert json.loads(described)["data"]["params"] == {"lr": "0.1"}
    table, listed, fetched, gone = await asyncio.gather(
        command(uri, tmp_path, "experiments", "csv", "-x", experiment),
        command(uri, tmp_path, "artifacts", "list", "--run-id", run, "--artifact-path", "d"),
        command(uri, tmp_path, "artifacts", "download", "--run-id", run, "--dst-path", "down"),
        command(uri, tmp_path, "gc", code=1),
    )
    assert "params.lr" in table.splitlines()[0]
    assert json.loads(listed)[0]["path"] == "d/a.txt"
    assert (tmp_path / "down" / "d" / "a.txt").read_text() == "hello", fetched
    assert "backend that allows hard-deleting runs" in gone
    said = await command(uri, tmp_path, "runs", "describe", "--run-id", "nope", code=1)
    assert "RESOURCE_DOES_NOT_EXIST: Run with id=nope not found" in said


# -- what is logged -------------------------------------------------------------------------------


async def test_pictures_tables_and_texts_come_back_as_they_went(
    client: Api, tmp_path: Path
) -> None:
    told = await script(
        client,
        """
        import numpy, pandas
        import matplotlib
        matplotlib.use("Agg")
        from matplotlib import pyplot
        from PIL import Image
        pixels = numpy.arange(48, dtype=numpy.uint8).reshape(4, 4, 3)
        with mlflow.start_run() as run:
            mlflow.log_image(pixels, "p.png")
            mlflow.log_image(pixels, key="dog", step=2, synchronous=True)
            figure, axes = pyplot.subplots()
            axes.plot([1, 2])
            mlflow.log_figure(figure, "f.png")
            mlflow.log_table({"a": [1, 2]}, "t.json")
            mlflow.log_table(pandas.DataFrame({"a": [3]}), "t.json")
            mlflow.log_text("Straße", "d/x.txt")
            mlflow.log_dict({"k": [1]}, "k.yaml")
            with mlflow.start_run(nested=True) as inner:
                mlflow.log_dict({"k": 1}, "k.json")
        at = run.info.artifact_uri
        same = numpy.asarray(mlflow.artifacts.load_image(f"{at}/p.png"))
        paths = [one.path for one in client.list_artifacts(run.info.run_id)]
        tell(
            same=bool((same == pixels).all()), text=mlflow.artifacts.load_text(f"{at}/d/x.txt"),
            table=mlflow.load_table("t.json", run_ids=[run.info.run_id])["a"].tolist(),
            inner=mlflow.artifacts.load_dict(f"{inner.info.artifact_uri}/k.json"), paths=paths,
            frame=sorted(mlflow.search_runs()["tags.mlflow.parentRunId"].dropna()), run=run.info.run_id,
            images=len(client.list_artifacts(run.info.run_id, "images")),
        )
        """,
        tmp_path,
    )
    assert (told["same"], told["text"], told["inner"]) == (True, "Straße", {"k": 1})
    assert (told["table"], told["images"]) == ([1, 2, 3], 2)
    assert told["paths"] == ["d", "f.png", "images", "k.yaml", "p.png", "t.json"]
    assert told["frame"] == [told["run"]]


@needs_lightning
async def test_a_lightning_training_logs_itself(client: Api, tmp_path: Path) -> None:
    told = await script(
        client,
        """
        import lightning, torch
        torch.manual_seed(1)

        class Net(lightning.LightningModule):
            def __init__(self):
                super().__init__()
                self.layer = torch.nn.Linear(2, 1)

            def forward(self, x):
                return self.layer(x)

            def training_step(self, batch, index):
                loss = torch.nn.functional.mse_loss(self(batch[0]), batch[1])
                self.log("train_loss", loss, on_epoch=True)
                return loss

            def configure_optimizers(self):
                return torch.optim.SGD(self.parameters(), lr=0.1)

        x = torch.rand(64, 2)
        sums = torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True))
        batches = torch.utils.data.DataLoader(sums, batch_size=16)
        mlflow.set_experiment("lightning")
        mlflow.pytorch.autolog(log_models=False, checkpoint=False)
        mlflow.set_system_metrics_sampling_interval(0.1)
        mlflow.set_system_metrics_samples_before_logging(1)
        net = Net()
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        with mlflow.start_run(log_system_metrics=True) as run:
            trainer = lightning.Trainer(max_epochs=3, accelerator="cpu", enable_checkpointing=False, **quiet)
            trainer.fit(net, batches)
            info = mlflow.pytorch.log_model(
                net, name="net", registered_model_name="adder", pip_requirements=["torch"],
                serialization_format="pickle",
            )
        client.set_registered_model_alias("adder", "prod", 1)
        again = mlflow.pytorch.load_model("models:/adder@prod")
        tell(run=run.info.run_id, same=bool(torch.equal(again(x), net(x))), model=info.model_id)
        """,
        tmp_path,
    )
    assert told["same"]
    run = await client.get(f"{ML}/runs/{told['run']}")
    assert (run["status"], run["params"]["lr"], run["params"]["optimizer_name"]) == (
        "finished",
        "0.1",
        "SGD",
    )
    assert run["params"]["epochs"] == "3"
    history = await client.get(f"{ML}/runs/{told['run']}/metrics/train_loss_epoch")
    assert len(history["values"]) == 3
    assert history["values"][-1] < history["values"][0]
    assert "system/cpu_utilization_percentage" in run["system_metrics"]
    up = await client.get(f"{ML}/lineage/model_version/adder@1", direction="up")
    assert {("run", told["run"]), ("logged_model", told["model"])} <= {
        (node["kind"], node["id"]) for node in up["nodes"]
    }


@needs_torch
async def test_a_network_is_trained_logged_promoted_and_served(client: Api, tmp_path: Path) -> None:
    await eventually(lambda: client.get("/health"), lambda found: found["status"] == "ok")
    told = await script(
        client,
        """
        import numpy, onnx, torch
        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec
        torch.manual_seed(1)
        net = torch.nn.Sequential(torch.nn.Conv2d(3, 48, 3, padding=1), torch.nn.PixelShuffle(4))
        small = torch.rand(8, 3, 8, 8)
        large = torch.nn.functional.interpolate(small, scale_factor=4)
        steps = torch.optim.Adam(net.parameters(), lr=0.02)
        mlflow.set_experiment("upscalers")
        with mlflow.start_run(run_name="x4") as run:
            mlflow.log_param("lr", 0.02)
            mlflow.log_input(mlflow.data.from_numpy(small.numpy(), name="patches"), context="training")
            for step in range(20):
                steps.zero_grad()
                loss = torch.nn.functional.l1_loss(net(small), large)
                loss.backward()
                steps.step()
                mlflow.log_metric("loss", loss.item(), step=step)
            axes = {0: "n", 2: "h", 3: "w"}
            torch.onnx.export(
                net, small[:1], "net.onnx", dynamo=False, input_names=["image"], output_names=["large"],
                dynamic_axes={"image": axes, "large": axes},
            )
            picture = TensorSpec(numpy.dtype("float32"), (-1, 3, -1, -1), "image")
            made = TensorSpec(numpy.dtype("float32"), (-1, 3, -1, -1))
            mlflow.onnx.log_model(
                onnx.load("net.onnx"), name="up", registered_model_name="x4",
                signature=ModelSignature(inputs=Schema([picture]), outputs=Schema([made])),
            )
        client.set_registered_model_alias("x4", "prod", 1)
        folder = mlflow.artifacts.download_artifacts("models:/x4@prod")
        history = [one.value for one in client.get_metric_history(run.info.run_id, "loss")]
        tell(run=run.info.run_id, files=os.listdir(folder), learned=history[-1] < history[0])
        """,
        tmp_path,
    )
    assert told["learned"]
    assert {"MLmodel", "model.onnx"} <= set(told["files"])
    model = await client.get(f"{ML}/models/x4")
    assert (model["kind"], model["serving"]) == ("superres", "x4@1")
    job = await client.upscale(builders.png_file(6, 8), model="x4")
    (output,) = job["outputs"]
    assert (output["width"], output["height"]) == (32, 24)
    trace = await client.get(f"/api/v1/assets/{output['sha256']}/trace")
    nodes = {(node["kind"], node["id"]) for node in trace["nodes"]}
    assert {("run", told["run"]), ("model_version", "x4@1")} <= nodes
    assert "dataset" in {kind for kind, _ in nodes}


# -- on a network -----------------------------------------------------------------------------------


def own_address() -> str:
    """Of this machine, and not loopback; skips where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            found = str(probe.getsockname()[0])
        except OSError:
            found = "127.0.0.1"
    if found.startswith("127."):
        pytest.skip("this machine has no other address than loopback")
    return found


def gfedge(data: Path, *words: str) -> str:
    made = subprocess.run(
        [sys.executable, "-m", "gfedge", *words],
        env={**os.environ, "GFEDGE_DATA": str(data)},
        capture_output=True,
        text=True,
        check=True,
    )
    return made.stdout.strip()


SCOPES = """
import mlflow.artifacts

def told(call, *args, **more):
    try:
        call(*args, **more)
    except MlflowException as error:
        return f"{error.error_code}: {error}"
    return "done"

def train():
    mlflow.set_experiment("lan")
    with mlflow.start_run():
        mlflow.log_metric("loss", 1)
        mlflow.log_text("hi", "a.txt")

def model():
    client.create_registered_model("m")
    client.create_model_version("m", "s3://bucket/m")

tell(
    search=told(client.search_experiments), train=told(train), model=told(model),
    promote=told(client.set_registered_model_alias, "m", "prod", 1),
    remove=told(client.delete_registered_model, "m"),
)
"""


async def test_tokens_and_tls_on_a_network(process: Callable[..., Process], tmp_path: Path) -> None:
    here = own_address()
    folder, data = tmp_path / "tls", tmp_path / "data"
    gfedge(data, "tls", "init", str(folder), "--name", here)
    tokens = {
        scope: gfedge(data, "token", "create", "--name", scope, "--scope", scope)
        for scope in ("read", "run", "admin")
    }
    certificate = str(folder / "gfedge.crt")
    server = process(host="0.0.0.0", tls_cert=certificate, tls_key=str(folder / "gfedge.key"))
    server.launch()
    port = re.search(r" on https://[^ ]*:(\d+),", server.wait_for(" on https"))
    assert port is not None
    uri = f"https://{here}:{port[1]}"
    trusts = {"MLFLOW_TRACKING_SERVER_CERT_PATH": certificate}

    async def as_scope(token: str, **more: str) -> dict[str, Any]:
        return await run_script(uri, SCOPES, tmp_path, **more, MLFLOW_TRACKING_TOKEN=token)

    none = await run_script(uri, SCOPES, tmp_path, **trusts)
    assert none["search"].startswith("UNAUTHENTICATED")
    assert "set MLFLOW_TRACKING_TOKEN" in none["search"]
    wrong = await as_scope("gfe_wrong", **trusts)
    assert "the token is not valid here" in wrong["train"]
    read = await as_scope(tokens["read"], **trusts)
    assert read["search"] == "done"
    assert "PERMISSION_DENIED: this needs the scope run" in read["train"]
    run = await as_scope(tokens["run"], **trusts)
    assert (run["search"], run["train"], run["model"]) == ("done", "done", "done")
    assert "a token with the scope admin brings versions to prod" in run["promote"]
    assert "this needs the scope admin" in run["remove"]
    admin = await as_scope(tokens["admin"], **trusts)
    assert (admin["train"], admin["promote"]) == ("done", "done")
    unknown = await as_scope(tokens["admin"])
    assert "CERTIFICATE_VERIFY_FAILED" in unknown["search"]


# -- large files --------------------------------------------------------------------------------------

FILE = """
import hashlib
size = int(os.environ["BYTES"])
piece = os.urandom(1 << 24)
with open("large.bin", "wb") as file:
    for _ in range(size >> 24):
        file.write(piece)

def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

with mlflow.start_run() as run:
    mlflow.log_artifact("large.bin", "d")
down = mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/d/large.bin", dst_path="down")
tell(up=digest("large.bin"), down=digest(down), bytes=os.path.getsize(down), run=run.info.run_id)
os.remove(down)
"""
PARTS = {
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true",
    "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": str(100 << 20),
    "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": str(32 << 20),
}


@pytest.mark.skipif(not LARGE, reason="it takes minutes and gigabytes: GFEDGE_LARGE=1 tries it")
@pytest.mark.parametrize("parts", [False, True], ids=["whole", "in parts"])
async def test_a_large_file_goes_up_and_down_in_bounded_memory(
    process: Callable[..., Process], tmp_path: Path, parts: bool
) -> None:
    import psutil

    server = process()
    uri = server.start()
    assert server.process is not None
    seen = psutil.Process(server.process.pid)
    peaks = [before := seen.memory_info().rss]

    async def watch() -> None:
        while True:
            peaks.append(seen.memory_info().rss)
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch())
    size = LARGE << 30
    more = {**(PARTS if parts else {}), "MLFLOW_HTTP_REQUEST_TIMEOUT": "1200"}
    told = await run_script(uri, FILE, tmp_path, BYTES=str(size), **more)
    watching.cancel()
    print(f"{LARGE} GiB: {before >> 20} MiB before, at most {max(peaks) >> 20} MiB")
    assert told["up"] == told["down"]
    assert told["bytes"] == size
    assert max(peaks) - before < 150 << 20
