"""An engine in a process of its own on this machine: whatever kills it or hangs it ends jobs, not the server."""

from __future__ import annotations

from gfedge.inference.child import Child
from gfedge.inference.messages import Begin
from gfedge.inference.supervised import SupervisedEngine
from gfedge.inference.types import EngineOptions

KEPT = (
    *("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV"),
    *("LC_", "LD_", "CUDA_", "NVIDIA_", "OMP_", "MALLOC_", "GLIBC_", "_PYI_"),
)
"""Of the environment, by what its names begin with: what libraries need to be found (`_PYI_`: those of the single binary)."""
ADDED = {"MALLOC_ARENA_MAX": "2"}
"""As the server asks of its own C library (`gfedge.malloc`)."""


class IsolatedEngine(SupervisedEngine):
    """Runs requests on the models of this machine, in a supervised process."""

    def __init__(self, options: EngineOptions, *, hang_seconds: float = 120.0) -> None:
        child = Child(
            module="gfedge.inference.worker",
            begin=Begin(options),
            name="isolated",
            kept=KEPT,
            added=ADDED,
            ran_on={"isolated": "true"},
        )
        super().__init__(child, hang_seconds=hang_seconds)
