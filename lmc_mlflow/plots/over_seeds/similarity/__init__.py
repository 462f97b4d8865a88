"""Draws how alike both ends of a path are, over seeds."""
