"""MLflow's own client, in its own environment, against a server of the tests: scripts as a person writes them."""

from __future__ import annotations

import asyncio
import json
import os
import textwrap
from pathlib import Path
from typing import Any

import pytest
from conftest import Api

PYTHON = Path(__file__).parent.parent / ".venv-mlflow" / "bin" / "python"
needs_mlflow = pytest.mark.skipif(
    not PYTHON.exists(), reason="MLflow is not here: `make mlflow` installs it"
)
API = "/api/2.0/mlflow"
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
HEAD = """
import json, os, sys, warnings
warnings.filterwarnings("ignore")
import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
client = MlflowClient()

def refused(call, *args, **more):
    try:
        call(*args, **more)
    except MlflowException as error:
        return [error.error_code, str(error)]
    raise AssertionError(f"{call} was not refused")

def tell(**values):
    print("TOLD " + json.dumps(values))
"""


def environment(uri: str, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, **QUIET, "MLFLOW_TRACKING_URI": uri, **more}


def address(api: Api) -> str:
    return str(api.http.make_url("")).rstrip("/")  # type: ignore[union-attr]


async def script(api: Api, text: str, folder: Path, **environ: str) -> dict[str, Any]:
    """Runs a script against the server, with `client` at hand; gives what it `tell`s."""
    return await run_script(address(api), text, folder, **environ)


async def run_script(uri: str, text: str, folder: Path, **environ: str) -> dict[str, Any]:
    """The same against the server at an address."""
    file = folder / "script.py"
    file.write_text(HEAD + textwrap.dedent(text))
    process = await asyncio.create_subprocess_exec(
        str(PYTHON),
        str(file),
        cwd=folder,
        env=environment(uri, **environ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()[-4000:]
    told = [line[5:] for line in out.decode().splitlines() if line.startswith("TOLD ")]
    return {key: value for line in told for key, value in json.loads(line).items()}
