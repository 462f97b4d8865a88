"""Bundles: files that carry runs from one store to another, and their merge into a store, which keeps ids."""
