"""Judging rules: evidence, conditions, and the sentences that conclude from a store."""
