"""A trace in words: one line a node, from the thing that was asked for back to the data behind it."""

from __future__ import annotations

from typing import Any

from gfedge.lineage.types import Edge

Node = dict[str, Any]
ORDER = ("asset", "job", "run", "experiment", "model_version", "training_run", "dataset")


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
    origin = f"made by job {makers[0]['id']}" if makers else "sent by a client"
    return f"asset {node['id']} ({size}) was {origin}"


def _job(node: Node, around: _Around) -> str:
    params = node.get("params", {})
    what = f'"{params["prompt"]}"' if "prompt" in params else f"scale {params.get('scale')}"
    seed = f", seed {node['seed']}" if node.get("seed") is not None else ""
    models = ", ".join(model["id"] for model in around.before("model_version")) or "no model"
    inputs = "".join(f", from asset {asset['id']}" for asset in around.before("asset"))
    return f"job {node['id']} ({node.get('status')}) ran {node.get('pipeline')} {what}{seed} on {models}{inputs}"


def _run(node: Node, around: _Around) -> str:
    return f"run {node['id']} holds its params and metrics"


def _experiment(node: Node, around: _Around) -> str:
    return f"experiment {node['id']} ({node.get('name')}) holds the run"


def _model_version(node: Node, around: _Around) -> str:
    trained = around.before("training_run")
    origin = f", produced by training run {trained[0]['id']}" if trained else ""
    return f"model {node['id']} has digest {node.get('digest')} ({node.get('licence')}){origin}"


def _training_run(node: Node, around: _Around) -> str:
    data = around.before("dataset")
    learned = f" learned from dataset {data[0]['id']}" if data else " has no dataset on record"
    facts = [
        f"{node[k]:,} {k}"
        for k in ("parameters", "steps", "samples")
        if isinstance(node.get(k), int)
    ]
    return f"training run {node['id']}{learned}" + (f" ({', '.join(facts)})" if facts else "")


def _dataset(node: Node, around: _Around) -> str:
    facts = [str(node[k]) for k in ("source", "licence", "digest") if node.get(k)]
    return f"dataset {node['id']}: {', '.join(facts) or 'nothing more is known'}"


WORDS = {
    "asset": _asset,
    "job": _job,
    "run": _run,
    "experiment": _experiment,
    "model_version": _model_version,
    "training_run": _training_run,
    "dataset": _dataset,
}
