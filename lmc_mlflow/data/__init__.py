"""Loads data sets and divides them into the two sides of a shift."""
