"""Figures over many runs, from tables of `query`."""
