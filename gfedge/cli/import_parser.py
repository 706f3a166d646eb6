"""What `gfedge import` understands."""

from __future__ import annotations

import argparse

IMPORT_EXAMPLES = """
examples:
  gfedge import mlflow ./mlruns                                 # a folder of files
  gfedge import mlflow mlflow.db                                # a sqlite file
  gfedge import mlflow http://old:5000 --python mlflow/bin/python
  gfedge import wandb ./wandb --python .venv-wandb/bin/python    # offline runs of Weights & Biases
"""


def add_import(command: argparse.ArgumentParser) -> None:
    """Its options."""
    command.add_argument("kind", choices=("mlflow", "wandb"), help="what recorded it")
    text = "mlflow: a folder of files, a sqlite file, or the address of a server; wandb: an offline run, or a folder of them"
    command.add_argument("source", metavar="SOURCE", help=text)
    text = "a Python that has MLflow, or wandb (default: this one)"
    command.add_argument("--python", metavar="FILE", help=text)
    command.add_argument("--json", action="store_true", help="print the summary as JSON")
