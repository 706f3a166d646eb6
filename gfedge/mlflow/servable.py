"""ONNX models that MLflow logged, as models that are run here: where their signature or a manifest says what they are."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import yaml
from aiohttp import web

from gfedge import errors
from gfedge.inference import manifest
from gfedge.inference.folder import FILE_NAME, NAME
from gfedge.registry import registration
from gfedge.registry.registration import Origin
from gfedge.registry.registry import Registry
from gfedge.registry.routes import opened
from gfedge.registry.types import ModelVersionRow
from gfedge.tracking.artifact_routes import FILES
from gfedge.tracking.artifact_types import ArtifactRow

log = logging.getLogger(__name__)

MLMODEL, MANIFEST = "MLmodel", "model.toml"
LARGEST = 1 << 20
"""Bytes of an MLmodel file that is looked into."""
SCALE, RADIUS = 4, 64
"""What is assumed of an upscaler that says nothing: a wide surrounding costs time, a narrow one shows seams."""


async def register(
    request: web.Request, name: str, files: list[ArtifactRow], origin: Origin, told: dict[str, str]
) -> ModelVersionRow | None:
    """The version, where the files are a model that fits; None where they are not, which is no error."""
    registry = await opened(request)
    graphs = [file for file in files if file.path.endswith(".onnx")]
    if len(graphs) != 1 or not NAME.fullmatch(name):
        return None
    async with registry.files.room() as room:
        _gather(request, files, graphs[0], room)
        if not _has_manifest(registry, name, room) and not _write_manifest(
            request, name, files, room
        ):
            return None
        try:
            row, new = await registration.register(registry, room, name, None, origin, **told)
        except errors.ApiError as refusal:
            log.info("%s is kept, and not run here: %s", name, refusal.detail)
            return None
    return row if new else None


def _gather(request: web.Request, files: list[ArtifactRow], graph: ArtifactRow, room: Path) -> None:
    """Links the graph, what lies beside it, and a manifest wherever it is."""
    folder = PurePosixPath(graph.path).parent
    for file in files:
        path = PurePosixPath(file.path)
        beside = path.parent == folder and path.suffix in (".onnx", ".data", ".json")
        if (beside or path.name == MANIFEST) and FILE_NAME.fullmatch(path.name):
            target = room / ("model.onnx" if file is graph else path.name)
            if not target.exists():
                os.link(request.app[FILES].path_of(file.sha256), target)


def _has_manifest(registry: Registry, name: str, room: Path) -> bool:
    """Its own, or that of the model of the same name, which is then taken."""
    return (room / MANIFEST).exists() or any(row.is_run_here for row in registry.versions(name))


def _write_manifest(request: web.Request, name: str, files: list[ArtifactRow], room: Path) -> bool:
    """Makes one for an upscaler, which its signature tells: a picture in, a picture out."""
    mlmodel = next((file for file in files if file.path == MLMODEL), None)
    if mlmodel is None or mlmodel.bytes > LARGEST:
        return False
    given = _tensors(request.app[FILES].path_of(mlmodel.sha256).read_bytes())
    if given is None:
        return False
    table = {
        "name": name,
        "kind": "superres",
        "inputs": {"image": given},
        "pipeline": {"scale": SCALE, "radius": RADIUS},
    }
    (room / MANIFEST).write_text(manifest.dumps(table), encoding="utf-8")
    return True


def _tensors(text: bytes) -> str | None:
    """The name of the one input, where the signature is that of an upscaler."""
    try:
        signature = yaml.safe_load(text)["signature"]
        inputs, outputs = (
            msgspec.json.decode(signature[side], type=list[dict[str, Any]])
            for side in ("inputs", "outputs")
        )
    except (yaml.YAMLError, msgspec.MsgspecError, KeyError, TypeError, RecursionError):
        return None
    if (
        len(inputs) != 1
        or len(outputs) != 1
        or not (_is_picture(inputs[0]) and _is_picture(outputs[0]))
    ):
        return None
    name = inputs[0].get("name")
    return name if isinstance(name, str) else None


def _is_picture(tensor: Mapping[str, Any]) -> bool:
    spec = tensor.get("tensor-spec")
    if not isinstance(spec, dict) or spec.get("dtype") != "float32":
        return False
    shape = spec.get("shape")
    return isinstance(shape, list) and len(shape) == 4 and shape[1] == 3
