"""The PromQL engine: expressions in, series out. It knows no HTTP, no database and no event loop."""
