"""Compares the papers' printed numbers and claims with the tables of a store; opens no run."""
