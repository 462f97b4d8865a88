"""Pairs that a training loop of a user's own trains."""
