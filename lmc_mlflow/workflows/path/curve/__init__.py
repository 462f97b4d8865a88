"""Trains curves of low loss between two networks, and logs them."""
