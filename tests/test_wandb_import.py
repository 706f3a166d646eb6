"""`gfedge import wandb`: what real offline runs of Weights & Biases hold comes here once, however often it is run.

`make wandb` makes the environment with W&B's package; without it the tests that need runs are skipped.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Api
from mlflowing import address
from test_mlflow import ML

PYTHON = Path(__file__).parent.parent / ".venv-wandb" / "bin" / "python"
needs_wandb = pytest.mark.skipif(
    not PYTHON.exists(), reason="W&B's package is not here: `make wandb` installs it"
)
TRAINING = """
import sys, wandb
settings = wandb.Settings(x_stats_sampling_interval=0.1, silent=True, console="wrap")
config = {"lr": 0.1, "opt": {"name": "adam", "betas": [0.9, 0.99]}}
with open("weights.txt", "w") as file:
    file.write("model")
with wandb.init(
    project="sprites", name="first", group="g", job_type="train", notes="why", tags=["a", "b"],
    config=config, settings=settings,
) as run:
    for step in range(300):
        run.log({"loss": 1 / (step + 1), "val": {"acc": step / 300}, "word": "x"})
    run.config.update({"lr": 0.2}, allow_val_change=True)
    run.log({"page": wandb.Html("<b>hi</b>"), "worst": float("nan"), "best": float("inf")}, step=400)
    run.summary["score"] = 0.5
    run.summary["loss"] = 0.001
    model = wandb.Artifact("net", type="model", metadata={"k": 1})
    model.add_file("weights.txt")
    model.add_reference("https://example.com/elsewhere.bin", checksum=False)
    run.log_artifact(model, aliases=["best"])
    run.save("weights.txt")
    print("said on the way")
if "fails" in sys.argv:
    with wandb.init(project="sprites", name="second", settings=settings) as run:
        run.log({"loss": 3})
        raise SystemExit(2)
"""


async def ran(*command: str, folder: Path, code: int = 0) -> str:
    """What a command said: on its output, or where it failed, on its errors."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    own = ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR")
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**kept, "WANDB_MODE": "offline", **dict.fromkeys(own, str(folder))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == code, (out.decode(), err.decode()[-3000:])
    return (err if code else out).decode()


async def taken(api: Api, source: Path, folder: Path, code: int = 0, *more: str) -> Any:
    command = [sys.executable, "-m", "gfedge", "import", "wandb", str(source), "--json"]
    python = () if more else ("--python", str(PYTHON))
    said = await ran(*command, "--server", address(api), *python, *more, folder=folder, code=code)
    return said if code else json.loads(said)


async def trained(folder: Path, *arguments: str, code: int = 0) -> None:
    (folder / "training.py").write_text(TRAINING)
    await ran(str(PYTHON), "training.py", *arguments, folder=folder, code=code)


def runs_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("wandb/offline-run-*"))


@needs_wandb
async def test_runs_come_over_once_with_all_that_they_hold(client: Api, tmp_path: Path) -> None:
    await trained(tmp_path, "fails", code=2)
    first = await taken(client, tmp_path, tmp_path)
    assert (first["experiments"], first["runs"], first["artifacts"]) == (1, 2, 1), first
    assert any(
        "elsewhere.bin was not taken: it is at https://example.com" in n for n in first["notes"]
    )
    assert any("1 values of the kind html-file" in note for note in first["notes"])
    second = await taken(client, tmp_path / "wandb", tmp_path)
    assert second == {"runs there already": 2, "notes": []}

    runs = (await client.get(f"{ML}/experiments/sprites/runs"))["runs"]
    one, failed = (next(run for run in runs if run["name"] == name) for name in ("first", "second"))
    assert (one["status"], failed["status"]) == ("finished", "failed")
    assert one["params"] == {"lr": "0.2", "opt.name": "adam", "opt.betas": "[0.9, 0.99]"}
    assert one["metrics"] | {"worst": "NaN", "best": "Infinity", "score": 0.5} == one["metrics"]
    assert one["metrics"]["summary/loss"] == 0.001
    assert "system/cpu" in one["system_metrics"]
    assert one["ended_at"] > one["started_at"] > 1.7e9
    tags = one["tags"]
    assert (tags["wandb.group"], tags["wandb.job_type"], tags["wandb.tags"]) == (
        "g",
        "train",
        "a,b",
    )
    assert (tags["mlflow.note.content"], tags["wandb.tag.a"]) == ("why", "true")

    history = await client.get(f"{ML}/runs/{one['id']}/metrics/val.acc")
    assert len(history["values"]) == 300
    assert history["steps"][-1] == 299
    at = f"{ML}/runs/{one['id']}/artifacts"
    assert await client.bytes(f"{at}/artifacts/net/weights.txt") == b"model"
    assert await client.bytes(f"{at}/weights.txt") == b"model"
    assert b"said on the way" in await client.bytes(f"{at}/output.log")
    about = json.loads(await client.bytes(f"{at}/artifacts/net/wandb-artifact.json"))
    assert (about["type"], about["metadata"]) == ("model", '{"k":1}')
    assert sorted(about["aliases"]) == ["best", "latest"]
    summary = json.loads(await client.bytes(f"{at}/wandb-summary.json"))
    assert summary["word"] == "x"


@needs_wandb
async def test_a_run_that_was_killed_comes_as_far_as_it_got(client: Api, tmp_path: Path) -> None:
    await trained(tmp_path)
    (whole,) = runs_in(tmp_path)
    cut = tmp_path / "cut" / whole.name
    shutil.copytree(whole, cut)
    (file,) = cut.glob("*.wandb")
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])

    found = await taken(client, cut, tmp_path)
    assert found["runs"] == 1
    assert any("ends in the middle of a record" in note for note in found["notes"])
    assert any("it has no end" in note for note in found["notes"])
    (run,) = (await client.get(f"{ML}/experiments/sprites/runs"))["runs"]
    assert run["status"] == "killed"
    history = await client.get(f"{ML}/runs/{run['id']}/metrics/loss")
    assert 0 < len(history["values"]) < 300

    file.write_bytes(data)
    again = await taken(client, cut, tmp_path)
    assert ("runs" in again, "runs there already" in again) == (False, False)
    (run,) = (await client.get(f"{ML}/experiments/sprites/runs"))["runs"]
    assert run["status"] == "finished"
    history = await client.get(f"{ML}/runs/{run['id']}/metrics/loss")
    assert len(history["values"]) == 300, "no point comes twice"

    file.write_bytes(data[:7] + b"\xff" * 64)
    assert any(
        "checksum" in note or "middle" in note
        for note in (await taken(client, cut, tmp_path))["notes"]
    )


async def test_what_is_no_run_is_said_to_be_none(client: Api, tmp_path: Path) -> None:
    text = await taken(client, tmp_path, tmp_path, 2)
    assert "holds no run of Weights & Biases: name a folder `offline-run-…`" in text
    text = await taken(client, tmp_path / "nothing", tmp_path, 2)
    assert "is no folder of a run" in text
    folder = tmp_path / "offline-run-1"
    folder.mkdir()
    (folder / "run-1.wandb").write_bytes(b":W&B\xe1\xbe\x00")
    text = await taken(client, folder, tmp_path, 2, "--python", sys.executable)
    assert "W&B's package is not in" in text
    assert "`make wandb`" in text
    assert "`make wandb`" in await taken(client, folder, tmp_path, 2, "--token", "")
    text = await taken(client, folder, tmp_path, 2, "--python", str(tmp_path / "none"))
    assert "cannot be run" in text
