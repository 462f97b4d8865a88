"""Drawings that need no runs."""
