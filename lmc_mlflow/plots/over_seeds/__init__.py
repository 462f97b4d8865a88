"""Draws figures of many runs, from tables of `query`."""
