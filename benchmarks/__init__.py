"""Benchmarks against the usual ways of doing the same work: `python -m benchmarks`."""
