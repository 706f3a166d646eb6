"""Backups while serving, restoring them, and verifying what is stored."""
