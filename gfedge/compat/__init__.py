"""Faces of other programs: their protocols over what this server has."""
