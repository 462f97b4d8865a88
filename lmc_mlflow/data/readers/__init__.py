"""Readers of data sets on disk, one file for each format."""
