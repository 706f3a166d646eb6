"""Does what it is told on one MLflow server with MLflow's own client, and tells what came of it without ids and times.

Run by test_mlflow_twin.py in MLflow's environment: a line of JSON in, a line of JSON out.
"""

from __future__ import annotations

import json
import math
import sys
import warnings
from typing import Any

warnings.filterwarnings("ignore")

from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import Metric, Param, RunTag, ViewType  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

VIEWS = {"ACTIVE": ViewType.ACTIVE_ONLY, "DELETED": ViewType.DELETED_ONLY, "ALL": ViewType.ALL}
FOLLOWING = {"prod", "champion", "staging"}
"""Aliases that follow the stage on one of the servers."""
ENDED = ("FINISHED", "FAILED", "KILLED")
MEANT = {
    ("rename_experiment", "BAD_REQUEST"): "RESOURCE_ALREADY_EXISTS",
    ("rename_experiment", "INTERNAL_ERROR"): "INVALID_STATE",
}
"""What MLflow's own server tells as an error of its database, or of its own."""
LARGEST = 1.7976931348623157e308


class Twin:
    """The things that one sequence made, by the order of their making."""

    def __init__(self, client: MlflowClient) -> None:
        self.client = client
        self.begin("")

    def begin(self, prefix: str) -> str:
        self.prefix = prefix
        self.experiments: list[str] = []
        self.runs: list[str] = []
        return "ready"

    # Names of things

    def experiment(self, number: int) -> str:
        return self.experiments[number % len(self.experiments)] if self.experiments else "987654"

    def run(self, number: int) -> str:
        return self.runs[number % len(self.runs)] if self.runs else "0" * 32

    def known(self, value: str) -> Any:
        for kind, ids in (("experiment", self.experiments), ("run", self.runs)):
            if value in ids:
                return [kind, ids.index(value)]
        return "unknown"

    def plain(self, name: str | None) -> str | None:
        return name.replace(self.prefix, "") if name else name

    # Experiments

    def create_experiment(self, name: str, tags: dict[str, str]) -> Any:
        made = self.client.create_experiment(self.prefix + name, tags=tags)
        self.experiments.append(made)
        return "made"

    def experiment_by_name(self, name: str) -> Any:
        found = self.client.get_experiment_by_name(self.prefix + name)
        return found and self.shown_experiment(found)

    def delete_experiment(self, one: int) -> Any:
        return self.client.delete_experiment(self.experiment(one))

    def restore_experiment(self, one: int) -> Any:
        return self.client.restore_experiment(self.experiment(one))

    def rename_experiment(self, one: int, name: str) -> Any:
        return self.client.rename_experiment(self.experiment(one), self.prefix + name)

    def tag_experiment(self, one: int, key: str, value: str) -> Any:
        return self.client.set_experiment_tag(self.experiment(one), key, value)

    def search_experiments(self, text: str, order: list[str], view: str) -> Any:
        mine = f"name LIKE '{self.prefix}%'"
        text = f"{mine} AND {text}" if text else mine
        found = self.client.search_experiments(VIEWS[view], filter_string=text, order_by=order)
        return [self.shown_experiment(one) for one in found]

    # Runs

    def create_run(self, one: int, name: str, tags: dict[str, str], start: int) -> Any:
        start = 10 * start + len(self.runs)  # among equals the order is that of ids
        made = self.client.create_run(self.experiment(one), start, tags, name)
        self.runs.append(made.info.run_id)
        return self.shown_run(made)

    def get_run(self, run: int) -> Any:
        return self.shown_run(self.client.get_run(self.run(run)))

    def log_metric(self, run: int, key: str, value: Any, step: int, at: int) -> Any:
        return self.client.log_metric(self.run(run), key, float(value), at, step)

    def log_param(self, run: int, key: str, value: str) -> Any:
        self.client.log_param(self.run(run), key, value)

    def set_tag(self, run: int, key: str, value: str) -> Any:
        return self.client.set_tag(self.run(run), key, value)

    def delete_tag(self, run: int, key: str) -> Any:
        return self.client.delete_tag(self.run(run), key)

    def log_batch(self, run: int, metrics: Any, params: Any, tags: Any) -> Any:
        return self.client.log_batch(
            self.run(run),
            [Metric(key, float(value), at, step) for key, value, step, at in metrics],
            [Param(key, value) for key, value in params],
            [RunTag(key, value) for key, value in tags],
        )

    def end_run(self, run: int, status: str, at: int) -> Any:
        return self.client.set_terminated(self.run(run), status, at)

    def update_run(self, run: int, status: str | None, name: str | None) -> Any:
        return self.client.update_run(self.run(run), status, name)

    def delete_run(self, run: int) -> Any:
        return self.client.delete_run(self.run(run))

    def restore_run(self, run: int) -> Any:
        return self.client.restore_run(self.run(run))

    def history(self, run: int, key: str) -> Any:
        found = self.client.get_metric_history(self.run(run), key)
        return [[number(one.value), one.step, one.timestamp] for one in found]

    def search_runs(self, text: str, order: list[str], view: str, page: int) -> Any:
        found, token = [], None
        while True:
            got = self.client.search_runs(
                self.experiments, text, VIEWS[view], page, order, page_token=token
            )
            found += [self.known(one.info.run_id) for one in got]
            token = got.token
            if not token:
                return found

    # The registry

    def create_model(self, name: str, tags: dict[str, str]) -> Any:
        return self.shown_model(self.client.create_registered_model(self.prefix + name, tags))

    def get_model(self, name: str) -> Any:
        return self.shown_model(self.client.get_registered_model(self.prefix + name))

    def tag_model(self, name: str, key: str, value: str) -> Any:
        return self.client.set_registered_model_tag(self.prefix + name, key, value)

    def create_version(self, name: str, source: str, tags: dict[str, str]) -> Any:
        made = self.client.create_model_version(
            self.prefix + name, source, tags=tags, await_creation_for=0
        )
        return self.shown_version(made)

    def get_version(self, name: str, version: str) -> Any:
        return self.shown_version(self.client.get_model_version(self.prefix + name, version))

    def describe_version(self, name: str, version: str, text: str) -> Any:
        found = self.client.update_model_version(self.prefix + name, version, text)
        return self.shown_version(found)

    def delete_version(self, name: str, version: str) -> Any:
        return self.client.delete_model_version(self.prefix + name, version)

    def stage(self, name: str, version: str, stage: str) -> Any:
        found = self.client.transition_model_version_stage(self.prefix + name, version, stage)
        return self.shown_version(found)

    def set_alias(self, name: str, alias: str, version: str) -> Any:
        return self.client.set_registered_model_alias(self.prefix + name, alias, version)

    def get_alias(self, name: str, alias: str) -> Any:
        found = self.client.get_model_version_by_alias(self.prefix + name, alias)
        return self.shown_version(found)

    def delete_alias(self, name: str, alias: str) -> Any:
        return self.client.delete_registered_model_alias(self.prefix + name, alias)

    def search_versions(self, text: str, order: list[str]) -> Any:
        mine = f"name LIKE '{self.prefix}%'"
        text = f"{mine} AND {text}" if text else mine
        found = self.client.search_model_versions(text, order_by=order)
        shown = [self.shown_version(one) for one in found]
        return shown if order else sorted(shown, key=json.dumps)

    def search_models(self, text: str, order: list[str]) -> Any:
        mine = f"name LIKE '{self.prefix}%'"
        text = f"{mine} AND {text}" if text else mine
        found = self.client.search_registered_models(text, order_by=order)
        return [self.shown_model(one) for one in found]

    # What came of it

    def shown_experiment(self, found: Any) -> Any:
        return [self.plain(found.name), found.lifecycle_stage, dict(sorted(found.tags.items()))]

    def shown_run(self, found: Any) -> Any:
        info, data = found.info, found.data
        uri = info.artifact_uri.rsplit("/", 2)
        return {
            "info": [self.known(info.run_id), info.run_name, info.status, info.lifecycle_stage],
            # A run that goes on after its end keeps that end on one of the servers.
            "times": [info.start_time, info.status in ENDED and info.end_time],
            "of": self.known(info.experiment_id),
            "uri": [self.known(uri[1]), uri[2]],
            "metrics": {key: number(value) for key, value in sorted(data.metrics.items())},
            "params": dict(sorted(data.params.items())),
            "tags": dict(sorted(data.tags.items())),
        }

    def shown_version(self, found: Any) -> Any:
        return {
            "name": [self.plain(found.name), str(found.version), found.current_stage],
            "told": [found.description or "", found.source, found.status, found.run_id or ""],
            "tags": dict(sorted(found.tags.items())),
            "aliases": sorted(set(found.aliases) - FOLLOWING),
        }

    def shown_model(self, found: Any) -> Any:
        aliases = {key: str(value) for key, value in found.aliases.items() if key not in FOLLOWING}
        latest = sorted([one.current_stage, str(one.version)] for one in found.latest_versions)
        return [self.plain(found.name), found.description or "", dict(found.tags), aliases, latest]


def number(value: float) -> str:
    if abs(value) >= LARGEST:
        value = math.copysign(math.inf, value)
    return repr(value)


def main(uri: str) -> None:
    twin = Twin(MlflowClient(uri, uri))
    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            answer: Any = getattr(twin, name)(*arguments)
        except MlflowException as error:
            answer = {"refused": MEANT.get((name, error.error_code), error.error_code)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
