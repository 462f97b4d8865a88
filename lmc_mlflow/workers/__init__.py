"""Computes pieces of work in other processes: of this machine, one for each device, or of a Ray cluster."""
