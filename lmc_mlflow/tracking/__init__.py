"""Writes to the tracking server: runs and their life, locks, the saved view, kept predictions."""
