"""Weights in files that others have written: read without running anything, and given the names of a network."""
