"""`gfedge doctor`: what works on this machine without asking a server, and how to mend what does not."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import gfedge
from gfedge.cli.client import NoServer, Refused, Server
from gfedge.cli.errors import CommandError

if TYPE_CHECKING:
    from gfedge.settings import Settings

LIBRARIES = (
    ("aiohttp", "aiohttp"),
    ("duckdb", "duckdb"),
    ("google-re2", "re2"),
    ("msgspec", "msgspec"),
    ("numpy", "numpy"),
    ("onnx", "onnx"),
    ("Pillow", "PIL.Image"),
    ("prometheus-client", "prometheus_client"),
    ("nvidia-ml-py", "pynvml"),
    ("psutil", "psutil"),
    ("PyYAML", "yaml"),
)
FASTER = (
    ("uvloop", "uvloop", "the event loop is slower without it"),
    ("isal", "isal.isal_zlib", "PNG files are written slower without it"),
)
INSTALL = "install again with `make clean run`, or `pip install {}`"
ROOMY_BYTES = 2 << 30
READY = "/api/v1/monitoring/health/ready"
NO_CUDA = "this binary is for the CPU: build one with `make binary CUDA=1`, install the wheel with gfedge[cuda], or use the image"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    level: Literal["ok", "note", "broken"]
    subject: str
    text: str
    mend: str = ""


Check = Callable[[], Iterator[Finding]]


def run(args: argparse.Namespace) -> int:
    """Look at everything; 1 if anything is broken, else 0."""
    found = examine(args)
    broken = any(finding.level == "broken" for finding in found)
    if args.json:
        print(json.dumps({"healthy": not broken, "findings": [asdict(f) for f in found]}, indent=2))
    else:
        print("\n".join(readable(found)))
    return int(broken)


def examine(args: argparse.Namespace) -> list[Finding]:
    """Every finding; a check that fails in a way nobody thought of is a finding too."""
    checks: list[tuple[str, Check]] = [
        ("system", system),
        ("libraries", libraries),
        ("onnxruntime", onnxruntime),
        ("gpu", gpus),
        ("settings", lambda: with_settings(args)),
        ("server", lambda: server(args)),
    ]
    return [finding for subject, check in checks for finding in _safely(subject, check)]


def readable(found: list[Finding]) -> list[str]:
    """The findings for people: a line each, and under a bad one how to mend it."""
    width = max(len(finding.subject) for finding in found)
    lines = []
    for finding in found:
        lines.append(f"{finding.level:<6}  {finding.subject:<{width}}  {finding.text}")
        lines += [f"{'':{width + 10}}-> {finding.mend}"] if finding.mend else []
    count = sum(finding.level == "broken" for finding in found)
    lines += ["", f"{count} broken" if count else "nothing is broken"]
    return lines


def _safely(subject: str, check: Check) -> Iterator[Finding]:
    try:
        yield from check()
    except Exception as error:
        text = f"could not be examined: {type(error).__name__}: {error}"
        yield _broken(subject, text, "mend what is said above, or report this as a fault of gfedge")


def with_settings(args: argparse.Namespace) -> Iterator[Finding]:
    """What depends on the settings that a server would start with."""
    from gfedge.cli.serve import load

    try:
        settings = load(args)
    except CommandError as error:
        mend = "mend the flag, the GFEDGE_ variable or the file; `gfedge serve --help` lists all settings"
        yield _broken("settings", str(error), mend)
        return
    for subject, check in (("device", device), ("data", data_folder), ("models", models)):
        yield from _safely(subject, lambda check=check: check(settings))  # type: ignore[misc]
    yield from _safely("settings", lambda: secrets(args))


def _broken(subject: str, text: str, mend: str) -> Finding:
    return Finding(level="broken", subject=subject, text=text, mend=mend)


def system() -> Iterator[Finding]:
    """Python, platform, cores."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    text = f"{gfedge.__version__} in {Path(gfedge.__file__).parent}"
    yield Finding(level="ok", subject="gfedge", text=text)
    text = f"{platform.python_version()} ({sys.executable})"
    yield Finding(level="ok", subject="python", text=text)
    text = f"{platform.system()} {platform.machine()}, {cores} cores"
    yield Finding(level="ok", subject="platform", text=text)


def libraries() -> Iterator[Finding]:
    """What gfedge stands on: is it there, and can it be imported."""
    for package, module in LIBRARIES:
        problem = _import_problem(module)
        if problem:
            yield _broken(package, problem, INSTALL.format(package))
        else:
            yield Finding(level="ok", subject=package, text=version(package))
    for package, module, loss in FASTER:
        if package == "uvloop" and sys.platform == "win32":
            continue
        if _import_problem(module):
            yield Finding(level="note", subject=package, text=f"is not there: {loss}")
        else:
            yield Finding(level="ok", subject=package, text=version(package))


def version(package: str) -> str:
    """The installed version of a distribution, or nothing."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _import_problem(module: str) -> str:
    try:
        importlib.import_module(module)
    except Exception as error:
        return f"cannot be imported: {error}"
    return ""


def onnxruntime() -> Iterator[Finding]:
    """Exactly one of the two packages; with both, the later one wins and removing one breaks the other."""
    found = {name: version(name) for name in ("onnxruntime", "onnxruntime-gpu") if version(name)}
    text = " and ".join(f"{name} {number}" for name, number in found.items())
    if len(found) == 2:
        mend = (
            "keep one: `pip uninstall -y onnxruntime onnxruntime-gpu`, then"
            f" `pip install onnxruntime-gpu=={found['onnxruntime-gpu']}`"
        )
        yield _broken("onnxruntime", f"two packages share one module: {text}", mend)
    elif problem := _import_problem("onnxruntime"):
        yield _broken("onnxruntime", problem, INSTALL.format("onnxruntime-gpu"))
    else:
        yield Finding(level="ok", subject="onnxruntime", text=text or "of unknown origin")


def gpus() -> Iterator[Finding]:
    """NVIDIA GPUs as their driver tells."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        text = f"no NVIDIA driver answers ({error}): models run on the CPU"
        yield Finding(level="note", subject="gpu", text=text)
        return
    try:
        driver = pynvml.nvmlSystemGetDriverVersion()
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            yield Finding(level="ok", subject=f"gpu {index}", text=_gpu(handle, driver))
    finally:
        pynvml.nvmlShutdown()


def _gpu(handle: object, driver: str) -> str:
    import pynvml

    try:
        memory = f"{gigabytes(pynvml.nvmlDeviceGetMemoryInfo(handle).total)}, "
    except pynvml.NVMLError:
        memory = ""
    return f"{pynvml.nvmlDeviceGetName(handle)}, {memory}driver {driver}"


def device(settings: Settings) -> Iterator[Finding]:
    """Where models would run, and what keeps CUDA from being it."""
    from gfedge.inference.device import closer_look, first_look
    from gfedge.inference.types import EngineOptions

    if settings.engine == "ray":
        yield ray(settings)
        return
    options = EngineOptions(
        device=settings.device,
        gpu_memory_bytes=settings.gpu_memory,
        cuda_folder=settings.cuda_dir,
        cudnn_search=settings.cudnn_search,
    )
    found, frozen = first_look(options) or closer_look(options), getattr(sys, "frozen", False)
    yield Finding(level="ok", subject="device", text=f"{found.note} ({found.provider})")
    for_gpus = bool(version("onnxruntime-gpu"))
    for missing in found.missing if for_gpus or not frozen else (NO_CUDA,):
        if settings.device == "cuda":
            yield _broken("cuda", missing, "or start with --device cpu")
        else:
            yield Finding(level="note", subject="cuda", text=missing)
    if settings.cuda_dir or (frozen and for_gpus):
        yield from _cuda_folder(settings.cuda_dir, found.missing)


def _cuda_folder(folder: str, said: Sequence[str] = ()) -> Iterator[Finding]:
    """What of the CUDA libraries is in the folder that a setting names, and what is nowhere, if that was not said."""
    from gfedge.inference import cuda

    found = cuda.load(folder)
    if folder:
        inside = [one.name for one in found if one.place.startswith(str(Path(folder).expanduser()))]
        text = f"{folder} has {', '.join(inside) or 'none of the CUDA libraries'}"
        yield Finding(level="ok" if inside else "note", subject="cuda_dir", text=text)
    for problem in cuda.missing(found, folder):
        if problem not in said:
            yield Finding(level="note", subject="cuda_dir", text=problem)


def ray(settings: Settings) -> Finding:
    """Whether models can run on a cluster; its devices are its nodes' own."""
    from gfedge.inference.cluster import ray_problem

    if problem := ray_problem():
        return _broken("ray", problem, "or start with --engine in-process")
    return Finding(level="ok", subject="ray", text=f"graphs run on Ray ({settings.ray_address})")


def secrets(args: argparse.Namespace) -> Iterator[Finding]:
    """Whether others may read a file with keys in it."""
    from gfedge.cli.serve import flags
    from gfedge.configuration import shown
    from gfedge.settings import SECRETS

    found = {
        one.source
        for one in shown(flags(args), config=args.config)
        if one.name in SECRETS and one.value
    }
    for path in map(Path, sorted(found)):
        if path.is_absolute() and path.stat().st_mode & 0o004:
            text = f"{path} holds keys, and everybody on this machine may read it: chmod 640 {path}"
            yield Finding(level="note", subject="settings", text=text)


def data_folder(settings: Settings) -> Iterator[Finding]:
    """Is there room, and may we write."""
    folder = settings.data
    there = next(place for place in (folder, *folder.parents) if place.exists())
    made = "" if there == folder else " (will be made at the first start)"
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        mend = f"choose another with --data DIR, or `sudo chown -R $USER {there}`"
        yield _broken("data", f"{folder} cannot be written: {error.strerror or error}", mend)
    else:
        yield Finding(level="ok", subject="data", text=f"{folder}{made}")
    yield _room(shutil.disk_usage(there).free, settings.min_free_disk)


def _room(free: int, needed: int) -> Finding:
    text = f"{gigabytes(free)} free for data"
    if free < needed:
        text = f"{text}: below {gigabytes(needed)} the server refuses new work"
        return _broken("disk", text, "free some space, or choose another disk with --data DIR")
    if free < ROOMY_BYTES:
        return Finding(level="note", subject="disk", text=f"{text}: that is little")
    return Finding(level="ok", subject="disk", text=text)


def gigabytes(size: float) -> str:
    """`12.3 GB`."""
    return f"{size / 1e9:.1f} GB"


def models(settings: Settings) -> Iterator[Finding]:
    """Every model folder, its files compared with their digests."""
    from gfedge.inference import folder
    from gfedge.inference.types import ModelRefused

    paths = folder.folders(settings.models)
    if not paths:
        mend = "fetch the repository again, or name the folder with --models DIR"
        yield _broken("models", f"there is no model in {settings.models}", mend)
    for path in paths:
        try:
            found = folder.read_folder(path)
        except ModelRefused as error:
            mend = f"restore {path} (`git checkout -- {path}`), or remove it"
            yield _broken("model", str(error), mend)
        else:
            text = f"{found.name}@{found.version}: {found.kind}, {found.bytes / 1e6:.1f} MB, sha256 {found.digest}"
            yield Finding(level="ok", subject="model", text=text)


def server(args: argparse.Namespace) -> Iterator[Finding]:
    """Is a server running, and can it run jobs."""
    address = args.server
    try:
        with Server.of(args, timeout=3.0) as running:
            running.get(READY)
            health = running.get("/health").json()
    except NoServer:
        text = f"none answers at {address}: start one with `gfedge serve`"
        yield Finding(level="note", subject="server", text=text)
    except CommandError as error:
        if isinstance(error, Refused) and error.problem.get("status") == "not ready":
            yield _unready(address, error.problem.get("checks", {}))
            return
        mend = "another program may be listening there: choose a port with --port"
        yield _broken("server", f"{address}: {error}", mend)
    else:
        text = f"{address} answers: {health.get('status', 'ok')} {health.get('version', '')}"
        yield Finding(level="ok", subject="server", text=text.strip())


def _unready(address: str, checks: dict[str, dict[str, Any]]) -> Finding:
    """Whoever may read is told why; engine and models may be only on their way up."""
    away = {name: one["reason"] for name, one in checks.items() if not one["ok"]}
    reasons = "; ".join(f"{name}: {reason}" for name, reason in away.items())
    text = f"{address} runs no jobs now: {reasons or 'it tells why to who has a token'}"
    if away.keys() <= {"provider", "models"}:
        return Finding(level="note", subject="server", text=text)
    return _broken("server", text, "see to what it names")
