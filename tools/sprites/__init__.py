"""How the sprite generator was made. Run from the root with PYTHONPATH=.:tools, see README.md."""
