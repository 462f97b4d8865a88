"""Computes the tables, sentences and figures of the pages in docs/results from the runs of docs/results/store.zip."""
