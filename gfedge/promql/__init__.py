"""The PromQL engine: expressions in, series out. It knows no HTTP, no database and no event loop.

Its modules are imported where they are used: numpy takes as long to import as all the rest of the server.
"""
