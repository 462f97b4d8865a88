"""Measures a path at every kept epoch of its networks."""
