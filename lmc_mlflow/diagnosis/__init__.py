"""Finds the causes of a barrier between two networks, and how much of it each explains."""
