"""Draws ensembles over seeds, and how they are made."""
