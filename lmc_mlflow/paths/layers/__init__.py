"""Measures layer by layer: paths on which some layers of a network move, and how linear features are."""
