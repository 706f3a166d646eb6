"""The engine on a Ray cluster: a hub beside the server has a worker on each of its GPUs.

Ray comes with the extra `ray` and is imported by the hub and the workers alone.
"""

from __future__ import annotations

import importlib.util

from gfedge.inference.child import Child
from gfedge.inference.evidence import KILL
from gfedge.inference.isolated import KEPT
from gfedge.inference.messages import Begin, Connect
from gfedge.inference.supervised import SupervisedEngine
from gfedge.inference.types import EngineOptions

MISSING = "engine = ray needs Ray: pip install 'gfedge[ray]' (in a checkout: make ray)"


def ray_problem() -> str:
    """Why Ray cannot be used here, and how that is mended; empty where it can."""
    found = importlib.util.find_spec("ray")
    return "" if found and found.origin else MISSING  # a mere folder of that name has no origin


class RayEngine(SupervisedEngine):
    """Runs requests on a cluster. `actors`: on each node, where no node has a GPU; 0 is one."""

    def __init__(
        self, options: EngineOptions, address: str, actors: int = 0, *, hang_seconds: float = 120.0
    ) -> None:
        if problem := ray_problem():
            raise RuntimeError(problem)
        child = Child(
            module="gfedge.inference.hub",
            begin=Connect(address, actors, Begin(options)),
            name="hub",
            called=f"the connection to Ray ({address})",
            kept=(*KEPT, "RAY_", "XDG_CACHE_HOME"),
            added=SETTINGS,
            weight=KILL,
        )
        super().__init__(child, hang_seconds=hang_seconds)


SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # The hub ends when its cluster is gone for so long, and is started again until there is one.
    "RAY_gcs_rpc_server_reconnect_timeout_s": "10",
}
"""Of Ray, where the environment has no others."""
