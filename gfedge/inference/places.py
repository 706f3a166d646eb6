"""Where a cluster's workers are to be: one on each GPU; on nodes without, where there is no GPU at all, so many as are set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gfedge.inference.types import EngineOptions


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker takes of a node, by Ray's account."""

    node: str
    gpus: int
    cpus: int
    threads: int
    """That run graphs; a GPU has one."""


def places(
    nodes: Sequence[Mapping[str, Any]], options: EngineOptions, actors: int
) -> dict[str, Place]:
    """By the names of the workers: those of their nodes, and a number. `actors`: on each node without a GPU; 0 is one."""
    alive = [node for node in nodes if node["Alive"]]
    on_gpus = {
        name: place
        for node, called in _named(alive)
        for name, place in _gpus(node, called, options).items()
    }
    if on_gpus or options.device == "cuda":
        return on_gpus
    return {
        name: place
        for node, called in _named(alive)
        for name, place in _cores(node, called, options.workers, actors).items()
    }


def _named(nodes: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], str]]:
    """Ray calls a node by its address unless it was given a name, and several may be at one address."""
    counts = Counter(node["NodeName"] for node in nodes)
    return [
        (node, name if counts[name] == 1 else f"{name}~{node['NodeID'][:6]}")
        for node in nodes
        if (name := node["NodeName"])
    ]


def _gpus(node: Mapping[str, Any], called: str, options: EngineOptions) -> dict[str, Place]:
    count, cores = int(node["Resources"].get("GPU", 0)), int(node["Resources"].get("CPU", 0))
    if options.device == "cpu":
        return {}
    return {
        f"{called}/gpu{index}": Place(
            node=node["NodeID"], gpus=1, cpus=int(cores >= count), threads=1
        )
        for index in range(count)
    }


def _cores(node: Mapping[str, Any], called: str, threads: int, actors: int) -> dict[str, Place]:
    cores = int(node["Resources"].get("CPU", 0))
    count = min(actors or 1, cores)
    return {
        f"{called}/{index}": Place(
            node=node["NodeID"],
            gpus=0,
            cpus=cores // count,
            threads=threads or cores // count,
        )
        for index in range(count)
    }
