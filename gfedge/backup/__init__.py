"""Backups while serving, restoring them, verifying what is stored, and exporting tables."""
