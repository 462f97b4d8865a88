"""Engines of a sweep: where its cells are computed."""
