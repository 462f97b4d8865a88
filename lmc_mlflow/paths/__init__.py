"""Paths between networks: curves, points, measures, barriers and planes."""
