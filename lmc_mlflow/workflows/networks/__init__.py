"""Logged networks and their data, loaded and checked for a command."""
