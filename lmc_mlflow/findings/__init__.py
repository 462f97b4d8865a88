"""Judges runs: evidence, conditions, and conclusions from the tables of `query`."""
