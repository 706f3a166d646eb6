"""The examination of a model folder that nobody knows yet: `python -m gfedge.inference.examine FOLDER`.

It runs in a process of its own, because a small hostile file can keep ONNX Runtime and the ONNX checker busy for good,
take all memory or crash them. The process limits itself before it reads anything, and prints one line of JSON.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

CPU_SECONDS = 30
MEMORY_BYTES = 3 << 30
"""Address space besides what the folder's files are allowed; ONNX Runtime itself maps about 0.3 GiB."""
MEMORY_PER_BYTE = 6
"""Half-precision weights widen when they are loaded, and the optimiser holds copies."""
WARM_SIDE = 16


class Tensor(msgspec.Struct, kw_only=True, frozen=True):
    """An input or output of a graph."""

    name: str
    dtype: str
    shape: list[int | str | None]
    """Sizes; a name or null where a size may vary."""


class Signature(msgspec.Struct, kw_only=True, frozen=True):
    """What a graph takes and gives."""

    inputs: list[Tensor] = []
    outputs: list[Tensor] = []
    opset: int = 0
    """Version of the standard operators that it was written for."""


class Verdict(msgspec.Struct, kw_only=True, frozen=True):
    """What the examination found; `refused` says why a folder cannot be taken."""

    refused: str = ""
    signature: Signature = Signature()
    load_seconds: float = 0.0
    peak_memory_bytes: int = 0


def main(path: Path) -> Verdict:
    """Reads, scans, checks, loads and runs the model of a folder, in this order: each step trusts the ones before."""
    from gfedge.inference.folder import read_folder
    from gfedge.inference.types import ModelRefused

    try:
        folder = read_folder(path)
        _check(folder.path, [name for name in folder.files if name.endswith(".onnx")])
        return _load(folder)
    except ModelRefused as error:
        return Verdict(refused=str(error))
    except MemoryError:
        return Verdict(refused="it needs more memory than a model of its size may")


def limit(size: int) -> None:
    """Bounds this process: CPU time, memory, no file of any size, no core dump. Nothing on Windows, but for the parent's clock."""
    if sys.platform == "win32":
        return
    import resource

    memory = MEMORY_BYTES + MEMORY_PER_BYTE * size
    wanted = {
        resource.RLIMIT_CPU: CPU_SECONDS,
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_FSIZE: 1 << 16,
        resource.RLIMIT_CORE: 0,
    }
    for name, value in wanted.items():
        _, hard = resource.getrlimit(name)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(name, (value, value))
    try:  # where memory runs out all the same, this process goes and not the server
        Path("/proc/self/oom_score_adj").write_text("900")
    except OSError:
        pass


def _check(path: Path, graphs: list[str]) -> None:
    """The ONNX checker: versions, operators and their attributes, the order of nodes."""
    import onnx
    from onnx import checker

    from gfedge.inference.types import ModelRefused

    for name in graphs:
        try:
            checker.check_model(str(path / name))
        except (checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
            line = str(error).strip().split("\n", 1)[0][:300]
            raise ModelRefused(f"{name} is not valid ONNX: {line}") from None


def _load(folder: Any) -> Verdict:
    from gfedge.inference import sessions
    from gfedge.inference.device import on_cpu
    from gfedge.inference.types import EngineOptions, ModelRefused

    started = time.perf_counter()
    try:
        model = sessions.open_model(folder, EngineOptions(device="cpu"), on_cpu("examination"))
        model.warm_up(WARM_SIDE)
    except ModelRefused:
        raise
    except Exception as error:
        raise ModelRefused(f"model.onnx cannot be run: {sessions.reason(error)}") from None
    return Verdict(
        signature=_signature(model.session, folder.path / "model.onnx"),
        load_seconds=time.perf_counter() - started,
        peak_memory_bytes=_peak(),
    )


def _signature(session: Any, path: Path) -> Signature:
    import onnx

    opsets = onnx.load(path, load_external_data=False).opset_import
    return Signature(
        inputs=[_tensor(one) for one in session.get_inputs()],
        outputs=[_tensor(one) for one in session.get_outputs()],
        opset=next((one.version for one in opsets if one.domain in ("", "ai.onnx")), 0),
    )


def _tensor(one: Any) -> Tensor:
    """`tensor(float)` of ONNX Runtime as `float`."""
    return Tensor(
        name=one.name, dtype=one.type.removeprefix("tensor(").rstrip(")"), shape=list(one.shape)
    )


def _peak() -> int:
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _run() -> None:
    """Only the verdict goes to the real standard output: the libraries print what they like."""
    out = os.dup(1)
    os.dup2(2, 1)
    path = Path(sys.argv[1])
    limit(sum(file.stat().st_size for file in path.iterdir()))
    os.write(out, msgspec.json.encode(main(path)))


if __name__ == "__main__":
    _run()
