"""Takes experiments, runs, files and models over from an MLflow store into a server, with MLflow's client at both ends.

Runs in a Python that has `mlflow`, and imports nothing of gfedge: `python takeover.py SOURCE SERVER`. What is there
already is passed over, so that a second run goes on where the first one ended.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections import Counter
from typing import Any

FROM, DONE, VERSION = "gfedge.imported_from", "gfedge.imported", "gfedge.imported_version"
PARENT = "mlflow.parentRunId"
OURS = ("mlflow.modelVersions",)


class Takeover:
    """One walk through a store."""

    def __init__(self, source: Any, target: Any) -> None:
        self.source, self.target = source, target
        self.counts: Counter[str] = Counter()
        self.notes: list[str] = []
        self.runs: dict[str, str] = {}
        self.models: dict[str, str] = {}

    def all(self) -> dict[str, Any]:
        for experiment in self._experiments():
            self._experiment(experiment)
        for model in _pages(self.source.search_registered_models):
            self._registered(model)
        return {**self.counts, "notes": self.notes}

    def _experiments(self) -> list[Any]:
        from mlflow.entities import ViewType

        return list(_pages(self.source.search_experiments, view_type=ViewType.ALL))

    # Experiments and runs

    def _experiment(self, found: Any) -> None:
        known = self.target.get_experiment_by_name(found.name)
        if known is None:
            made = self.target.create_experiment(found.name, tags=found.tags)
            self.counts["experiments"] += 1
        else:
            made = known.experiment_id
        if known is not None and known.lifecycle_stage == "deleted":
            self.notes.append(f"experiment {found.name} was deleted on the server: passed over")
            return
        runs = list(_pages(self.source.search_runs, [found.experiment_id]))
        for run in sorted(runs, key=lambda run: run.info.start_time or 0):
            self._run(run, made)
        for model in _pages(self.source.search_logged_models, [found.experiment_id]):
            self._logged_model(model, made)
        if found.lifecycle_stage == "deleted":
            self.target.delete_experiment(made)

    def _run(self, run: Any, experiment: str) -> None:
        old = run.info.run_id
        known = self.target.search_runs([experiment], f"tags.`{FROM}` = '{old}'")
        tags = {**run.data.tags, FROM: old}
        if tags.get(PARENT) in self.runs:
            tags[PARENT] = self.runs[tags[PARENT]]
        if known:
            new = known[0]
        else:
            name = run.info.run_name
            new = self.target.create_run(experiment, run.info.start_time, tags, name)
        self.runs[old] = new.info.run_id
        if DONE in new.data.tags:
            self.counts["runs there already"] += 1
            return
        self._reports(run, new.info.run_id, tags)
        self.counts["files"] += self._files(run.info.artifact_uri, new.info.run_id)
        self.target.set_tag(new.info.run_id, DONE, "true")
        if run.info.status not in ("RUNNING", "SCHEDULED"):
            self.target.set_terminated(new.info.run_id, run.info.status, run.info.end_time)
        self.counts["runs"] += 1

    def _reports(self, run: Any, new: str, tags: dict[str, str]) -> None:
        from mlflow.entities import Param, RunTag

        params = [Param(key, value) for key, value in run.data.params.items()]
        told = [RunTag(key, value) for key, value in tags.items()]
        for part in _parts(params, 100):
            self.target.log_batch(new, params=part)
        for part in _parts(told, 100):
            self.target.log_batch(new, tags=part)
        for key in run.data.metrics:
            history = self.source.get_metric_history(run.info.run_id, key)
            for part in _parts(history, 1000):
                self.target.log_batch(new, metrics=part)
            self.counts["points"] += len(history)
        if run.inputs.dataset_inputs:
            self.target.log_inputs(new, run.inputs.dataset_inputs)

    def _files(self, uri: str, run: str) -> int:
        with tempfile.TemporaryDirectory() as folder:
            if (found := self._fetched(uri, folder)) is None:
                return 0
            self.target.log_artifacts(run, found)
            return sum(len(names) for _, _, names in os.walk(found))

    def _fetched(self, uri: str, folder: str) -> str | None:
        """Where what lies at a URI was copied to; None where there is nothing."""
        from mlflow.artifacts import download_artifacts, list_artifacts

        there = self.source.tracking_uri
        try:
            if not list_artifacts(artifact_uri=uri, tracking_uri=there):
                return None
            found: str = download_artifacts(artifact_uri=uri, dst_path=folder, tracking_uri=there)
        except Exception as error:
            self.notes.append(f"the files of {uri} cannot be read: {error}"[:300])
            return None
        return found

    # Models

    def _logged_model(self, model: Any, experiment: str) -> None:
        known = self.target.search_logged_models(
            [experiment], filter_string=f"tags.`{FROM}` = '{model.model_id}'"
        )
        if known:
            self.models[model.model_id] = known[0].model_id
            self.counts["logged models there already"] += 1
            return
        tags = {key: value for key, value in model.tags.items() if key not in OURS}
        made = self.target.create_logged_model(
            experiment,
            name=model.name,
            source_run_id=self.runs.get(model.source_run_id),
            params=model.params,
            model_type=model.model_type,
        )
        with tempfile.TemporaryDirectory() as folder:
            if (found := self._fetched(model.artifact_location, folder)) is not None:
                self.target.log_model_artifacts(made.model_id, found)
        self.target.finalize_logged_model(made.model_id, str(model.status))
        self.target.set_logged_model_tags(made.model_id, {**tags, FROM: model.model_id})
        self.models[model.model_id] = made.model_id
        self.counts["logged models"] += 1

    def _registered(self, model: Any) -> None:
        if not self.target.search_registered_models(f"name = '{model.name}'"):
            self.target.create_registered_model(model.name, model.tags, model.description)
            self.counts["registered models"] += 1
        found = self.source.search_model_versions(f"name = '{model.name}'")
        for version in sorted(found, key=lambda one: int(one.version)):
            self._version(version)
        numbers = self._numbers(model.name)
        for alias, number in model.aliases.items():
            if str(number) in numbers:
                self._tried(
                    self.target.set_registered_model_alias, model.name, alias, numbers[str(number)]
                )

    def _numbers(self, name: str) -> dict[str, str]:
        """The number here of each version there."""
        found = self.target.search_model_versions(f"name = '{name}'")
        return {one.tags[VERSION]: str(one.version) for one in found if VERSION in one.tags}

    def _version(self, version: Any) -> None:
        if str(version.version) in self._numbers(version.name):
            self.counts["versions there already"] += 1
            return
        source, run, model = self._source(version)
        tags = {**version.tags, VERSION: str(version.version)}
        try:
            made = self.target.create_model_version(
                version.name, source, run, tags, description=version.description, model_id=model
            )
        except Exception as error:
            self.notes.append(f"{version.name}/{version.version}: {error}"[:300])
            return
        self.counts["versions"] += 1
        if version.current_stage not in (None, "", "None"):
            self._tried(
                self.target.transition_model_version_stage,
                version.name,
                made.version,
                version.current_stage,
            )

    def _source(self, version: Any) -> tuple[str, str | None, str | None]:
        """Where the files of a version are on the server now, by its logged model or its run."""
        model = self.models.get(getattr(version, "model_id", None) or "")
        if version.source.startswith("models:/m-"):
            model = self.models.get(version.source.removeprefix("models:/"), model)
        if model:
            return f"models:/{model}", None, model
        run = self.runs.get(version.run_id or "")
        _, found, path = version.source.partition("/artifacts/")
        if run and found:
            return f"runs:/{run}/{path}", run, None
        return version.source, run, None

    def _tried(self, call: Any, *arguments: Any) -> None:
        """What the server's gates may refuse is noted, and the rest goes on."""
        try:
            call(*arguments)
        except Exception as error:
            self.notes.append(f"{' '.join(map(str, arguments))}: {error}"[:300])


def _pages(search: Any, *arguments: Any, **more: Any) -> Any:
    token = None
    while True:
        page = search(*arguments, page_token=token, **more)
        yield from page
        if not (token := page.token):
            return


def _parts(values: list[Any], size: int) -> list[list[Any]]:
    return [values[at : at + size] for at in range(0, len(values), size)]


def main(source: str, server: str) -> None:
    from mlflow import MlflowClient

    found = Takeover(MlflowClient(source, source), MlflowClient(server, server)).all()
    print("TAKEN " + json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:3])
