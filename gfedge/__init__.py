"""gfedge: an edge server that turns prompts into game assets and remembers where each came from."""

import os

__version__ = "0.1.0"

# ONNX Runtime tells Microsoft of machines, models and runs unless this is set before it is loaded, here and in children.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
