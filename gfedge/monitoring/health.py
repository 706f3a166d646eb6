"""Whether work can be done here: what is looked at, and what is said where something is missing."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

from gfedge import errors
from gfedge.connections import file_limit
from gfedge.db import Database
from gfedge.inference.types import WorkerState
from gfedge.monitoring.serving import Serving
from gfedge.monitoring.types import Check, Gpu, Readiness
from gfedge.rows import Cursor
from gfedge.settings import Settings

DATABASE_SECONDS = 2.0
FEW_FILES = 8
CUDA = "CUDAExecutionProvider"


async def readiness(
    serving: Serving, gpus: Sequence[Gpu], db: Database, settings: Settings
) -> Readiness:
    """Looks at everything that a job needs."""
    checks = {
        "models": models(serving),
        "provider": provider(serving, settings.device),
        "database": await database(db),
        "files": await asyncio.to_thread(files),
        "disk": await asyncio.to_thread(disk, settings.data, settings.min_free_disk),
        "gpu": gpu(gpus, serving),
    }
    if states := serving.workers():
        checks["workers"] = workers(states)
    ready = all(check.ok for check in checks.values())
    return Readiness(status="ready" if ready else "not ready", checks=checks)


def models(serving: Serving) -> Check:
    """All that serve are loaded."""
    if failure := serving.failure():
        return Check(ok=False, reason=failure)
    versions = [v for v in serving.versions() if v.serves]
    if not versions:
        read = serving.device() is not None  # the engine starts after the folders were read
        text = "no model is here: put one into the folder of --models" if read else "they are read"
        return Check(ok=False, reason=text)
    missing = [f"{v.model}@{v.version} is {v.state}" for v in versions if v.state != "ready"]
    names = ", ".join(f"{v.model}@{v.version}" for v in versions)
    return Check(ok=not missing, reason="; ".join(missing) or f"{names} ready")


def workers(states: Sequence[WorkerState]) -> Check:
    """One that answers is enough; those that are away are told."""
    away = [one.name for one in states if not one.up]
    text = f"{len(states) - len(away)} of {len(states)} answer"
    if away:
        text += f"; away: {', '.join(away)}"
    return Check(ok=len(away) < len(states), reason=text)


def provider(serving: Serving, wanted: str) -> Check:
    device = serving.device()
    if device is None:
        return Check(ok=False, reason="the engine starts")
    if wanted == "cuda" and device.provider != CUDA:
        missing = "; ".join(device.missing) or device.note
        return Check(ok=False, reason=f"CUDA is set but cannot be used: {missing}")
    if device.lost and device.provider == CUDA:
        return Check(ok=False, reason=f"{device.note}; restart, or set cpu_fallback")
    return Check(ok=True, reason=device.note)


async def database(db: Database) -> Check:
    """It answers within two seconds."""
    try:
        await asyncio.wait_for(db.read(_select), DATABASE_SECONDS)
    except TimeoutError:
        return Check(ok=False, reason=f"no answer within {DATABASE_SECONDS:g} s")
    except errors.ApiError as error:
        return Check(ok=False, reason=error.detail)
    return Check(ok=True, reason="it answers")


def _select(cursor: Cursor) -> None:
    cursor.execute("select 1").fetchall()


def disk(data: Path, min_free: int) -> Check:
    try:
        free = shutil.disk_usage(data).free
    except OSError as error:
        return Check(ok=False, reason=f"{data}: {error.strerror}")
    if free < min_free:
        return Check(
            ok=False,
            reason=f"{free >> 20} MiB are free and {min_free >> 20} MiB must stay (setting min_free_disk): free some",
        )
    return Check(ok=True, reason=f"{free >> 20} MiB are free")


def files() -> Check:
    """Descriptors are left for models, pictures and connections."""
    if sys.platform == "win32":
        return Check(ok=True, reason="they are not limited")
    return told(psutil.Process().num_fds(), file_limit())


def told(used: int, limit: int) -> Check:
    text = f"{used} of {limit} open files that the system allows are in use"
    enough = limit - used >= FEW_FILES
    return Check(ok=enough, reason=text if enough else f"{text}: raise the limit (ulimit -n)")


def gpu(gpus: Sequence[Gpu], serving: Serving) -> Check:
    """Where models run on a GPU, none may be lost."""
    device = serving.device()
    lost = [gpu.gpu for gpu in gpus if not gpu.up]
    if lost and device is not None and device.provider == CUDA:
        return Check(
            ok=False,
            reason=f"GPU {', '.join(lost)} is lost: look at `nvidia-smi` and the kernel's log, then restart",
        )
    if not gpus:
        return Check(ok=True, reason="there is none, and none is needed")
    return Check(ok=True, reason=f"{len(gpus) - len(lost)} of {len(gpus)} answer")
