"""The pages that a browser sees: static files, and nothing that the public API does not have."""
