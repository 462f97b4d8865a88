"""Derives which units of a network can be exchanged, from its traced operations."""
