"""The history of a thing as OpenLineage run events (spec 2-0-2, openlineage.io), ready to be sent to any that takes them.

Everything done is a run of a job, everything used or made a dataset; a model is a dataset with a version, as OpenLineage
has no word of its own for one yet. Pure.
"""

from __future__ import annotations

import uuid
from typing import Any

from gfedge import __version__
from gfedge.lineage.graph import Facts
from gfedge.lineage.history import History
from gfedge.lineage.types import Node

Json = dict[str, Any]

PRODUCER = f"urn:gfedge:{__version__}"
SPEC = "https://openlineage.io/spec"
EVENT = f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
ENDS = {
    "succeeded": "COMPLETE",
    "finished": "COMPLETE",
    "failed": "FAIL",
    "lost": "FAIL",
    "cancelled": "ABORT",
    "killed": "ABORT",
}
"""By status. What has none, such as a training that only a model folder tells of, is complete."""
LIVE = ("queued", "scheduled", "running")


def events(history: History, address: str) -> list[Json]:
    """A START for everything that was done and, where it is over, its end, oldest first; `address` is the namespace."""
    writer = _Writer(history, address)
    return [event for deed in history.deeds for event in writer.events(deed)]


def run_id(node: Node) -> str:
    """A UUID: the id itself where it is one, else one that follows from it."""
    try:
        return str(uuid.UUID(node[1]))
    except ValueError:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"gfedge:{node[0]}/{node[1]}"))


class _Writer:
    def __init__(self, history: History, address: str) -> None:
        self._history = history
        self._address = address

    def events(self, deed: Node) -> list[Json]:
        status = str(self._history.facts[deed].get("status", "finished"))
        began = self._history.began(deed)
        found = [self._event("START", began, deed)]
        if status not in LIVE:
            end = self._event(ENDS.get(status, "OTHER"), self._history.ended(deed) or began, deed)
            made = [self._dataset(node) for node in self._history.made(deed)]
            found.append({**end, "outputs": made})
        return found

    def _event(self, kind: str, at: str, deed: Node) -> Json:
        return {
            "eventType": kind,
            "eventTime": at,
            "producer": PRODUCER,
            "schemaURL": EVENT,
            "run": {"runId": run_id(deed), "facets": self._of_run(deed)},
            "job": {**self._job(deed), "facets": self._of_job(deed)},
            "inputs": [self._dataset(n) for n in self._history.used(deed) if n[0] != "commit"],
            "outputs": [],
        }

    def _job(self, deed: Node) -> Json:
        kind, node_id = deed
        facts = self._history.facts[deed]
        name = facts.get("pipeline") or facts.get("name") or node_id
        return {"namespace": self._address, "name": f"{kind}/{name}"}

    def _of_run(self, deed: Node) -> Json:
        facets = {
            "processing_engine": _facet(
                "1-1-1/ProcessingEngineRunFacet", version=__version__, name="gfedge"
            ),
            "gfedge": self._own(deed),
        }
        if causes := self._history.caused_by(deed):
            parent = {"run": {"runId": run_id(causes[0])}, "job": self._job(causes[0])}
            facets["parent"] = _facet("1-2-0/ParentRunFacet", **parent)
        return facets

    def _of_job(self, deed: Node) -> Json:
        facets = {
            "jobType": _facet(
                "2-0-4/JobTypeJobFacet",
                processingType="BATCH",
                integration="GFEDGE",
                jobType=deed[0].upper(),
            )
        }
        for commit in [node for node in self._history.used(deed) if node[0] == "commit"]:
            url = str(self._history.facts[commit].get("repository") or f"urn:git:{commit[1]}")
            facets["sourceCodeLocation"] = _facet(
                "1-1-0/SourceCodeLocationJobFacet", type="git", url=url, version=commit[1]
            )
        return facets

    def _dataset(self, node: Node) -> Json:
        name, version = _named(node, self._history.facts[node])
        facets = {"gfedge": self._own(node)}
        if version:
            facets["version"] = _facet(
                "1-0-1/DatasetVersionDatasetFacet", datasetVersion=str(version)
            )
        return {"namespace": self._address, "name": name, "facets": facets}

    def _own(self, node: Node) -> Json:
        """What we know of a node, and where to ask for more; it is described in this server's own document."""
        schema = f"{self._address}/openapi.json#/components/schemas/LineageNode"
        return {
            "_producer": PRODUCER,
            "_schemaURL": schema,
            "kind": node[0],
            "id": node[1],
            "facts": self._history.facts[node],
        }


def _named(node: Node, facts: Facts) -> tuple[str, object]:
    """Name and version of a thing: what changes under one name has versions."""
    kind, node_id = node
    if kind == "model_version":
        name, _, version = node_id.partition("@")
        return f"models/{name}", version
    if kind == "dataset":
        return f"datasets/{facts.get('name', node_id)}", facts.get("digest")
    return f"{kind}s/{node_id}", None


def _facet(schema: str, **values: Any) -> Json:
    name = schema.rpartition("/")[2]
    url = f"{SPEC}/facets/{schema}.json#/$defs/{name}"
    return {"_producer": PRODUCER, "_schemaURL": url, **values}
