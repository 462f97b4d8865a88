"""Draws figures that are logged with one run."""
