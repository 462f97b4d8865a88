"""Instability analysis of Frankle et al., under data shifts."""
