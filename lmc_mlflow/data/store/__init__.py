"""Prepared stores: arrays on disk that are written chunk by chunk, and read row by row."""
