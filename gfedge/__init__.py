"""gfedge: an edge server that turns prompts into game assets and remembers where each came from."""

__version__ = "0.1.0"
