"""The model registry: which versions there are, and which one a reference means."""
