"""Computes the tables of the pages in docs/results from the bundles beside them."""
