"""Readers of data sets on disk, a file for each format."""
