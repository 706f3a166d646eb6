"""A trace in words: one line a node, from the thing that was asked for back to the data behind it."""

from __future__ import annotations

from typing import Any

from gfedge.ai.asked import told
from gfedge.lineage.types import Edge

Node = dict[str, Any]
ORDER = (
    "asset", "job", "run", "experiment", "promotion", "model_version", "logged_model", "training_job", "training_run", "dataset", "commit",
)  # fmt: skip


def lines(nodes: list[Node], edges: list[Edge]) -> list[str]:
    """Readable lines; nearest things first within the order asset, job, record, model, training, dataset."""
    by_key = {f"{node['kind']}:{node['id']}": node for node in nodes}
    ordered = sorted(nodes, key=lambda node: ORDER.index(node["kind"]))
    return [WORDS[node["kind"]](node, _Around(node, by_key, edges)) for node in ordered]


class _Around:
    """The neighbours of a node."""

    def __init__(self, node: Node, by_key: dict[str, Node], edges: list[Edge]) -> None:
        self._key, self._by_key, self._edges = f"{node['kind']}:{node['id']}", by_key, edges

    def before(self, kind: str) -> list[Node]:
        return [
            n
            for e in self._edges
            if e.target == self._key
            if (n := self._by_key[e.source])["kind"] == kind
        ]

    def after(self, kind: str) -> list[Node]:
        return [
            n
            for e in self._edges
            if e.source == self._key
            if (n := self._by_key[e.target])["kind"] == kind
        ]


def _asset(node: Node, around: _Around) -> str:
    size = f"{node['width']}x{node['height']}" if "width" in node else "size unknown"
    makers = around.before("job")
    origin = (
        f"made by job {makers[0]['id']}{_made(node, makers[0])}" if makers else "sent by a client"
    )
    return f"asset {node['id']} ({size}) was {origin}"


def _made(node: Node, job: Node) -> str:
    """The picture's own seed, and how well its edges meet, where that was measured."""
    outputs = job.get("outputs") or []
    index = next((i for i, one in enumerate(outputs) if one["sha256"] == node["id"]), None)
    if index is None:
        return ""
    seed = f" with seed {job['seed'] + index}" if job.get("seed") is not None else ""
    score = outputs[index].get("seam_score")
    return seed + (f", seam score {score:.2f}" if score is not None else "")


def _job(node: Node, around: _Around) -> str:
    what = f" {asked}" if (asked := told(node.get("params", {}), node.get("seed"))) else ""
    models = ", ".join(model["id"] for model in around.before("model_version")) or "no model"
    inputs = "".join(f", from asset {asset['id']}" for asset in around.before("asset"))
    inputs += "".join(f", as job {job['id']} before it" for job in around.before("job"))
    return f"job {node['id']} ({node.get('status')}) ran {node.get('pipeline')}{what} on {models}{inputs}"


def _run(node: Node, around: _Around) -> str:
    if around.before("job"):
        return f"run {node['id']} holds its params and metrics"
    name = f" ({node['name']}, {node.get('status')})" if node.get("name") else ""
    return f"run {node['id']}{name}{_sources(around)}"


def _training_job(node: Node, around: _Around) -> str:
    status = f" ({node['status']})" if node.get("status") else ""
    return f"training job {node['id']}{status}{_sources(around)}"


def _sources(around: _Around) -> str:
    """The data and the code behind a training."""
    read = "".join(f", read dataset {found['id']}" for found in around.before("dataset"))
    return read + "".join(f", ran commit {found['id']}" for found in around.before("commit"))


def _experiment(node: Node, around: _Around) -> str:
    return f"experiment {node['id']} ({node.get('name')}) holds the run"


def _promotion(node: Node, around: _Around) -> str:
    models = ", ".join(model["id"] for model in around.before("model_version")) or "a model"
    to = f" to {node['to']}" if node.get("to") else ""
    return f"promotion {node['id']} brought {models}{to}"


def _model_version(node: Node, around: _Around) -> str:
    origin = "".join(
        f", produced by {kind.replace('_', ' ')} {found['id']}"
        for kind in ("run", "training_run")
        for found in around.before(kind)
    )
    return f"model {node['id']} has digest {node.get('digest')} ({node.get('licence')}){origin}"


def _training_run(node: Node, around: _Around) -> str:
    data = around.before("dataset")
    learned = f" learned from dataset {data[0]['id']}" if data else " has no dataset on record"
    facts = [
        f"{node[k]:,} {k}"
        for k in ("parameters", "steps", "samples")
        if isinstance(node.get(k), int)
    ]
    code = "".join(f", ran commit {found['id']}" for found in around.before("commit"))
    return (
        f"training run {node['id']}{learned}" + (f" ({', '.join(facts)})" if facts else "") + code
    )


def _dataset(node: Node, around: _Around) -> str:
    facts = [str(node[k]) for k in ("source", "licence", "digest") if node.get(k)]
    return f"dataset {node['id']}: {', '.join(facts) or 'nothing more is known'}"


def _logged_model(node: Node, around: _Around) -> str:
    by = "".join(f", logged by run {found['id']}" for found in around.before("run"))
    return f"logged model {node['id']} ({node.get('name')}){by}"


def _commit(node: Node, around: _Around) -> str:
    where = f" of {node['repository']}" if node.get("repository") else ""
    return f"commit {node['id']}{where}"


WORDS = {
    "asset": _asset,
    "job": _job,
    "run": _run,
    "experiment": _experiment,
    "promotion": _promotion,
    "model_version": _model_version,
    "training_job": _training_job,
    "training_run": _training_run,
    "dataset": _dataset,
    "commit": _commit,
    "logged_model": _logged_model,
}
