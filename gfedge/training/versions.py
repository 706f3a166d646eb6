"""Model versions as parameters of a training: named in a request, handed to the trainer as folders."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import msgspec

from gfedge import errors
from gfedge.registry.evaluations import Evaluation
from gfedge.registry.registry import Registry
from gfedge.registry.types import ModelVersionRow
from gfedge.training import entry_points
from gfedge.training.entry_points import Declared
from gfedge.training.exported import Exports
from gfedge.training.types import EntryParam, Outcome, Scalar

FILE = "evaluation.json"
MOST_BYTES = 16 << 20
JUDGES = ("judge.onnx", "judge.json")


async def named(
    registry: Registry, entry: Declared, params: Mapping[str, Scalar]
) -> dict[str, Scalar]:
    """The parameters with every version by its id: `sprite` may mean another one when the job's turn comes."""
    await registry.opened()
    found = dict(params)
    for name, param in entry.params.items():
        value = str(params.get(name, ""))
        if param.type == "judge" and value and (Path(param.root) / value).is_dir():
            entry_points.path(name, param, value)
        elif param.type in ("model", "judge") and value:
            row = _version(registry, name, value)
            if param.type == "judge" and not (
                row.evaluation or _has_judge(registry.folder(row.id).path)
            ):
                raise entry_points.invalid(name, _none_of(row.id))
            found[name] = row.id
    if entry.evaluates and "judge" in entry.params and entry.params["judge"].type == "judge":
        _check_judged(registry, entry, found)
    return found


async def placed(
    registry: Registry, exports: Exports, entry: Declared, params: Mapping[str, Scalar], work: Path
) -> dict[str, Scalar]:
    """The parameters with the folder of every version in the place of its id."""
    found = dict(params)
    for name, param in entry.params.items():
        value = str(params.get(name, ""))
        if param.type == "model" and value:
            found[name] = str(registry.folder(value).path)
        elif param.type == "judge" and value:
            found[name] = await _judge(registry, exports, (name, param, value), work)
    if entry.evaluates and not found.get("judge"):
        own = Path(str(found[entry.evaluates]))
        found["judge"] = str(own) if _has_judge(own) else ""
    return found


def outcome(entry: Declared, params: Mapping[str, Scalar], folder: Path) -> Outcome | None:
    """What an evaluation left; None where the entry point makes none. Raises Invalid. It blocks."""
    if not entry.evaluates:
        return None
    try:
        path = folder / FILE
        if path.stat().st_size > MOST_BYTES:
            raise errors.Invalid(f"{FILE} is larger than {MOST_BYTES >> 20} MiB")
        found = msgspec.json.decode(path.read_bytes(), type=Evaluation)
    except (OSError, msgspec.MsgspecError) as error:
        raise errors.Invalid(f"it left no {FILE} that can be read: {error}") from None
    return Outcome(status="succeeded", evaluation=found, evaluated=str(params[entry.evaluates]))


# Inside


def _none_of(version: str) -> str:
    return f"{version} has no judge: it was not trained with one, nor did `gfedge evaluate {version} --data SET` train one"


def _version(registry: Registry, name: str, value: str) -> ModelVersionRow:
    row = registry.resolve(value)
    if row is None or registry.here(row.id) is None or row.kind != "generate":
        known = [one.id for one in registry.recorded() if registry.here(one.id) is not None]
        why = (
            "no such version is here"
            if row is None
            else f"{row.id} is of kind {row.kind}"
            if row.kind != "generate"
            else f"the files of {row.id} are missing"
        )
        raise entry_points.invalid(name, f"{value!r}: {why}; there are: {', '.join(known[:20])}")
    return row


def _check_judged(registry: Registry, entry: Declared, params: Mapping[str, Scalar]) -> None:
    """Refuses an evaluation that has neither a judge nor a set to train one on."""
    own = registry.folder(str(params[entry.evaluates])).path
    if not (params.get("judge") or params.get("data") or _has_judge(own)):
        raise entry_points.invalid(
            "judge",
            f"{params[entry.evaluates]} brings none: name a version whose judge to take (studio@1), the folder of one, or "
            "with `data` the set to train one on",
        )


async def _judge(
    registry: Registry, exports: Exports, given: tuple[str, EntryParam, str], work: Path
) -> str:
    """The folder of a judge: that of a version, or what the run kept that gave the version its score."""
    name, param, value = given
    row = registry.row(value)
    if row is None:
        return entry_points.path(name, param, value)
    folder = registry.folder(row.id).path
    run = str((row.evaluation or {}).get("run", ""))
    place = work / "judge"
    if run and await exports.fetch(run, "judge", JUDGES, place):
        return str(place)
    if await asyncio.to_thread(_has_judge, folder):
        return str(folder)
    raise errors.Conflict(_none_of(row.id), code="no_judge")


def _has_judge(folder: Path) -> bool:
    return all((folder / name).is_file() for name in JUDGES)
