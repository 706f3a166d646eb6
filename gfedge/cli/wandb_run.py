"""One run of Weights & Biases on its way into a server: what its file tells is reported as any trainer would."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from gfedge.cli.client import Refused, Server

ML = "/api/v1/ml-platform"
JSON = "application/json"
FROM, DONE = "gfedge.imported_from", "gfedge.imported"
NOTE = "mlflow.note.content"
UNNAMED = "uncategorized"
"""What W&B calls the project of runs that name none."""
BATCH, ROWS = 5000, 500
"""Points, and params or tags, of one report."""
OWN = ("_wandb", "_step", "_timestamp", "_runtime")
LONGEST, KEY = 6000, 250
_unfit = re.compile(r"[\x00-\x1f\x7f]")
Record = dict[str, Any]


class Run:
    """One run on its way: found or made when its first record is heard, ended when the last one was."""

    def __init__(self, server: Server, file: Path, taken: Counter[str], notes: list[str]) -> None:
        self.server, self.file, self.taken, self.notes = server, file, taken, notes
        self.id = ""
        self.over = False
        """Nothing more is taken: it was refused, or it is there already."""
        self.known: Record = {"params": {}, "tags": {}}
        self.config: Record = {}
        self.summary: Record = {}
        self.tags: dict[str, str] = {}
        self.points: list[Record] = []
        self.latest: dict[str, float] = {}
        self.passed: Counter[str] = Counter()
        self.exit: int | None = None
        self.started_at = self.ended_at = 0.0
        self.step = self.measured = 0

    def hear(self, record: Record) -> None:
        """Takes one record; what the server refuses ends this run, and the others go on."""
        if self.over:
            return
        try:
            self._hear(record)
        except Refused as refusal:
            self._refused(str(refusal))

    def finish(self) -> None:
        """Files, summary, state and end; only then it is marked as taken."""
        if self.over:
            return
        if not self.id:
            self._refused("it holds no run")
            return
        try:
            self._conclude()
        except Refused as refusal:
            self._refused(str(refusal))

    def _hear(self, record: Record) -> None:
        match record:
            case {"run": told}:
                self._begin(told)
            case {"config": values}:
                self.config |= values
            case {"history": values, "step": step}:
                self._history(values, int(values.get("_step", step)))
            case {"summary": values}:
                self.summary |= values
            case {"stats": {"at": at, "values": values}}:
                self._measured(at, values)
            case {"artifact": told}:
                self._artifact(told)
            case {"program": program} if program:
                self.tags["mlflow.source.name"] = program
            case {"exit": code, "runtime": seconds}:
                self.exit = code
                self.ended_at = max(self.ended_at, self.started_at + seconds)
            case {"cut": why}:
                self._note(f"{why}: what came before that was taken")

    # The run

    def _begin(self, told: Record) -> None:
        self.config |= told["config"]
        if self.id:
            return
        project = told["project"] or UNNAMED
        origin = f"wandb/{project}/{told['run_id']}"
        self.tags |= _labels(told)
        self.started_at = self.ended_at = told["started_at"]
        self._experiment(project)
        query = urlencode({"experiment": project, "filter": f"tags.`{FROM}` = '{origin}'"})
        runs = self.server.get(f"{ML}/runs?{query}").json()["runs"]
        if runs:
            self.known = runs[0]
        else:
            body = {"name": told["display_name"] or told["run_id"], "tags": {FROM: origin}}
            if self.started_at:
                body["started_at"] = self.started_at
            path = f"{ML}/experiments/{quote(project, safe='')}/runs"
            self.known = self._send("POST", path, body)
            self.taken["runs"] += 1
        self.id = self.known["id"]
        if self._done().get(self.file.name) == self.file.stat().st_size:
            self.taken["runs there already"] += 1
            self.over = True

    def _experiment(self, name: str) -> None:
        try:
            self._send("POST", f"{ML}/experiments", {"name": name})
        except Refused as refusal:
            if refusal.problem.get("code") != "experiment_exists":
                raise
        else:
            self.taken["experiments"] += 1

    def _done(self) -> dict[str, int]:
        """How many bytes of which files were taken before."""
        found: dict[str, int] = json.loads(self.known["tags"].get(DONE, "{}"))
        return found

    def _conclude(self) -> None:
        self._summary()
        self._flush()
        params = {_key(key): _text(value) for key, value in _flat(self.config).items()}
        params = {key: value for key, value in params.items() if not key.startswith(OWN)}
        before = self.known["params"]
        for key in [key for key in params if before.get(key, params[key]) != params[key]]:
            self._note(f"param {key} is {before[key]} here, and {params.pop(key)} there")
        self._log(params=params)
        self._log(tags={key: value[:LONGEST] for key, value in self.tags.items() if value})
        self.taken["params"] += len(params)
        self._files(self.file.parent / "files")
        for what, count in sorted(self.passed.items()):
            self._note(f"{count} values of the kind {what} are no metrics: passed over")
        if self.exit is None:
            self._note(
                "it has no end: it was killed, or goes on; run this again for what comes yet"
            )
        status = "killed" if self.exit is None else "failed" if self.exit else "finished"
        done = self._done() | {self.file.name: self.file.stat().st_size}
        body = {"status": status, "ended_at": self.ended_at, "tags": {DONE: json.dumps(done)}}
        self._send("PATCH", f"{ML}/runs/{self.id}", body)

    # Metrics

    def _history(self, values: Record, step: int) -> None:
        at = float(values.get("_timestamp", self.ended_at))
        self.step, self.ended_at = step, max(self.ended_at, at)
        for key, value in self._numbers(_flat(values)).items():
            self.latest[key] = value
            self._point(key, value, step, at)
        self.taken["steps"] += 1

    def _measured(self, at: float, values: Record) -> None:
        self.ended_at = max(self.ended_at, at)
        for key, value in values.items():
            if isinstance(value, int | float):
                self._point(f"system/{key}", float(value), self.measured, at)
        self.measured += 1

    def _summary(self) -> None:
        """All of it as a file; numbers that are not the last of their history as metrics too."""
        values = {k: v for k, v in self.summary.items() if k.partition(".")[0] not in OWN}
        if not values:
            return
        for key, value in self._numbers(_flat(values), count=False).items():
            last = self.latest.get(key)
            if last is None:
                self._point(key, value, self.step, self.ended_at)
            elif last != value and not (math.isnan(last) and math.isnan(value)):
                self._point(f"summary/{key}", value, self.step, self.ended_at)
        text = json.dumps(values, indent=1, sort_keys=True)
        self._put("wandb-summary.json", text.encode(), JSON)

    def _numbers(self, values: Record, *, count: bool = True) -> dict[str, float]:
        """Numbers that are metrics; those that describe a picture or a table are part of it."""
        media = {
            key.removesuffix("._type"): kind
            for key, kind in values.items()
            if key.endswith("._type")
        }
        found: dict[str, float] = {}
        for key, value in values.items():
            if key in OWN or key.startswith(tuple(f"{name}." for name in media)):
                continue
            if isinstance(value, int | float):
                found[key] = float(value)
            elif count and value is not None:
                self.passed[type(value).__name__] += 1
        if count:
            self.passed.update(media.values())
        return found

    def _point(self, key: str, value: float, step: int, at: float) -> None:
        told: Record = {"key": _key(key), "value": _number(value), "step": step}
        self.points.append(told | ({"logged_at": at} if at else {}))
        if len(self.points) >= BATCH:
            self._flush()

    def _flush(self) -> None:
        if self.points:
            self._send("POST", f"{ML}/runs/{self.id}/log", {"metrics": self.points})
            self.taken["points"] += len(self.points)
            self.points = []

    def _log(self, **told: dict[str, str]) -> None:
        """Params or tags, no more at once than the server takes."""
        for what, values in told.items():
            pairs = list(values.items())
            for at in range(0, len(pairs), ROWS):
                body = {what: dict(pairs[at : at + ROWS])}
                self._send("POST", f"{ML}/runs/{self.id}/log", body)

    # Files

    def _files(self, folder: Path) -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.taken["files"] += self._upload(path.relative_to(folder).as_posix(), path)

    def _artifact(self, told: Record) -> None:
        """The files of a logged artifact, as far as they are on this machine, and what is told of it."""
        name = f"artifacts/{told['name']}"
        about = {key: value for key, value in told.items() if key != "files"}
        about["files"] = [{k: v for k, v in file.items() if k != "at"} for file in told["files"]]
        self._put(f"{name}/wandb-artifact.json", json.dumps(about, indent=1).encode(), JSON)
        for file in told["files"]:
            path = Path(file["at"])
            if file["at"] and path.is_file():
                self._upload(f"{name}/{file['path']}", path)
            else:
                where = f"it is at {file['ref']}" if file["ref"] else "it is not on this machine"
                self._note(f"{name}/{file['path']} was not taken: {where}")
        self.taken["artifacts"] += 1

    def _upload(self, name: str, path: Path) -> bool:
        with path.open("rb") as file:
            return self._put(name, file, "application/octet-stream", path.stat().st_size)

    def _put(self, name: str, body: Any, kind: str, size: int | None = None) -> bool:
        """Stores a file of the run; one whose name the server refuses is noted."""
        headers = {"Content-Type": kind, "Content-Length": str(len(body) if size is None else size)}
        path = f"{ML}/runs/{self.id}/artifacts/{quote(name)}"
        try:
            self.server.request("PUT", path, body, headers)
        except Refused as refusal:
            self._note(f"{name} was not taken: {refusal}")
            return False
        return True

    def _send(self, method: str, path: str, body: Mapping[str, Any]) -> Record:
        data = json.dumps(body).encode()
        return self.server.request(method, path, data, {"Content-Type": JSON}).json()

    def _refused(self, why: str) -> None:
        self.over = True
        self.taken["runs refused"] += 1
        self._note(f"was not taken: {why}")

    def _note(self, text: str) -> None:
        self.notes.append(f"{self.file.parent.name}: {text}"[:500])


def _labels(told: Record) -> dict[str, str]:
    """What W&B says of a run beside its values, as tags."""
    labels = {
        "wandb.run_id": told["run_id"],
        "wandb.entity": told["entity"],
        "wandb.group": told["run_group"],
        "wandb.job_type": told["job_type"],
        "wandb.sweep": told["sweep_id"],
        "wandb.host": told["host"],
        "wandb.tags": ",".join(told["tags"]),
        "mlflow.source.git.commit": told["git"]["commit"],
        "mlflow.source.git.repoURL": told["git"]["remote"],
        NOTE: told["notes"],
    }
    return labels | {f"wandb.tag.{tag}"[:KEY]: "true" for tag in told["tags"]}


def _flat(values: Record) -> Record:
    """Dotted keys in place of values within values."""
    found: Record = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            found |= {f"{key}.{name}": one for name, one in _flat(value).items()}
        else:
            found[key] = value
    return found


def _key(text: str) -> str:
    return _unfit.sub("_", text)[:KEY] or "_"


def _text(value: Any) -> str:
    return (value if isinstance(value, str) else json.dumps(value))[:LONGEST]


def _number(value: float) -> float | str:
    """JSON has no words for what is no finite number."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
