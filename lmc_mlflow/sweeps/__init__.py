"""Sweeps: grids of configurations, computed by processes of this machine or by a Ray cluster."""
