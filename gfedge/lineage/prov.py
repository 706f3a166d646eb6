"""The history of a thing as W3C PROV, in PROV-JSON: entities, activities, this server as their agent. Pure.

A node's qualified name expands to the address at which this server tells of it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from gfedge import __version__
from gfedge.lineage.graph import Facts
from gfedge.lineage.history import History
from gfedge.lineage.types import Node

Json = dict[str, Any]

SERVER = "server:gfedge"
LABELS = ("name", "prompt", "title")


def document(history: History, address: str) -> Json:
    """The whole history as one document."""
    deeds, things = history.deeds, history.things
    written = _Relations()
    for deed in deeds:
        causes = history.caused_by(deed)
        for thing in history.used(deed):
            written.add("used", activity=name(deed), entity=name(thing))
        # What a replay made again is there already, and PROV has things come about once.
        again = {thing for cause in causes for thing in history.made(cause)}
        for thing in (made for made in history.made(deed) if made not in again):
            written.add("wasGeneratedBy", entity=name(thing), activity=name(deed))
            for source in history.used(deed):
                written.add("wasDerivedFrom", generatedEntity=name(thing), usedEntity=name(source))
        for cause in (cause for cause in causes if cause in deeds):
            written.add("wasInformedBy", informed=name(deed), informant=name(cause))
        written.add("wasAssociatedWith", activity=name(deed), agent=SERVER)
    return {
        "prefix": {
            "gfedge": f"{address}/api/v1/ml-platform/lineage/",
            "server": f"{address}/",
            "fact": "urn:gfedge:fact:",
            "kind": "urn:gfedge:kind:",
        },
        "entity": {name(node): _attributes(node, history.facts[node]) for node in things},
        "activity": {name(node): _activity(node, history) for node in deeds},
        "agent": {
            SERVER: {"prov:type": _qualified("prov:SoftwareAgent"), "fact:version": __version__}
        },
        **written.by_kind,
    }


def name(node: Node) -> str:
    return f"gfedge:{node[0]}/{quote(node[1], safe='/@')}"


class _Relations:
    """Relations by kind, numbered; one that is there already is not written again."""

    def __init__(self) -> None:
        self.by_kind: dict[str, dict[str, Json]] = {}

    def add(self, kind: str, **ends: str) -> None:
        found = self.by_kind.setdefault(kind, {})
        relation = {f"prov:{role}": end for role, end in ends.items()}
        if relation not in found.values():
            found[f"_:{kind}{len(found) + 1}"] = relation


def _activity(node: Node, history: History) -> Json:
    times = {"prov:startTime": history.began(node), "prov:endTime": history.ended(node)}
    known = {key: at for key, at in times.items() if at is not None}
    return {**known, **_attributes(node, history.facts[node])}


def _attributes(node: Node, facts: Facts) -> Json:
    label = next((str(facts[key]) for key in LABELS if facts.get(key)), node[1])
    found: Json = {"prov:type": _qualified(f"kind:{node[0]}"), "prov:label": label}
    for key, value in facts.items():
        if value is not None and key not in ("href", "url"):
            found[f"fact:{quote(key, safe='')}"] = _literal(value)
    return found


def _literal(value: object) -> object:
    """A value as PROV-JSON has it: text and numbers as they are, what has parts as JSON text."""
    if isinstance(value, (str, bool, int, float)):
        return value
    return msgspec.json.encode(value).decode()


def _qualified(text: str) -> Json:
    return {"$": text, "type": "prov:QUALIFIED_NAME"}
