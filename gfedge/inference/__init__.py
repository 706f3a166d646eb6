"""The engine: ONNX models in, pixels out. It knows no HTTP, no database and no event loop.

Its modules are imported when they are first used (PEP 562), because numpy and Pillow take as long to import as all the
rest of the server: `from gfedge import inference`, then `inference.png.decode(…)`.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gfedge.inference import (
        cluster,
        drawing,
        engine,
        isolated,
        likeness,
        palette,
        png,
        seams,
        words,
    )

__all__ = [
    "cluster",
    "drawing",
    "engine",
    "isolated",
    "likeness",
    "palette",
    "png",
    "seams",
    "words",
]


def __getattr__(name: str) -> ModuleType:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
