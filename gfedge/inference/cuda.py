"""The CUDA libraries, which never come with gfedge: where each is, loaded before ONNX Runtime asks for it by name.

They are sought in the folder of the setting `cuda_dir`, then among the packages that pip installed, then where the system's
loader looks. What was loaded from a path serves whoever asks for the same name later.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LIBRARIES = (
    *("libcudart.so.13", "libcublasLt.so.13", "libcublas.so.13", "libcurand.so.10"),
    *("libnvrtc.so.13", "libcufft.so.12", "libcudnn.so.9"),
)
"""What the CUDA provider of the locked onnxruntime-gpu takes, each after those that it needs."""
LAYOUTS = (".", "lib", "lib64", "targets/x86_64-linux/lib", "nvidia/cu13/lib", "nvidia/cudnn/lib")
"""Where they lie below a folder: of a toolkit, of NVIDIA's archives, and of what `pip install --target` makes."""


class Found(NamedTuple):
    """A library, and where it came from."""

    name: str
    place: str
    """A path, or `the system`; empty where it is nowhere."""
    problem: str = ""
    """Why what is there does not load."""


def load(folder: str) -> list[Found]:
    """Loads every library and says of each where it was found; nothing to do but on Linux."""
    return [_load(name, folder) for name in LIBRARIES] if sys.platform == "linux" else []


def missing(found: list[Found], folder: str) -> list[str]:
    """What keeps CUDA from being used, in words that say what to do."""
    wrong = [one for one in found if one.problem]
    nowhere = [one.name for one in found if not one.place and not one.problem]
    said = [f"{one.name} does not load: {one.problem:.300}" for one in wrong]
    if nowhere:
        said.append(
            f"{', '.join(nowhere)} {'are' if len(nowhere) > 1 else 'is'} nowhere: looked in {_places(folder)}. "
            f"Install CUDA 13 and cuDNN 9 ({_install()}, or NVIDIA's packages), "
            "or name the folder that has them with cuda_dir (GFEDGE_CUDA_DIR)"
        )
    return said


def _places(folder: str) -> str:
    named = f"{folder} (cuda_dir)" if folder else "no folder of its own (cuda_dir is not set)"
    packages = "" if _frozen() else ", the packages of this Python"
    return f"{named}{packages} and the system's libraries"


def _install() -> str:
    """The single binary has no packages of its own, but takes a folder of them."""
    target = "--target FOLDER " if _frozen() else ""
    named = ", then cuda_dir = FOLDER" if target else ""
    return f"pip install {target}'onnxruntime-gpu[cuda,cudnn]'{named}"


def _frozen() -> bool:
    return bool(getattr(sys, "frozen", False))


def _load(name: str, folder: str) -> Found:
    problem = ""
    for path in _candidates(name, folder):
        try:
            ctypes.CDLL(str(path), os.RTLD_NOW | os.RTLD_GLOBAL)
        except OSError as error:
            problem = problem or f"{path}: {error}"
        else:
            return Found(name, str(path))
    try:
        ctypes.CDLL(name, os.RTLD_NOW | os.RTLD_GLOBAL)
    except OSError:
        return Found(name, "", problem)
    return Found(name, "the system")


def _candidates(name: str, folder: str) -> Iterator[Path]:
    """The files of this name, those of the setting first."""
    roots = [Path(folder).expanduser()] if folder else []
    roots += [Path(entry) for entry in sys.path if entry.endswith("site-packages")]
    for root in roots:
        for layout in LAYOUTS:
            if (path := root / layout / name).is_file():
                yield path
