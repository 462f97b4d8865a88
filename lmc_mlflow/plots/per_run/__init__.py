"""Figures that are logged with one run."""
