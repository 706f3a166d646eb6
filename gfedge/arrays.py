"""numpy, imported at its first use: that takes as long as half of gfedge, and the first answer of a server needs none of it.

`from gfedge.arrays import np` in modules that a start imports; elsewhere numpy is imported as ever. Such a module may use
`np` in its functions only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
else:

    class _Later:
        """Becomes the module, name by name; the import's own lock makes that safe between threads."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, name: str) -> Any:
            found = getattr(import_module(self._name), name)
            setattr(self, name, found)
            return found

    np = _Later("numpy")

__all__ = ["np"]
